// The 2D Ising model as something to play with: simulated, drawn and measured in the browser.

import { DEFAULTS, H_RANGE, T_RANGE, buildLab, orderNote, readState, writeState } from "./ising_controls.js";
import { Ising } from "./ising_engine.js";
import { History, plotEnergy, plotField, plotMagnetisation, plotTemperature } from "./ising_plots.js";
import { pixel } from "./spin_draw.js";
import { onTheme, reducedMotion, themeColours } from "./theme.js";

const BUDGET_MS = 12; // of a frame for simulation: a slow device makes fewer sweeps, not fewer frames
const TEXT_MS = 100;
const SETTLE_SWEEPS = 200; // after a change of temperature, before |m| is averaged
const STILL_SWEEPS = 100; // without a flip, before the page remarks it
const QUENCH_T = 1;

class Lab {
  constructor(model, el) {
    this.colours = { up: pixel(model.colour_up), down: pixel(model.colour_down) };
    this.state = readState(location.search);
    this.history = new History();
    this.running = !reducedMotion();
    this.seed = (Date.now() ^ (Math.random() * 2 ** 31)) >>> 0;
    this.brush = 1;
    this.third = "T";
    this.frames = 0;
    this.fps = 0;
    el.style.cssText = "display:block;width:100%";
    this.$ = buildLab(el, this.state);
    this.canvas = this.$("canvas.lattice");
    this.listen(el, model);
    this.reset("random");
    this.show();
    globalThis.__ising = this; // for tests
    requestAnimationFrame((now) => this.frame(now));
  }

  listen(el, model) {
    const { $ } = this;
    const click = (id, act) => $(`#${id}`).addEventListener("click", act);
    for (const name of ["T", "h"]) {
      $(`#${name}`).addEventListener("input", (event) => this.set({ [name]: Number(event.target.value) }));
    }
    click("to-tc", () => this.set({ T: DEFAULTS.T }));
    click("to-zero", () => this.set({ h: 0 }));
    click("run", () => this.toggle());
    click("one", () => this.stepOnce());
    click("random", () => this.reset("random"));
    click("up", () => this.reset("up"));
    click("quench", () => {
      this.set({ T: QUENCH_T, h: 0 });
      this.reset("random");
    });
    click("clear", () => {
      this.history.clear();
      this.history.clearAverages();
      this.drawPlots();
    });
    $("#L").addEventListener("change", (event) => {
      this.set({ L: Number(event.target.value) });
      this.reset("random");
    });
    $("#order").addEventListener("change", (event) => this.set({ order: event.target.value }));
    $("#speed").addEventListener("change", (event) => this.set({ speed: Number(event.target.value) }));
    for (const input of $(".stage").parentElement.querySelectorAll("input[type=radio]")) {
      input.addEventListener("change", () => this.choose(input.name, input.value));
    }
    this.painting();
    const endTheme = onTheme(() => this.themed());
    this.themed();
    const sized = new ResizeObserver(() => this.drawPlots());
    sized.observe(el);
    model.on("remove", () => {
      this.removed = true;
      sized.disconnect();
      endTheme();
    });
  }

  themed() {
    this.theme = themeColours();
    // Text on the accent colour: the light theme's accent is dark and the other way round.
    this.$(".stage").parentElement.style.setProperty("--on-accent", this.theme.dark ? "#0e1217" : "#ffffff");
    this.drawPlots();
  }

  choose(name, value) {
    if (name === "algorithm") this.set({ algorithm: value });
    else if (name === "brush") this.brush = Number(value);
    else this.third = value;
    this.show();
  }

  painting() {
    const { canvas } = this;
    const paint = (event) => {
      const box = canvas.getBoundingClientRect();
      const { L } = this.state;
      const x = Math.floor(((event.clientX - box.left) / box.width) * L);
      const y = Math.floor(((event.clientY - box.top) / box.height) * L);
      if (x < 0 || y < 0 || x >= L || y >= L) return;
      this.model.paint(x, y, Math.max(1, L >> 5), event.shiftKey ? -this.brush : this.brush);
      this.still = 0;
      this.drawLattice();
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      paint(event);
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && paint(event));
    canvas.addEventListener("keydown", (event) => {
      if (event.key === " ") this.toggle();
      else if (event.key === "s") this.stepOnce();
      else return;
      event.preventDefault();
    });
  }

  set(change) {
    Object.assign(this.state, change);
    Object.assign(this.model, { T: this.state.T, h: this.state.h });
    this.settled = 0;
    this.still = 0;
    this.show();
    clearTimeout(this.urlTimer); // browsers allow few changes of the address in a second
    this.urlTimer = setTimeout(() => {
      const query = writeState(location.search, this.state);
      history.replaceState(history.state, "", location.pathname + query + location.hash);
    }, 300);
  }

