import assert from "node:assert/strict";
import { test } from "node:test";

import { ACCEPTANCE, Ising, Random } from "../../../frontend/components/assets/ising_engine.js";
import { T_CRITICAL, energyExact, magnetisationExact } from "../../../frontend/components/assets/ising_exact.js";
import { enumerate, zScores } from "./exact_ising.mjs";

const POINTS = [{ T: 2.0, h: 0 }, { T: 3.5, h: 0 }, { T: 2.5, h: 0.15 }];

function measure(algorithm, { T, h }, step) {
  const model = new Ising(4, { T, h, seed: 11 });
  step ??= () => model.step(algorithm);
  for (let k = 0; k < 500; k++) {
    step(model);
    model.tune();
  }
  return zScores(() => {
    step(model);
    return model.observe();
  }, enumerate(T, h));
}

for (const algorithm of ["metropolis", "heatbath", "wolff"]) {
  for (const point of POINTS) {
    test(`${algorithm} at T = ${point.T}, h = ${point.h} agrees with enumeration`, () => {
      const z = measure(algorithm, point);
      for (const [name, value] of Object.entries(z)) assert.ok(Math.abs(value) < 4, `${name}: z = ${value}`);
    });
  }
}

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

test("the written-out generator of the sweep is the generator", () => {
  const model = new Ising(4, { T: 1e9, seed: 5 });
  const twin = new Random(5);
  for (let i = 0; i < 16; i++) twin.next(); // the random start
  model.sweep(ACCEPTANCE.heatbath);
  for (let i = 0; i < 16; i++) twin.next();
  assert.deepEqual(model.random.state, twin.state);
});

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
  for (let k = 0; k < 600; k++) {
    model.sweep();
    e += model.observe().e / 600;
    m += model.observe().m / 600;
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
