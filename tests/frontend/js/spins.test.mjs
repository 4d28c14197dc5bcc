import assert from "node:assert/strict";
import { test } from "node:test";

import { readState, writeState } from "../../../frontend/components/assets/ising_controls.js";
import { arrange, magnetisation, paint, pixel, place } from "../../../frontend/components/assets/spin_draw.js";

const square = { extent: [2, 3], n_sites: 6, n_chains: 5, data: Int8Array.from({ length: 30 }, (_, i) => (i % 6 === 0 ? 1 : -1)) };

test("square lattices are tiles near the wanted shape, rings are rows", () => {
  assert.deepEqual(arrange({ ...square, extent: [4, 4], n_chains: 99 }, 16).across, 4);
  const ring = arrange({ extent: [12], n_sites: 12, n_chains: 8 }, 16);
  assert.deepEqual([ring.rows, ring.cols, ring.across, ring.down, ring.flat], [1, 12, 1, 8, true]);
});

test("sites get whole pixels, tiles do not overlap and fill the room", () => {
  const layout = arrange(square, 4);
  const { cell, tiles, width, height } = place(layout, 300);
  assert.ok(Number.isInteger(cell) && width <= 300 && height <= 300 && Math.max(width, height) > 270);
  const [x0, x1] = [tiles[0][0], tiles[1][0]];
  assert.ok(x1 - x0 > layout.cols * cell || tiles[1][1] > layout.rows * cell);
});

test("a pixel for each site, first axis down; colours are RGBA in memory", () => {
  const pixels = new Uint32Array(12);
  paint(pixels, square, { up: pixel("#010203"), down: pixel("#f0f1f2") });
  assert.deepEqual([...new Uint8Array(pixels.buffer, 0, 8)], [1, 2, 3, 255, 240, 241, 242, 255]);
  assert.equal(pixels[6], pixels[0]);
  assert.ok(Math.abs(magnetisation(square) + 2 / 3) < 1e-15);
});

test("the address holds the state of the Ising page, without nonsense and defaults", () => {
  const state = readState("?T=99&h=0.1&L=77&algorithm=wolff&other=1");
  assert.deepEqual(state, { T: 5, h: 0.1, L: 128, algorithm: "wolff", order: "random", speed: 1 });
  assert.equal(writeState("?other=1&T=3", { ...state, T: 2.27 }), "?other=1&h=0.1&algorithm=wolff");
  assert.equal(writeState("", readState("?T=abc&algorithm=constructor")), "");
});
