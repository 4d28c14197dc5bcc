import assert from "node:assert/strict";
import { test } from "node:test";

import { ACCEPTANCE, Ising, ORDERS, Random } from "../../../frontend/components/assets/ising_engine.js";
import { DEFAULTS, ORDER_NAMES, orderNote, readState, writeState } from "../../../frontend/components/assets/ising_controls.js";
import { History } from "../../../frontend/components/assets/ising_plots.js";
import { T_CRITICAL, energyExact, magnetisationExact } from "../../../frontend/components/assets/ising_exact.js";
import { enumerate, zScores } from "./exact_ising.mjs";

const POINTS = [{ T: 2.0, h: 0 }, { T: 3.5, h: 0 }, { T: 2.5, h: 0.15 }];

function measure(algorithm, { T, h }, step, order = "random") {
  const model = new Ising(4, { T, h, seed: 11 });
  step ??= () => model.step(algorithm, order);
  for (let k = 0; k < 500; k++) {
    step(model);
    model.tune();
  }
  return zScores(() => {
    step(model);
    return model.observe();
  }, enumerate(T, h));
}

const LOCAL = Object.keys(ACCEPTANCE).flatMap((algorithm) => ORDERS.map((order) => [algorithm, order]));

for (const [algorithm, order] of [...LOCAL, ["wolff", "no"]]) {
  for (const point of POINTS) {
    test(`${algorithm} in ${order} order at T = ${point.T}, h = ${point.h} agrees with enumeration`, () => {
      const z = measure(algorithm, point, undefined, order);
      for (const [name, value] of Object.entries(z)) assert.ok(Math.abs(value) < 4, `${name}: z = ${value}`);
    });
  }
}

test("states in which every flip is free mix with the others in every order", () => {
  for (const order of ORDERS) {
    const model = new Ising(4, { T: 0.5, seed: 1 });
    for (let i = 0; i < 16; i++) model.spins[i] = ((i & 3) + (i >> 2)) & 2 ? 1 : -1; // diagonal stripes, two sites wide
    assert.ok(model.observe().e === 0);
    for (let k = 0; k < 1000 && model.observe().e > -1; k++) model.sweep(ACCEPTANCE.metropolis, order);
    assert.ok(model.observe().e <= -1, order);
  }
});

/** Broken bonds along columns and rows, by sweep, summed over 8 quenches of 256 x 256 sites from great heat to T = 1. */
const SWEEPS = [8, 11, 16, 23, 32, 45, 64, 91, 128];
function quench(algorithm, order) {
  const L = 256;
  const sums = SWEEPS.map(() => [0, 0]);
  for (let seed = 0; seed < 8; seed++) {
    const model = new Ising(L, { T: 1, seed });
    for (let t = 1; t <= 128; t++) {
      model.step(algorithm, order);
      const sum = sums[SWEEPS.indexOf(t)];
      if (!sum) continue;
      for (let i = 0; i < L * L; i++) {
        sum[0] += model.spins[i] !== model.spins[(i + L) % (L * L)];
        sum[1] += model.spins[i] !== model.spins[i % L < L - 1 ? i + 1 : i + 1 - L];
      }
    }
  }
  const [x, y] = [SWEEPS.map(Math.log), sums.map(([vertical, horizontal]) => Math.log(vertical + horizontal))];
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const dx = x.map((value) => value - mean(x));
  const exponent = dx.reduce((sum, d, k) => sum + d * y[k], 0) / dx.reduce((sum, d) => sum + d * d, 0);
  const [vertical, horizontal] = [0, 1].map((axis) => mean(sums.map((sum) => sum[axis])));
  return { exponent, ratio: vertical / horizontal };
}

for (const [algorithm, order, exact] of [["metropolis", "random", -0.5], ["heat_bath", "random", -0.45]]) {
  test(`the walls of a quench fall as they must: ${algorithm} in ${order} order`, () => {
    const { exponent, ratio } = quench(algorithm, order);
    assert.ok(Math.abs(exponent - exact) < 0.06, `exponent ${exponent}`);
    assert.ok(ratio > 0.93 && ratio < 1.07, `vertical over horizontal ${ratio}`);
  });
}

for (const order of ["sequential", "checkerboard"]) {
  test(`Metropolis in ${order} order is caught by its exponent, and the page says so`, () => {
    assert.ok(quench("metropolis", order).exponent < -0.56);
    assert.match(orderNote({ algorithm: "metropolis", order }), /kinetics after a quench is unphysical/);
    assert.equal(orderNote({ algorithm: "heat_bath", order }), "");
  });
}

