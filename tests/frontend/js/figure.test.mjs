import assert from "node:assert/strict";
import { test } from "node:test";

import * as figure from "../../../frontend/components/assets/figure.js";
import { RunTable } from "../../../frontend/components/assets/frame.js";
import { band, curve, ema, minmax, windowOf } from "../../../frontend/components/assets/series.js";
import { isDark } from "../../../frontend/components/assets/theme.js";

const THEME = { dark: false, background: "#ffffff", text: "#000000", grid: "#dddddd", font: "sans-serif" };
const EXACT = { energy: -20, method: "exact", bound: "exact", uncertainty: 0 };

function table(id, energies, info = {}, more = {}) {
  const made = new RunTable(id);
  const n = energies.length;
  const values = { step: energies.map((_, i) => i + 1), energy: energies, energy_error: energies.map(() => 0.1), ...more };
  const columns = Object.keys(values).map((name) => [name, "f8"]);
  const blocks = Object.fromEntries(Object.entries(values).map(([name, v]) => [name, Float64Array.from(v)]));
  made.update({ id, name: `run ${id}`, n_sites: 10, reference: EXACT, ...info, n, from: 0, to: n, columns }, blocks);
  return made;
}

const options = (more = {}) => ({
  runs: ["a"], colours: {}, metric: "energy", per_site: true, x_mode: "step", x_log: false, y_log: null, smoothing: 0,
  band: true, reference: true, show_legend: true, max_points: 800, palette: ["#0072B2", "#D55E00"], empty_text: "none",
  range: null, ...more,
});

const traces = (tables, more) => figure.buildTraces(tables, options(more), THEME);
const layout = (tables, more, width = 1000) => figure.buildLayout(tables, traces(tables, more), options(more), THEME, width);

test("the moving average is debiased: a constant stays, the first point is the first value", () => {
  assert.deepEqual([...ema([3, 3, 3], 0.9).mean].map((v) => v.toFixed(12)), Array(3).fill((3).toFixed(12)));
  const { mean, sigma } = ema([1, 2, NaN, 4], 0.5, [1, 1, 1, 1]);
  assert.equal(mean[0], 1);
  assert.ok(Math.abs(mean[1] - (0.5 * 1 + 2) / 1.5) < 1e-15);
  assert.ok(Number.isNaN(mean[2]));
  assert.ok(Math.abs(mean[3] - (0.25 * 1 + 0.5 * 2 + 4) / 1.75) < 1e-15);
  assert.ok(Math.abs(sigma[3] - Math.sqrt(0.0625 + 0.25 + 1) / 1.75) < 1e-15);
});

test("decimation keeps extremes, order, the newest value and the limit", () => {
  const y = Float64Array.from({ length: 10000 }, (_, i) => Math.sin(i));
  y[1234] = 50;
  y[8765] = -50;
  y[77] = NaN;
  const at = minmax(y, 0, y.length, 800);
  assert.ok(at.length <= 800 && at.includes(1234) && at.includes(8765) && !at.includes(77));
  assert.equal(at.at(-1), 9999);
  assert.ok(at.every((v, i) => i === 0 || v > at[i - 1]));
  assert.deepEqual(minmax([1, NaN, 3], 0, 3, 800), [0, 2]);
});

test("the band is the closed outline of y ± error", () => {
  const outline = band([1, 2], [10, 20], [1, 2], 0, 2, 800);
  assert.deepEqual(outline, { x: [1, 2, 2, 1], y: [11, 22, 18, 9] });
  assert.ok(band(Array(9999).fill(0), Array(9999).fill(0), Array(9999).fill(1), 0, 9999, 800).x.length <= 800);
});

test("the window has one more point on each side", () => {
  assert.deepEqual(windowOf([1, 2, 3, 4, 5, 6], 3, 4), [1, 5]);
  assert.deepEqual(windowOf([1, 2, 3], 0, 9), [0, 3]);
});

test("energies per site or total; the error is relative to the reference; variance per site", () => {
  const run = table("a", [-15, -25], {}, { variance: [4, 2] });
  assert.deepEqual([...curve(run, "energy", true).y], [-1.5, -2.5]);
  assert.deepEqual([...curve(run, "energy", false).error], [0.1, 0.1]);
  assert.deepEqual([...curve(run, "error", true).y].map((v) => v.toFixed(12)), ["0.250000000000", "0.250000000000"]);
  assert.deepEqual([...curve(run, "variance", true).y], [0.4, 0.2]);
  assert.equal(curve(run, "jsd", true), null);
});

