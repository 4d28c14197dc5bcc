// From a run's table to curves: metrics, x axes, smoothing, decimation. Pure functions on typed arrays.

/** What is drawn for each metric; any other name is a column drawn as it is. `log` is the default of the y axis. */
export const METRICS = {
  energy: { title: "Energy", error: "energy_error" },
  error: { title: "|E − E₀| / |E₀|", log: true },
  variance: { title: "Variance of the local energy", log: true },
  v_score: { title: "V-score", log: true },
  acceptance: { title: "Accepted share of moves" },
  r_hat: { title: "R̂, the larger of split and rank-normalised", guide: 1.01 },
  r_hat_nested: { title: "Nested R̂, for many short chains", guide: 1.01 },
  ess: { title: "Effective samples / samples" },
  jsd: { title: "JSD of the samples from the network's own |ψ|² (bit)", log: true, floor: "jsd_floor" },
  step_seconds: { title: "Time per step (s)", log: true },
  infidelity: { title: "Infidelity 1 − |⟨ψ|ψ₀⟩|² (exact ground states)", log: true },
  bond_energy_mean: { title: "Mean energy of a bond (J)" },
  renyi2: { title: "Rényi-2 entropy (nat)" },
  truncation_error: { title: "Discarded weight", log: true },
  max_entropy: { title: "Largest entanglement entropy (nat)" },
};

export const X_MODES = {
  step: { column: "step", title: "Step" },
  time: { column: "time", title: "Training time (s)" },
  samples: { column: "samples", title: "Samples" },
};

export function metricOf(name) {
  const words = name.replaceAll("_squared", "²").replaceAll("_fourth", "⁴").replaceAll("_", " ");
  return METRICS[name] ?? { title: words.charAt(0).toUpperCase() + words.slice(1) };
}

export function yTitle(metric, perSite) {
  if (metric === "energy") return perSite ? "Energy per site (J)" : "Energy (J)";
  if (metric === "variance") return perSite ? "Variance per site (J²)" : "Variance (J²)";
  return metricOf(metric).title;
}

/** The reference energy that a relative error may be taken to: exact or an estimate, never a bound. */
export function comparable(reference) {
  return reference && Number.isFinite(reference.energy) && reference.bound !== "upper" ? reference.energy : null;
}

/**
 * The curve of a metric, its standard error (or null) and the column behind it, at full resolution; null if the run
 * cannot have it.
 */
export function curve(table, metric, perSite) {
  const energy = table.column("energy");
  const scale = perSite ? 1 / (table.info.n_sites || 1) : 1;
  if (metric === "error") {
    const e0 = comparable(table.info.reference);
    if (!energy || e0 === null || e0 === 0) return null;
    return { y: map(energy, (e) => Math.abs((e - e0) / e0)), error: null, column: "energy" };
  }
  const values = table.column(metric);
  if (!values) return null;
  if (metric === "energy") {
    const error = table.column("energy_error");
    return { y: map(values, (e) => e * scale), error: error && map(error, (e) => e * scale), column: metric };
  }
  if (metric === "variance") return { y: map(values, (v) => v * scale), error: null, column: metric };
  return { y: values, error: table.column(`${metric}_error`), column: metric };
}

function map(values, f) {
  const out = new Float64Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = f(values[i]);
  return out;
}

/**
 * Exponential moving average with weight `w` of the past, debiased: sum_k w^(n-k) y_k / sum_k w^(n-k). Missing values
 * are left out and stay missing. `error` is the standard error of that mean for independent steps.
 */
export function ema(y, w, error = null) {
  const mean = new Float64Array(y.length).fill(NaN);
  const sigma = error && new Float64Array(y.length).fill(NaN);
  let sum = 0;
  let weight = 0;
  let variance = 0;
  for (let i = 0; i < y.length; i++) {
    if (!Number.isFinite(y[i])) continue;
    sum = w * sum + (1 - w) * y[i];
    weight = w * weight + (1 - w);
    mean[i] = sum / weight;
    if (error) {
      variance = w * w * variance + ((1 - w) * error[i]) ** 2;
      sigma[i] = Math.sqrt(variance) / weight;
    }
  }
  return { mean, sigma };
}

/** First and one past the last index with x in [lo, hi], and one more on each side so that lines leave the frame. */
export function windowOf(x, lo, hi) {
  let start = 0;
  let end = x.length;
  while (start < end && !(x[start] >= lo)) start += 1;
  while (end > start && !(x[end - 1] <= hi)) end -= 1;
  return [Math.max(0, start - 1), Math.min(x.length, end + 1)];
}

/** At most `limit` indices in [start, end): all finite points, or minimum and maximum of each of limit/2 buckets. */
export function minmax(y, start, end, limit) {
  const finite = [];
  for (let i = start; i < end; i++) if (Number.isFinite(y[i])) finite.push(i);
  const n = finite.length;
  if (n <= limit) return finite;
  const buckets = limit >> 1;
  const out = [];
  for (let b = 0; b < buckets; b++) {
    const first = Math.floor((b * n) / buckets);
    const last = Math.floor(((b + 1) * n) / buckets);
    let low = finite[first];
    let high = low;
    for (let k = first; k < last; k++) {
      if (y[finite[k]] < y[low]) low = finite[k];
      if (y[finite[k]] > y[high]) high = finite[k];
    }
    out.push(Math.min(low, high));
    if (low !== high) out.push(Math.max(low, high));
  }
  // The newest value is the one that people read off.
  out[out.length - 1] = finite[n - 1];
  return out;
}

/** The outline of y ± error as one closed polygon of at most `limit` points: the envelope of each bucket. */
export function band(x, y, error, start, end, limit) {
  const ok = [];
  for (let i = start; i < end; i++) if (Number.isFinite(y[i]) && Number.isFinite(error[i])) ok.push(i);
  const buckets = Math.min(ok.length, limit >> 1);
  const upper = [];
  const lower = [];
  for (let b = 0; b < buckets; b++) {
    const first = Math.floor((b * ok.length) / buckets);
    const last = Math.floor(((b + 1) * ok.length) / buckets);
    let high = -Infinity;
    let low = Infinity;
    for (let k = first; k < last; k++) {
      high = Math.max(high, y[ok[k]] + error[ok[k]]);
      low = Math.min(low, y[ok[k]] - error[ok[k]]);
    }
    const at = x[ok[(first + last - 1) >> 1]];
    upper.push([at, high]);
    lower.push([at, low]);
  }
  const outline = upper.concat(lower.reverse());
  return { x: outline.map((p) => p[0]), y: outline.map((p) => p[1]) };
}
