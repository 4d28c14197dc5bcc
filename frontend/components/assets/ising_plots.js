// The three small plots of the Ising page, drawn on canvases: cheap enough to stand beside 60 frames a second.

import { T_CRITICAL, energyExact, magnetisationExact } from "./ising_exact.js";

export const LENGTH = 600; // frames kept of m(t) and e(t)
const LOOP = 3000; // points kept of the loop m(h)
const LEFT = 40;
const BOTTOM = 20;
const COLOURS = {
  light: { m: "#D55E00", e: "#0072B2", points: "#009E73" },
  dark: { m: "#FF8A4C", e: "#56B4E9", points: "#2fd3a5" },
};

/** What was measured since the last reset. */
export class History {
  constructor() {
    this.clear();
    this.clearAverages();
  }

  clear() {
    this.rows = []; // {sweeps, m, e}
    this.loop = []; // {h, m}
  }

  clearAverages() {
    this.averages = new Map(); // T -> {sum, n, moved} of |m| without a field
  }

  push(sweeps, h, { m, e }) {
    this.rows.push({ sweeps, m, e });
    if (this.rows.length > LENGTH) this.rows.shift();
    this.loop.push({ h, m });
    if (this.loop.length > LOOP) this.loop.shift();
  }

  /** `moved`: a spin has flipped since the temperature was set; else the average is that of one configuration. */
  average(T, m, moved) {
    const key = T.toFixed(2);
    const entry = this.averages.get(key) ?? { T: Number(key), sum: 0, n: 0, moved: false };
    entry.sum += Math.abs(m);
    entry.n += 1;
    entry.moved ||= moved;
    this.averages.set(key, entry);
  }
}

class Axes {
  constructor(canvas, [x0, x1], [y0, y1], theme) {
    const ratio = globalThis.devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.context = canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.font = `11px ${theme.font}`;
    this.theme = theme;
    this.x = (v) => LEFT + ((this.width - LEFT - 8) * (v - x0)) / (x1 - x0);
    this.y = (v) => 6 + (this.height - 6 - BOTTOM) * (1 - (v - y0) / (y1 - y0));
    this.bounds = { x0, x1, y0, y1 };
  }

  grid(xTicks, yTicks, format = String) {
    const { context, theme, bounds } = this;
    context.fillStyle = theme.text;
    context.strokeStyle = theme.grid;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const v of yTicks) {
      this.path([[bounds.x0, v], [bounds.x1, v]]);
      context.fillText(v.toFixed(1), LEFT - 6, this.y(v));
    }
    context.textBaseline = "top";
    for (const v of xTicks) {
      context.textAlign = v === bounds.x0 ? "left" : v === bounds.x1 ? "right" : "center";
      context.fillText(format(v), this.x(v), this.height - BOTTOM + 6);
    }
  }

  path(points) {
    const { context } = this;
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(this.x(x), this.y(y)) : context.moveTo(this.x(x), this.y(y))));
    context.stroke();
  }

  line(points, colour, width = 1.6, dash = []) {
    const { context } = this;
    Object.assign(context, { strokeStyle: colour, lineWidth: width, lineJoin: "round" });
    context.setLineDash(dash);
    this.path(points);
    context.setLineDash([]);
  }

  dot(x, y, colour, radius = 3, filled = true) {
    const { context } = this;
    Object.assign(context, { fillStyle: colour, strokeStyle: colour, lineWidth: 1.2 });
    context.beginPath();
    context.arc(this.x(x), this.y(y), radius, 0, 2 * Math.PI);
    if (filled) context.fill();
    else context.stroke();
  }
}

const colour = (name, theme) => COLOURS[theme.dark ? "dark" : "light"][name];

function againstTime(canvas, history, name, range, ticks, exact, theme) {
  const { rows } = history;
  const first = rows[0]?.sweeps ?? 0;
  const last = Math.max(rows.at(-1)?.sweeps ?? 0, first + 10);
  const axes = new Axes(canvas, [first, last], range, theme);
  axes.grid([first, last], ticks, (v) => `${v} sweeps`);
  for (const y of exact) axes.line([[first, y], [last, y]], theme.text, 1.2, [6, 4]);
  axes.line(rows.map((row) => [row.sweeps, row[name]]), colour(name, theme));
}

/** m(t) with the exact spontaneous magnetisation, where there is no field. */
export function plotMagnetisation(canvas, history, { T, h }, theme) {
  const m0 = magnetisationExact(T);
  againstTime(canvas, history, "m", [-1.05, 1.05], [-1, 0, 1], h === 0 ? [m0, -m0] : [], theme);
}

/** e(t) with Onsager's energy, where there is no field. */
export function plotEnergy(canvas, history, { T, h }, theme) {
  const low = Math.min(-2, -2 - Math.abs(h));
  againstTime(canvas, history, "e", [low - 0.05, 0.3], [-2, -1, 0], h === 0 ? [energyExact(T)] : [], theme);
}

/** Measured <|m|> against T over Yang's curve; the present temperature is marked. */
export function plotTemperature(canvas, history, { T, h }, [low, high], theme) {
  const axes = new Axes(canvas, [low, high], [-0.03, 1.05], theme);
  axes.grid([low, T_CRITICAL, high], [0, 0.5, 1], (v) => (v === T_CRITICAL ? "critical 2.269" : `${v}`));
  axes.line([[T_CRITICAL, 0], [T_CRITICAL, 1.05]], theme.text, 1, [2, 3]);
  axes.line([[T, 0], [T, 1.05]], colour("m", theme), 1.2);
  const curve = [];
  for (let i = 0; i <= 300; i++) {
    const t = low + (T_CRITICAL - 1e-9 - low) * (1 - (1 - i / 300) ** 4); // dense where the curve is steep
    curve.push([t, magnetisationExact(t)]);
  }
  axes.line([...curve, [T_CRITICAL, 0], [high, 0]], theme.text, 1.4);
  for (const { T: t, sum, n, moved } of history.averages.values()) {
    axes.dot(t, sum / n, colour("points", theme), 3, moved);
  }
  const now = h === 0 && history.rows.at(-1);
  if (now) axes.dot(T, Math.abs(now.m), colour("m", theme), 4);
}

/** The path (h, m): moved slowly below T_c, the field draws a hysteresis loop. */
export function plotField(canvas, history, [low, high], theme) {
  const axes = new Axes(canvas, [low, high], [-1.05, 1.05], theme);
  axes.grid([low, 0, high], [-1, 0, 1]);
  axes.line([[0, -1.05], [0, 1.05]], theme.grid, 1);
  axes.line(history.loop.map(({ h, m }) => [h, m]), colour("points", theme));
  const now = history.loop.at(-1);
  if (now) axes.dot(now.h, now.m, colour("m", theme), 4);
}
