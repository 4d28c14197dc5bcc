import assert from "node:assert/strict";
import { test } from "node:test";

import { around, caption, periods, picture, segments } from "../../../frontend/components/assets/lattice_draw.js";

const TURN = 2 * Math.PI;
const square = (n) => {
  const sites = Array.from({ length: n * n }, (_, i) => [Math.floor(i / n), i % n]);
  return {
    n_sites: n * n, extent: [n, n], periodicity: [true, true], sites, reciprocal: [[TURN, 0], [0, TURN]],
    sublattice: sites.map(([x, y]) => (x + y) % 2), point_group: { name: "C4v" },
    bonds: [
      { order: 1, pairs: [[0, 1], [0, n]], wraps: [[0, n - 1], [0, n * (n - 1)]] },
      { order: 2, pairs: [[0, n + 1]], wraps: [[0, n * n - 1]] },
      { order: 3, pairs: [[0, 2]], wraps: [] },
    ],
  };
};
const chain = (n, more = {}) => ({
  n_sites: n, extent: [n], periodicity: [true], reciprocal: [[TURN]], sublattice: null,
  sites: Array.from({ length: n }, (_, i) => [i, 0]),
  bonds: [{ order: 1, pairs: [[0, 1]], wraps: [[0, n - 1]] }, { order: 2, pairs: [[0, 2]], wraps: [] }], ...more,
});
const close = (a, b) => a.every((v, i) => Math.abs(v - b[i]) < 1e-9);

test("the periods of a lattice follow from its reciprocal vectors", () => {
  assert.ok(close(periods(square(4))[0], [4, 0]) && close(periods(square(4))[1], [0, 4]));
  const slanted = { ...square(3), reciprocal: [[TURN, -TURN / Math.sqrt(3)], [0, (2 * TURN) / Math.sqrt(3)]] };
  assert.ok(close(periods(slanted)[1], [1.5, 1.5 * Math.sqrt(3)]));
  assert.equal(periods({ ...square(3), periodicity: [true, false] }).length, 1);
  assert.deepEqual(periods({ ...square(3), reciprocal: null }), []);
});

test("a bond around the border takes the shortest way out", () => {
  assert.ok(close(around([0, 0], [3, 0], periods(square(4))), [-1, 0]));
  assert.ok(close(around([0, 0], [3, 3], periods(square(4))), [-1, -1]));
  assert.ok(close(around([0, 0], [9, 0], periods(chain(10))), [-1, 0]));
  assert.equal(around([0, 0], [1, 0], []), null);
});

test("nearest neighbours that wrap end as two stubs, third neighbours are not drawn", () => {
  const [first, second, third] = segments(square(4), 16);
  assert.equal(first.whole.length, 2);
  assert.equal(first.stubs.length, 4);
  assert.ok(first.stubs.every(([from, to]) => Math.abs(Math.hypot(from[0] - to[0], from[1] - to[1]) - 0.45) < 1e-9));
  assert.equal(second.stubs.length, 0);
  assert.equal(third, undefined);
});

test("the picture fits its width and height, whatever the lattice", () => {
  for (const drawing of [square(2), square(4), square(32), chain(3), chain(16), chain(900)]) {
    const made = picture(drawing, 290, 220);
    assert.ok(made.height <= 240 && made.height > 10, `height ${made.height}`);
    for (const { at: [x, y] } of made.circles) assert.ok(x >= 0 && x <= 290 && y >= 0 && y <= made.height);
    assert.ok(!made.bonds.some(({ whole, stubs }) => /NaN|undefined/.test(whole + stubs)));
  }
});

test("sublattices are told apart, and a lattice without any has none", () => {
  assert.deepEqual(picture(square(2), 200, 200).circles.map(({ group }) => group), [0, 1, 1, 0]);
  assert.ok(picture(chain(4), 200, 200).circles.every(({ group }) => group === null));
});

test("second neighbours of a chain are arcs", () => {
  const [first, second] = picture(chain(8), 290, 220).bonds;
  assert.match(first.whole, /L/);
  assert.match(second.whole, /Q/);
});

test("the caption counts, and says what is cut", () => {
  assert.equal(caption(square(4), 16), "16 sites · 4 bonds · 2 second neighbours · point group C4v");
  assert.match(caption(chain(900), picture(chain(900), 290, 220).shown), /^the first 40 of 900 sites/);
});