  reset(kind) {
    const { L, T, h } = this.state;
    this.seed += 1;
    this.model = new Ising(L, { T, h, seed: this.seed });
    this.model.fill(kind);
    Object.assign(this.canvas, { width: L, height: L });
    this.image = this.canvas.getContext("2d").createImageData(L, L);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.sweeps = 0;
    this.settled = 0;
    this.still = 0; // sweeps since a spin flipped
    this.accepted = 0;
    this.history.clear();
    if (this.lastSize !== L) this.history.clearAverages(); // |m| depends on the size
    this.lastSize = L;
    this.measure();
    this.draw();
  }

  toggle() {
    this.running = !this.running;
    this.show();
  }

  stepOnce() {
    this.running = false;
    this.show();
    this.advance(1);
    this.draw();
  }

  advance(count) {
    const start = performance.now();
    let done = 0;
    while (done < count && (done === 0 || performance.now() - start < BUDGET_MS)) {
      this.accepted = this.model.step(this.state.algorithm, this.state.order);
      this.still = this.accepted ? 0 : this.still + 1;
      this.sweeps += 1;
      this.settled += 1;
      if (this.settled < SETTLE_SWEEPS / 2) this.model.tune();
      done += 1;
    }
    this.sweepMs = (performance.now() - start) / done;
    this.measure();
  }

  measure() {
    this.now = this.model.observe();
    this.history.push(this.sweeps, this.state.h, this.now);
    if (this.state.h === 0 && this.settled > SETTLE_SWEEPS) {
      this.history.average(this.state.T, this.now.m, this.still < this.settled);
    }
  }

  frame(now) {
    if (this.removed) return;
    requestAnimationFrame((next) => this.frame(next));
    const dt = now - (this.lastFrame ?? now);
    this.lastFrame = now;
    if (document.hidden || !this.canvas.isConnected) return;
    if (dt > 0) this.fps = this.fps ? 0.95 * this.fps + 50 / dt : 1000 / dt;
    if (!this.running) return;
    this.frames += 1;
    this.advance(this.state.speed);
    this.drawLattice();
    if (now - (this.lastText ?? 0) > TEXT_MS) {
      this.lastText = now;
      this.drawPlots();
      this.drawNumbers();
    }
  }

  draw() {
    this.drawLattice();
    this.drawPlots();
    this.drawNumbers();
  }

  drawLattice() {
    const { spins } = this.model;
    const { up, down } = this.colours;
    for (let i = 0; i < spins.length; i++) this.pixels[i] = spins[i] > 0 ? up : down;
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }

  drawPlots() {
    if (!this.model) return;
    const { $, history: past, state, theme } = this;
    plotMagnetisation($("#plot-m"), past, state, theme);
    plotEnergy($("#plot-e"), past, state, theme);
    if (this.third === "T") plotTemperature($("#plot-x"), past, state, T_RANGE, theme);
    else plotField($("#plot-x"), past, H_RANGE, theme);
  }

  drawNumbers() {
    const { $, now } = this;
    const wolff = this.state.algorithm === "wolff";
    const share = wolff ? this.model.meanCluster / this.model.n : this.accepted;
    const text = {
      m: now.m.toFixed(3),
      e: now.e.toFixed(3),
      sweeps: String(this.sweeps),
      fps: this.running ? this.fps.toFixed(0) : "–",
      acceptance: `${(100 * share).toFixed(1)} %`,
      "acceptance-name": wolff ? "Mean cluster" : "Accepted",
      "sweeps-name": wolff ? "Steps" : "Sweeps",
    };
    for (const [id, value] of Object.entries(text)) $(`#${id}`).textContent = value;
    this.drawNote();
    const { L } = this.state;
    const keys = "Space starts and stops, S makes one sweep.";
    this.canvas.setAttribute("aria-label", `${L} by ${L} spins, magnetisation ${now.m.toFixed(2)}. ${keys}`);
  }

  drawNote() {
    const stuck = this.still >= STILL_SWEEPS ? "Nothing has moved for a while: this is one state, not an average." : "";
    const text = [orderNote(this.state), stuck].filter(Boolean).join(" ");
    const note = this.$("#note");
    if (note.textContent !== text) note.textContent = text; // a status is read aloud when it changes
  }

  show() {
    const { $, state } = this;
    $("#order").disabled = state.algorithm === "wolff";
    this.drawNote();
    $("#T").value = state.T;
    $("#h").value = state.h;
    $("#T-now").textContent = state.T.toFixed(2);
    $("#h-now").textContent = state.h.toFixed(2);
    $("#run").textContent = this.running ? "Stop" : "Start";
    const names = { T: "Mean |m| at h = 0 <small>– line: exact, dots: measured, circles: nothing moved</small>", h: "Path of h and m" };
    $("#third-name").innerHTML = names[this.third];
    this.drawPlots();
  }
}

export function render({ model, el }) {
  new Lab(model, el);
}