test("an upper bound is drawn, but no error is taken to it", () => {
  const run = table("a", [-15], { reference: { ...EXACT, bound: "upper", method: "DMRG" } });
  assert.equal(curve(run, "error", true), null);
  const { shapes, annotations } = layout([run]);
  assert.equal(shapes[0].line.dash, "dot");
  assert.equal(annotations[0].text, "DMRG ≤ −2.00000");
  assert.match(figure.emptyText([run], ["a"], { traces: [] }, options({ metric: "error" })), /No exact or estimated reference/);
});

test("reference lines: one for equal references, style by bound, uncertainty in digits, in range, not on other metrics", () => {
  const a = table("a", [-15, -19]);
  const b = table("b", [-15], { reference: { energy: -19.9, method: "DMRG fit", bound: "estimate", uncertainty: 0.02 } });
  const { shapes, annotations, yaxis } = layout([a, table("c", [-1]), b]);
  assert.deepEqual(shapes.map((s) => [s.y0, s.line.dash]), [[-2, "solid"], [-1.99, "dash"]]);
  assert.deepEqual(annotations.map((n) => n.text), ["exact −2.00000", "DMRG fit −1.990(2)"]);
  assert.ok(yaxis.autorangeoptions.include[0] < -2);
  assert.equal(layout([a], { metric: "variance" }).shapes.length, 0);
  assert.equal(layout([a], { per_site: false }).annotations[0].text, "exact −20.00000");
  assert.equal(layout([a], { reference: false }).shapes.length, 0);
});

test("a reference is named by its method, shortly on phones; rounding errors are not shown", () => {
  const named = (method, width) => {
    const run = table("a", [-1], { reference: { ...EXACT, method, uncertainty: 1e-13 } });
    return layout([run], {}, width).annotations[0].text;
  };
  assert.equal(named("Jordan-Wigner"), "exact (Jordan-Wigner) −2.00000");
  assert.equal(named("exact diagonalisation"), "exact diagonalisation −2.00000");
  assert.equal(named("exact diagonalisation", 360), "exact −2.00000");
});

test("colours follow the run, not its place; beyond the palette the dash changes", () => {
  const [a, b] = [table("a", [-1, -2]), table("b", [-1, -2])];
  const colours = { a: 0, b: 3 };
  const lineOf = (shown, id) => traces(shown, { colours }).traces.find((t) => t.meta === id).line;
  assert.deepEqual(lineOf([a, b], "b"), lineOf([b], "b"));
  assert.deepEqual(lineOf([b], "b"), { color: "#D55E00", dash: "dash", width: 2 });
});

test("runs of one name are told apart by their ids", () => {
  const shown = [table("abcdef", [-1, -2], { name: "x" }), table("fedcba", [-1, -2], { name: "x" }), table("c", [-1, -2])];
  const names = traces(shown).traces.filter((t) => t.meta).map((t) => t.name);
  assert.deepEqual(names, ["x · abcd", "x · fedc", "run c"]);
});

test("smoothing leaves the raw curve behind; the band belongs to what is drawn", () => {
  const run = table("a", [-15, -19, -18]);
  const plain = traces([run]).traces;
  assert.deepEqual(plain.map((t) => t.fill ?? t.line.width), ["toself", 2]);
  const smooth = traces([run], { smoothing: 0.9 }).traces;
  assert.deepEqual(smooth.map((t) => t.fill ?? t.line.width), ["toself", 1, 2]);
  assert.equal(traces([run], { band: false }).traces.length, 1);
});

test("the divergence has its dotted floor", () => {
  const run = table("a", [-1, -2], {}, { jsd: [0.5, 0.1], jsd_floor: [0.01, 0.01] });
  const all = traces([run], { metric: "jsd" }).traces;
  assert.deepEqual(all.map((t) => t.line.dash), ["dot", "solid"]);
  assert.equal(layout([run], { metric: "jsd" }).yaxis.type, "log");
  assert.match(layout([run], { metric: "jsd" }).annotations[0].text, /floor/);
});

test("decimation is counted, and only where it happens", () => {
  const long = table("a", Array.from({ length: 3000 }, (_, i) => -1 - Math.sin(i)));
  const { drawn, points, traces: all } = traces([long]);
  assert.equal(points, 3000);
  assert.ok(drawn > 700 && drawn <= 800 && all.every((t) => t.x.length <= 800));
  assert.equal(traces([long], { range: [100, 200] }).drawn, 0);
});

