// The Plotly figure of a live chart: traces, reference lines, layout. Pure: data, options and theme are handed in.

import { axisLook, frameLook } from "./chart_frame.js";
import { breaks, broken, extent, infinities, oddWords, zerosAtFoot } from "./odd_values.js";
import { X_MODES, band, comparable, curve, ema, metricOf, minmax, windowOf, yTitle } from "./series.js";
import { withAlpha } from "./theme.js";

const DASHES = ["solid", "dash", "dot", "dashdot"];
const REFERENCE_DASH = { exact: "solid", estimate: "dash", upper: "dot" };
export const NARROW_PX = 520;

/** Colour and dash of a run, from its index in the palette; beyond the palette the dash changes. */
export function styleOf(index, palette) {
  return { color: palette[index % palette.length], dash: DASHES[Math.floor(index / palette.length) % DASHES.length] };
}

export const nameOf = (table) => table.info.name || String(table.id).slice(0, 8);

const twice = (names, name) => names.indexOf(name) !== names.lastIndexOf(name);

/** The names of runs by id; where two share one, their systems tell them apart, and where these are alike the ids. */
export function labels(tables) {
  const names = tables.map(nameOf);
  const systems = tables.map((table, i) => (table.info.label ? `${names[i]} · ${table.info.label}` : names[i]));
  const told = ({ id }, i) => {
    if (!twice(names, names[i])) return names[i];
    return twice(systems, systems[i]) ? `${names[i]} · ${String(id).slice(0, 4)}` : systems[i];
  };
  return new Map(tables.map((table, i) => [table.id, told(table, i)]));
}

const isLog = (options) => options.y_log ?? metricOf(options.metric).log ?? false;

/**
 * All traces, the number of points hidden by decimation, the last value of each run, the height at which a logarithmic
 * axis has its zeros (or null), and what values are no numbers.
 */
export function buildTraces(tables, options, theme) {
  const { palette } = options;
  const names = labels(tables);
  const bands = [];
  const behind = [];
  const lines = [];
  const last = [];
  const odd = [];
  let points = 0;
  let drawn = 0;
  tables.forEach((table, position) => {
    const x = table.column(X_MODES[options.x_mode].column);
    const data = table.n && x ? curve(table, options.metric, options.per_site) : null;
    if (!data) return;
    const style = styleOf(options.colours[table.id] ?? position, palette);
    const [start, end] = options.range ? windowOf(x, ...options.range) : [0, x.length];
    const smooth = options.smoothing > 0;
    const raw = { mean: data.y, sigma: data.error };
    const { mean, sigma } = smooth ? ema(data.y, options.smoothing, data.error) : raw;
    const holes = breaks(data.y, start, end, (row) => table.isUndefined(data.column, row));
    const trace = (y, more) => ({ ...lineTrace(x, y, start, end, options, holes), name: names.get(table.id), ...more });
    const quiet = { hoverinfo: "skip", showlegend: false, legendgroup: table.id };
    if (options.band && sigma) {
      const outline = band(x, mean, sigma, start, end, options.max_points);
      const fill = { mode: "none", fill: "toself", fillcolor: withAlpha(style.color, theme.dark ? 0.4 : 0.25) };
      bands.push({ type: "scatter", ...fill, name: nameOf(table), ...quiet, ...outline });
    }
    if (smooth) behind.push(trace(data.y, { ...quiet, line: { color: style.color, width: 1 }, opacity: 0.3 }));
    const main = trace(mean, { legendgroup: table.id, line: { ...style, width: 2 }, meta: table.id });
    if (main.x.length === 1) Object.assign(main, { mode: "markers", marker: { color: style.color, size: 7 } });
    if (holes.length) odd.push({ x, y: data.y, holes, color: style.color, name: names.get(table.id) });
    lines.push(main);
    const finite = mean.subarray(start, end).reduce((n, v) => n + Number.isFinite(v), 0);
    points = Math.max(points, finite);
    drawn = Math.max(drawn, finite > options.max_points ? main.x.length : 0);
    if (main.x.length) last.push({ table, x: main.x.at(-1), y: main.y.at(-1) });
    behind.push(...floorTrace(table, options, x, start, end, style, quiet));
  });
  const foot = isLog(options) ? zerosAtFoot([...behind, ...lines]) : null;
  const marks = marksOf(odd, [...behind, ...lines], options);
  const words = [...new Set(odd.map(({ y, holes }) => oddWords(y, holes)))].join(", ");
  return { traces: [...bands, ...behind, ...lines, ...marks], points, drawn, last, foot, odd: words };
}

