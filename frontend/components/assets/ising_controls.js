// Markup and style of the Ising page's laboratory, and its state in the address.

import { T_CRITICAL } from "./ising_exact.js";

export const T_RANGE = [0.5, 5];
export const H_RANGE = [-1, 1];
export const SIZES = [16, 32, 64, 128, 256];
export const SPEEDS = [1, 2, 5, 10, 20];
export const ALGORITHMS = { metropolis: "Metropolis", heat_bath: "Heat bath", wolff: "Wolff" };
export const ORDER_NAMES = { random: "Random", sequential: "Sequential", checkerboard: "Checkerboard" };
export const DEFAULTS = { T: 2.27, h: 0, L: 128, algorithm: "metropolis", order: "random", speed: 1 };

const clamp = (value, [low, high]) => Math.min(high, Math.max(low, value));

/** What an address such as "?T=1.5&h=0.1&L=64&algorithm=wolff" asks for; nonsense is taken for the default. */
export function readState(search) {
  const query = new URLSearchParams(search);
  const number = (name, range) => {
    const value = Number.parseFloat(query.get(name));
    return Number.isFinite(value) ? clamp(value, range) : DEFAULTS[name];
  };
  const choice = (name, choices) => {
    const value = Number(query.get(name));
    return choices.includes(value) ? value : DEFAULTS[name];
  };
  const name = (key, names) => (Object.hasOwn(names, query.get(key) ?? "") ? query.get(key) : DEFAULTS[key]);
  return {
    T: number("T", T_RANGE),
    h: number("h", H_RANGE),
    speed: choice("speed", SPEEDS),
    L: choice("L", SIZES),
    algorithm: name("algorithm", ALGORITHMS),
    order: name("order", ORDER_NAMES),
  };
}

/** What a visitor must know about the order of the sites, or nothing. */
export function orderNote({ algorithm, order }) {
  if (algorithm !== "metropolis" || order === "random") return "";
  return `${ORDER_NAMES[order]} order is right in equilibrium, but its kinetics after a quench is unphysical.`;
}

/** The address of a state; what has its default is left out, what is not ours stays. */
export function writeState(search, state) {
  const query = new URLSearchParams(search);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (state[name] === value) query.delete(name);
    else query.set(name, String(state[name]));
  }
  const text = query.toString();
  return text ? `?${text}` : "";
}

export const STYLE = `
  .lab { --line: color-mix(in srgb, currentColor 22%, transparent); --accent: var(--panel-primary-color, #1f5fa8);
    display: grid; --side: min(640px, max(340px, 100vh - 370px));
    grid-template-columns: minmax(0, var(--side)) minmax(0, 1fr); gap: 20px 28px; padding: 14px 16px 16px;
    font: 13px var(--bokeh-base-font, Roboto, sans-serif); color: var(--panel-on-surface-color, #1b2430); }
  sub { line-height: 0; }
  canvas.lattice { width: 100%; aspect-ratio: 1; image-rendering: pixelated; display: block; border-radius: 6px;
    cursor: crosshair; touch-action: none; }
  canvas:focus-visible, button:focus-visible, select:focus-visible, input:focus-visible, .seg input:focus-visible + span
    { outline: 3px solid var(--accent); outline-offset: 2px; }
  .row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-top: 10px; }
  .sliders { display: grid; grid-template-columns: 1fr 1fr; gap: 12px 24px; margin-top: 14px; }
  .slider label { display: flex; justify-content: space-between; gap: 8px; }
  .slider output { font-weight: 650; font-variant-numeric: tabular-nums; }
  .slider input { width: 100%; margin: 6px 0 0; accent-color: var(--accent); height: 22px; }
  .marks { position: relative; height: 22px; margin: 0 8px; font-size: 12px; }
  .marks button { position: absolute; transform: translateX(-50%); padding: 1px 6px; border: 0; border-radius: 4px;
    background: none; color: inherit; font: inherit; cursor: pointer; white-space: nowrap; text-decoration: underline; }
  .marks button::before { content: ""; position: absolute; left: 50%; top: -7px; height: 7px; border-left: 2px solid; }
  .act, select { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); cursor: pointer;
    border-radius: 6px; padding: 6px 12px; min-height: 34px; }
  select option { color: #1b2430; background: #ffffff; }
  .act:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
  .act.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600;
    min-width: 78px; }
  .seg { display: inline-flex; border: 1px solid var(--line); border-radius: 6px; padding: 0; margin: 0; }
  .seg legend, .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .seg label { cursor: pointer; }
  .seg input { position: absolute; opacity: 0; }
  .seg span { display: block; padding: 7px 11px; border-radius: 5px; }
  .seg input:checked + span { background: color-mix(in srgb, var(--accent) 20%, transparent); font-weight: 650; }
  .note { margin: 8px 0 0; min-height: 1.3em; }
  .numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); gap: 8px 12px; }
  .numbers b { display: block; font-size: 18px; font-weight: 650; font-variant-numeric: tabular-nums; }
  .plots { display: flex; flex-direction: column; gap: 8px; min-width: 0; }
  .plots h3 { font-size: 13px; font-weight: 600; margin: 6px 0 2px; }
  .plots h3 small { font-weight: 400; font-size: 12px; }
  .plots canvas { width: 100%; height: 140px; display: block; }
  .head { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: center; gap: 6px; }
  @media (max-width: 900px) { .lab { grid-template-columns: minmax(0, 1fr); }
    .stage { margin: 0 auto; width: 100%; max-width: 640px; } }
  @media (max-width: 520px) { .sliders { grid-template-columns: 1fr; } .lab { padding: 10px 12px; } }`;