test("an empty chart says why", () => {
  const text = (tables, wanted, more) => figure.emptyText(tables, wanted, { traces: [] }, options(more));
  assert.equal(text([], []), "none");
  assert.equal(text([], ["a"]), "Waiting for data…");
  assert.equal(text([table("a", [], { phase: "compiling" })], ["a"]), "Compiling…");
  assert.equal(text([table("a", [], { state: "queued" })], ["a"]), "Queued…");
  assert.equal(text([table("a", [-1])], ["a"], { metric: "jsd" }), "These runs do not report this quantity.");
  assert.equal(figure.emptyText([table("a", [-1])], ["a"], { traces: [{ x: [1] }] }, options()), "");
});

test("the description and the file name say what is shown", () => {
  const run = table("a", [-15, -19]);
  const { last } = traces([run]);
  assert.equal(figure.describe(last, options()), "Energy per site (J) against step. run a: -1.9 at 2");
  assert.equal(figure.fileName([run, table("b/ü", [-1])], "energy"), "energy_run-a+run-b-");
});

test("dark and light backgrounds are told apart", () => {
  assert.deepEqual(["#ffffff", "#161b22", "#fff", "rgb(20, 30, 40)", "nonsense"].map(isDark), [false, true, false, true, false]);
});

const lineOf = (made) => made.traces.find((trace) => trace.meta);

test("zeros stand at the foot of a logarithmic axis and are marked as 0", () => {
  const run = table("a", [-1, -1, -1, -1], {}, { variance: [1e-2, 0, 1e-3, 0], v_score: [0, 0, 0, 0] });
  const made = traces([run], { metric: "variance", per_site: false });
  const line = lineOf(made);
  assert.equal(made.foot, 1e-4);
  assert.deepEqual(line.y, [1e-2, 1e-4, 1e-3, 1e-4]);
  assert.deepEqual(line.text, ["1.000e-2", "0", "1.000e-3", "0"]);
  assert.deepEqual(line.marker.size, [0, 7, 0, 7]);
  assert.equal(made.last[0].y, 0);
  const { annotations } = figure.buildLayout([run], made, options({ metric: "variance" }), THEME, 1000);
  assert.ok(annotations.some(({ text, y }) => text === "○ = 0" && Math.abs(y + 4) < 1e-12));
  const zeros = traces([run], { metric: "v_score" });
  assert.ok(lineOf(zeros).y.every((y) => y === zeros.foot && y > 0)); // an axis has no place for 0
  assert.equal(figure.emptyText([run], ["a"], zeros, options({ metric: "v_score" })), "");
  const linear = traces([run], { metric: "variance", per_site: false, y_log: false });
  assert.equal(linear.foot, null);
  assert.deepEqual(lineOf(linear).y, [1e-2, 0, 1e-3, 0]);
});

test("the distance of a run that is exact is shown as 0", () => {
  const run = table("a", [-19, -20, -20]);
  const made = traces([run], { metric: "error" });
  assert.deepEqual(lineOf(made).text.slice(1), ["0", "0"]);
  assert.equal(lineOf(made).y[2], made.foot);
});

test("an undefined value interrupts the curve, a missing one does not, an infinite one stands at the edge", () => {
  const run = table("a", [-1, -1, -1, -1, -1, -1], {}, { r_hat: [1.5, NaN, 1.2, NaN, 1.1, Infinity] });
  run.undefinedSpans = { r_hat: [[3, 4]] };
  const made = traces([run], { metric: "r_hat" });
  assert.deepEqual(lineOf(made).x, [1, 3, null, 5]);
  assert.deepEqual(lineOf(made).y, [1.5, 1.2, null, 1.1]);
  const mark = made.traces.find((trace) => trace.text?.includes("∞"));
  assert.deepEqual([mark.x, mark.y], [[6], [1.5]]);
  assert.equal(made.odd, "infinite or undefined");
});

test("a chart with nothing but infinite or undefined values says so", () => {
  const say = (values, spans) => {
    const run = table("a", values.map(() => -1), {}, { r_hat: values });
    run.undefinedSpans = { r_hat: spans };
    return figure.emptyText([run], ["a"], traces([run], { metric: "r_hat" }), options({ metric: "r_hat" }));
  };
  assert.equal(say([Infinity, Infinity], []), "Infinite at every step so far.");
  assert.equal(say([NaN, NaN], [[0, 2]]), "Undefined at every step so far.");
  assert.equal(say([NaN, NaN], []), "These runs do not report this quantity.");
});