// Infinite values stand at the edge of what is finite; where nothing is, the chart says so in words.
function marksOf(odd, traces, options) {
  const edges = extent(traces, isLog(options));
  if (edges[0] > edges[1]) return [];
  return odd.flatMap(({ x, y, holes, color, name }) => (
    infinities(x, y, holes, edges, options.max_points, { color, more: { name } })
  ));
}

function lineTrace(x, y, start, end, options, holes = []) {
  const at = broken(minmax(y, start, end, options.max_points), holes);
  const pick = (values) => at.map((i) => (i < 0 ? null : values[i]));
  return { type: "scatter", mode: "lines", x: pick(x), y: pick(y) };
}

// The divergence that a perfect sampler would show with this many samples: below it nothing can be read.
function floorTrace(table, options, x, start, end, style, quiet) {
  const name = metricOf(options.metric).floor;
  const y = name && table.column(name);
  if (!y) return [];
  const line = { color: style.color, width: 1.5, dash: "dot" };
  const more = { ...quiet, line, opacity: 0.8, name: `${nameOf(table)} floor` };
  return [{ ...lineTrace(x, y, start, end, options), ...more }];
}

/** "−1.27324", or "−1.2732(5)" where the reference is uncertain in sight; `scale` divides by the number of sites. */
export function referenceValue(reference, scale) {
  const value = reference.energy * scale;
  const error = (reference.uncertainty ?? 0) * scale;
  const minus = (words) => words.replace("-", "−");
  if (!(error > 1e-8)) return minus(value.toFixed(5));
  const digits = Math.min(10, Math.max(0, Math.ceil(-Math.log10(error))));
  return minus(`${value.toFixed(digits)}(${Math.round(error * 10 ** digits)})`);
}

export function referenceText(reference, scale, narrow) {
  const sign = reference.bound === "upper" ? "≤ " : "";
  const exact = reference.bound === "exact";
  const method = reference.method || "reference";
  const full = exact && !method.includes("exact") ? `exact (${method})` : method;
  return `${narrow && exact ? "exact" : full} ${sign}${referenceValue(reference, scale)}`;
}

/** The different reference energies of the runs shown, in the units of the axis. */
export function references(tables, options) {
  if (options.metric !== "energy" || !options.reference) return [];
  const found = new Map();
  tables.forEach((table, position) => {
    const reference = table.info.reference;
    if (!reference || !Number.isFinite(reference.energy)) return;
    const scale = options.per_site ? 1 / (table.info.n_sites || 1) : 1;
    const text = referenceText(reference, scale, options.narrow);
    const index = options.colours[table.id] ?? position;
    if (!found.has(text)) found.set(text, { y: reference.energy * scale, text, bound: reference.bound, index });
  });
  return [...found.values()];
}

// One line is nobody's and has the colour of the text; several have the colours of their runs.
function guides(tables, options, theme, foot) {
  const lines = references(tables, options);
  const { guide, floor } = metricOf(options.metric);
  if (guide && tables.length) lines.push({ y: guide, text: `mixed below ${guide}`, bound: "upper" });
  const shapes = lines.map((line) => {
    const color = lines.length > 1 ? styleOf(line.index ?? 0, options.palette).color : theme.text;
    const look = { color, width: 1.2, dash: REFERENCE_DASH[line.bound] ?? "dash" };
    return { type: "line", xref: "paper", x0: 0, x1: 1, y0: line.y, y1: line.y, line: look };
  });
  const label = (y, text, left) => ({
    xref: "paper", x: left ? 0 : 1, xanchor: left ? "left" : "right", yanchor: "top", text, showarrow: false,
    y: options.log ? Math.log10(y) : y, font: { size: 12, color: theme.text }, bgcolor: veil(theme.background),
  });
  const annotations = lines.map((line, i) => label(line.y, line.text, i % 2 === 1));
  if (foot) annotations.push({ ...label(foot, "○ = 0", true), yanchor: "bottom" });
  const lowest = floor && floorOf(tables, floor);
  if (lowest) annotations.push(label(lowest, "dotted: floor of a finite sample", true));
  return { lines, shapes, annotations };
}