function select(id, title, values, chosen, text) {
  const options = values.map((v) => `<option value="${v}"${v === chosen ? " selected" : ""}>${text(v)}</option>`);
  return `<label>${title} <select id="${id}">${options.join("")}</select></label>`;
}

function segments(name, title, options, chosen) {
  const items = Object.entries(options).map(([value, text]) => {
    const checked = value === chosen ? " checked" : "";
    return `<label><input type="radio" name="${name}" value="${value}"${checked}><span>${text}</span></label>`;
  });
  return `<fieldset class="seg"><legend>${title}</legend>${items.join("")}</fieldset>`;
}

function slider(id, title, [low, high], step, value, marks = "") {
  return `<div class="slider"><label for="${id}"><span>${title}</span><output id="${id}-now"></output></label>
    <input type="range" id="${id}" min="${low}" max="${high}" step="${step}" value="${value}">
    <div class="marks">${marks}</div></div>`;
}

function mark(id, value, [low, high], text) {
  const left = (100 * (value - low)) / (high - low);
  return `<button type="button" id="${id}" style="left:${left}%">${text}</button>`;
}

const button = (id, text, more = "") => `<button type="button" class="act ${more}" id="${id}">${text}</button>`;

function stage(state) {
  const critical = mark("to-tc", T_CRITICAL, T_RANGE, "T<sub>c</sub> = 2.269");
  return `<div class="stage">
    <canvas class="lattice" tabindex="0" role="img"></canvas>
    <div class="sliders">
      ${slider("T", "Temperature T (J/k<sub>B</sub>)", T_RANGE, 0.01, state.T, critical)}
      ${slider("h", "Field h (J)", H_RANGE, 0.01, state.h, mark("to-zero", 0, H_RANGE, "h = 0"))}
    </div>
    <div class="row">
      ${button("run", "", "main")} ${button("one", "Step")} ${button("random", "Reset: random")}
      ${button("up", "Reset: all up")} ${button("quench", "Quench to T = 1")}
    </div>
    <div class="row">
      ${segments("algorithm", "Algorithm", ALGORITHMS, state.algorithm)}
      ${select("order", "Order", Object.keys(ORDER_NAMES), state.order, (name) => ORDER_NAMES[name])}
      ${select("L", "Lattice", SIZES, state.L, (L) => `${L} × ${L}`)}
      ${select("speed", "Sweeps per frame", SPEEDS, state.speed, String)}
      ${segments("brush", "Brush paints", { 1: "Paint up", "-1": "Paint down" }, "1")}
    </div><p class="note" id="note" role="status"></p></div>`;
}

const NUMBERS = { m: "Magnetisation", e: "Energy (J)", acceptance: "Accepted", sweeps: "Sweeps", fps: "Frames / s" };

const plot = (id, label) => `<canvas id="${id}" role="img" aria-label="${label}"></canvas>`;
const number = ([id, text]) => `<div><span id="${id}-name">${text}</span><b id="${id}">–</b></div>`;

function plots() {
  const third = segments("third", "Third plot", { T: "|m| against T", h: "m against h" }, "T");
  return `<div class="plots"><div class="numbers">${Object.entries(NUMBERS).map(number).join("")}</div>
    <h3>Magnetisation per site <small>– dashed: exact ±m₀(T) at h = 0, Yang 1952</small></h3>
    ${plot("plot-m", "Magnetisation against time")}
    <h3>Energy per site <small>– dashed: exact at h = 0, Onsager 1944</small></h3>
    ${plot("plot-e", "Energy against time")}
    <div class="head"><h3 id="third-name"></h3>${third}</div>
    ${plot("plot-x", "Mean magnetisation against temperature, or magnetisation against field")}
    <div class="row">${button("clear", "Clear plots")}</div></div>`;
}

/** Build the laboratory in `el`; returns a function that finds an element by its id. */
export function buildLab(el, state) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  const lab = document.createElement("div");
  lab.className = "lab";
  lab.innerHTML = stage(state) + plots();
  el.append(style, lab);
  return (selector) => lab.querySelector(selector);
}
