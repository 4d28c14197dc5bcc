// Values that an axis cannot place: zeros on a logarithmic one, infinities, and what is undefined. No DOM.

const FOOT = 10; // zeros stand this factor below the lowest positive value
const ALONE = 1e-16; // where zeros stand if nothing else is there

/** Lowest and highest finite value of all traces, of the positive ones only where `positive`. */
export function extent(traces, positive) {
  let low = Infinity;
  let high = -Infinity;
  for (const { y } of traces) {
    for (const v of y) {
      if (v === null || !Number.isFinite(v) || (positive && !(v > 0))) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
  }
  return [low, high];
}

/** Rows in [start, end) that interrupt the curve: undefined or infinite. A gap does not: nothing was reported there. */
export function breaks(y, start, end, isUndefined) {
  const rows = [];
  for (let i = start; i < end; i++) {
    if (y[i] === Infinity || y[i] === -Infinity || (Number.isNaN(y[i]) && isUndefined(i))) rows.push(i);
  }
  return rows;
}

/** Indices to draw with a hole, -1, between two that have one of the rising `rows` between them. */
export function broken(at, rows) {
  const out = [];
  let k = 0;
  at.forEach((row, i) => {
    while (k < rows.length && rows[k] < (at[i - 1] ?? row)) k += 1;
    if (i > 0 && rows[k] < row) out.push(-1);
    out.push(row);
  });
  return out;
}

/** Put zeros at the foot of a logarithmic axis, with 0 as what is said of them; the height of the foot, or null. */
export function zerosAtFoot(traces) {
  if (!traces.some(({ y }) => y.includes(0))) return null;
  const [low] = extent(traces, true);
  const foot = low === Infinity ? ALONE : low / FOOT;
  for (const trace of traces) {
    if (!trace.y.includes(0)) continue;
    trace.text = trace.y.map((v) => (v === null ? "" : v === 0 ? "0" : v.toExponential(3)));
    if (trace.hoverinfo !== "skip") trace.hovertemplate = "%{text}";
    trace.y = trace.y.map((v) => (v === 0 ? foot : v));
    const sizes = trace.text.map((words) => (words === "0" ? 7 : 0));
    Object.assign(trace, { mode: "lines+markers", marker: { size: sizes, color: trace.line?.color, symbol: "circle-open" } });
  }
  return foot;
}

/** Triangles at the upper edge, or the lower one, where a curve is infinite; at most `limit`. */
export function infinities(x, y, rows, edges, limit, look) {
  const at = rows.filter((row) => !Number.isNaN(y[row]));
  if (!at.length) return [];
  const every = Math.ceil(at.length / limit);
  const shown = at.filter((_, i) => i % every === 0);
  const up = shown.map((row) => y[row] > 0);
  return [{
    type: "scatter", mode: "markers", x: shown.map((row) => x[row]), y: up.map((is) => (is ? edges[1] : edges[0])),
    text: up.map((is) => (is ? "∞" : "−∞")), hovertemplate: "%{text}", showlegend: false, cliponaxis: false,
    marker: { size: 8, color: look.color, symbol: up.map((is) => (is ? "triangle-up" : "triangle-down")) }, ...look.more,
  }];
}

/** What a column holds that is no number: "infinite", "undefined" or both, in words; "" where all is finite. */
export function oddWords(y, rows) {
  const infinite = rows.some((row) => !Number.isNaN(y[row]));
  const unknown = rows.some((row) => Number.isNaN(y[row]));
  return [infinite && "infinite", unknown && "undefined"].filter(Boolean).join(" or ");
}