const veil = (colour) => (/^#[0-9a-f]{6}$/i.test(colour) ? withAlpha(colour, 0.7) : "rgba(0,0,0,0)");

// The lowest floor of all runs, each at its newest value; undefined if nobody reports one.
function floorOf(tables, name) {
  const newest = tables.map((table) => table.column(name)?.findLast(Number.isFinite)).filter((v) => v > 0);
  return newest.length ? Math.min(...newest) : undefined;
}

// Plotly leaves shapes out of its own range: the line and its label must be in sight before the energy is down there.
function room(lines, traces) {
  const [lowest, highest] = extent(traces, false);
  const low = Math.min(lowest, ...lines.map((line) => line.y));
  const high = Math.max(highest, ...lines.map((line) => line.y));
  return lines.length ? { include: [low - 0.07 * (high - low || Math.abs(low) || 1), high] } : undefined;
}

// Whole decades only where there are some: within one decade Plotly's own ticks are better.
function decades(traces) {
  const [low, high] = extent(traces, true);
  return high / low > 30 ? Math.ceil(Math.log10(high / low) / 8) : undefined;
}

function yAxis(axis, lines, traces, options) {
  const { log } = options;
  return {
    ...axis, title: { ...axis.title, text: yTitle(options.metric, options.per_site) }, type: log ? "log" : "linear",
    hoverformat: log ? ".3~e" : ".6~g", exponentformat: "power", dtick: log ? decades(traces) : undefined,
    autorangeoptions: log ? undefined : room(lines, traces),
  };
}

export function buildLayout(tables, { traces, foot = null }, options, theme, width) {
  const narrow = width < NARROW_PX;
  const log = isLog(options);
  const { lines, shapes, annotations } = guides(tables, { ...options, log, narrow }, theme, foot);
  const legend = options.show_legend && tables.length > 0;
  const axis = axisLook(theme, narrow);
  const xTitle = { ...axis.title, text: options.x_title || X_MODES[options.x_mode].title };
  return {
    ...frameLook(theme, narrow, legend),
    uirevision: [options.metric, options.x_mode, options.x_log, log, options.per_site].join(),
    hovermode: "x unified", shapes, annotations,
    xaxis: { ...axis, title: xTitle, type: options.x_log ? "log" : "linear", nticks: narrow ? 5 : undefined },
    yaxis: yAxis(axis, lines, traces, { ...options, log }),
  };
}

/** Why there is nothing to see, or "" if there is something. */
export function emptyText(tables, wanted, { traces, odd = "" }, options) {
  if (traces.some((trace) => trace.x.length)) return "";
  if (odd) return `${odd[0].toUpperCase()}${odd.slice(1)} at every step so far.`;
  if (!wanted.length) return options.empty_text;
  if (!tables.length) return "Waiting for data…";
  const infos = tables.map((table) => table.info);
  if (infos.every((info) => info.phase === "compiling")) return "Compiling…";
  if (infos.every((info) => info.state === "queued")) return "Queued…";
  if (infos.every((info) => info.state === "queued" || info.state === "starting")) return "Starting…";
  if (options.metric === "error" && infos.every((info) => comparable(info.reference) === null)) {
    return "No exact or estimated reference energy to compare with.";
  }
  return tables.some((table) => table.n) ? "These runs do not report this quantity." : "No steps yet…";
}

/** A sentence for screen readers. */
export function describe(last, options) {
  const what = yTitle(options.metric, options.per_site);
  const short = (value) => Number(value.toPrecision(6));
  const parts = last.map(({ table, x, y }) => `${nameOf(table)}: ${short(y)} at ${short(x)}`);
  return `${what} against ${X_MODES[options.x_mode].title.toLowerCase()}. ${parts.join("; ") || "No data."}`;
}

export function fileName(tables, metric) {
  const names = tables.map(nameOf).join("+").replaceAll(/[^\w.+-]+/g, "-").slice(0, 100);
  return `${metric}_${names || "empty"}`;
}