test("the address holds the order by its name", () => {
  assert.deepEqual(Object.keys(ORDER_NAMES), ORDERS);
  assert.equal(DEFAULTS.order, "random");
  assert.equal(writeState("", { ...DEFAULTS, order: "sequential" }), "?order=sequential");
  assert.equal(readState("?order=checkerboard&algorithm=heat_bath").order, "checkerboard");
  assert.equal(readState("?order=toString").order, "random");
});

test("an average of one configuration is marked until something moves", () => {
  const history = new History();
  history.average(1, -0.5, false);
  assert.deepEqual([...history.averages.values()], [{ T: 1, sum: 0.5, n: 1, moved: false }]);
  history.average(1, 0.7, true);
  history.average(1, 0.7, false);
  assert.equal(history.averages.get("1.00").moved, true);
});

const worst = (z) => Math.max(...Object.values(z).map(Math.abs));

const BROKEN = {
  "factor 2 forgotten": (dE, T) => (dE <= 0 ? 1 : Math.exp(-dE / (2 * T))),
  "acceptance 5 % too high": (dE, T) => (dE <= 0 ? 1 : Math.min(1, 1.05 * Math.exp(-dE / T))),
};
for (const [what, rule] of Object.entries(BROKEN)) {
  test(`the same comparison finds a broken rule: ${what}`, () => {
    assert.ok(worst(measure("", POINTS[1], (model) => model.sweep(rule))) > 4);
  });
}

test("the same comparison finds Wolff steps that stop when enough spins have flipped", () => {
  const biased = (model) => {
    for (let flipped = 0; flipped < 16;) flipped += model.flipCluster();
  };
  assert.ok(worst(measure("", POINTS[1], biased)) > 4);
});

for (const [order, perSite] of [["random", 2], ["sequential", 1], ["checkerboard", 1]]) {
  test(`the written-out generator of a sweep in ${order} order is the generator`, () => {
    const model = new Ising(4, { T: 1e9, seed: 5 });
    const twin = new Random(5);
    for (let i = 0; i < 16; i++) twin.next(); // the random start
    model.sweep(ACCEPTANCE.heat_bath, order);
    for (let i = 0; i < 16 * perSite; i++) twin.next();
    assert.deepEqual(model.random.state, twin.state);
  });
}

test("the generator is uniform: chi-square of 256 cells, high and low bits", () => {
  const random = new Random(3);
  const high = new Float64Array(256);
  const low = new Float64Array(256);
  const n = 256000;
  for (let i = 0; i < n; i++) {
    const r = random.next();
    high[r >>> 24] += 1;
    low[r & 255] += 1;
  }
  for (const counts of [high, low]) {
    const chi2 = counts.reduce((s, c) => s + (c - n / 256) ** 2 / (n / 256), 0);
    assert.ok(Math.abs(chi2 - 255) < 4 * Math.sqrt(2 * 255), `chi2 = ${chi2}`);
  }
});

test("closed forms: ground state, T_c, high temperature, Yang's magnetisation", () => {
  assert.ok(Math.abs(T_CRITICAL - 2.269185314213022) < 1e-14);
  assert.ok(Math.abs(energyExact(T_CRITICAL) + Math.SQRT2) < 1e-9); // -sqrt 2, Onsager 1944
  assert.ok(Math.abs(energyExact(0.2) + 2) < 1e-6);
  // Series -2 tanh K (1 + 2 tanh^2 K + ...) at small K = 1/T.
  const v = Math.tanh(1 / 50);
  assert.ok(Math.abs(energyExact(50) + 2 * v * (1 + 2 * v * v)) < 1e-6);
  assert.equal(magnetisationExact(2.3), 0);
  assert.ok(Math.abs(magnetisationExact(2.0) - 0.911319377877496) < 1e-12);
});

test("a large lattice comes to Onsager's energy and Yang's magnetisation", () => {
  const model = new Ising(64, { T: 2.0, seed: 2 });
  model.fill("up");
  for (let k = 0; k < 300; k++) model.sweep();
  let e = 0;
  let m = 0;
  for (let k = 0; k < 4000; k++) {
    model.sweep();
    e += model.observe().e / 4000;
    m += model.observe().m / 4000;
  }
  assert.ok(Math.abs(e - energyExact(2.0)) < 4e-3, `e = ${e}`);
  assert.ok(Math.abs(m - magnetisationExact(2.0)) < 4e-3, `m = ${m}`);
});

test("painting wraps around the edges", () => {
  const model = new Ising(8, {});
  model.fill("down");
  model.paint(0, 0, 1, 1);
  assert.deepEqual([...model.spins.keys()].filter((i) => model.spins[i] === 1), [0, 1, 7, 8, 56]);
});
