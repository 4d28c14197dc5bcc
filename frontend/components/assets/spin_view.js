// Spin configurations of several chains of a run, as the sampler last left them.

import { getFeed } from "./feed.js";
import { arrange, magnetisation, paint, pixel, place } from "./spin_draw.js";
import { onTheme, reducedMotion } from "./theme.js";

const CALM_MS = 1000; // between two pictures where the visitor asked for less motion
const STYLE = `
  .spins { width: 100%; font: 12px var(--bokeh-base-font, Roboto, sans-serif); color: var(--panel-on-surface-color); }
  canvas { display: block; margin: 0 auto; max-width: 100%; border-radius: 4px; }
  .caption { padding-top: 8px; text-align: center; font-variant-numeric: tabular-nums; line-height: 1.5; }
  .key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 4px 0 10px; }`;

class SpinView {
  constructor(model, el) {
    this.model = model;
    this.feed = getFeed(model.ws_path);
    this.image = document.createElement("canvas"); // one pixel per site, scaled up without smoothing
    this.last = 0;
    this.build(el);
    const undo = [this.feed.subscribe((frame) => this.onFeed(frame)), onTheme(() => this.schedule(true))];
    for (const name of ["run", "max_tiles", "max_px", "colour_up", "colour_down"]) model.on(name, () => this.wish());
    const sized = new ResizeObserver(() => this.schedule(true));
    sized.observe(el);
    model.on("remove", () => {
      undo.forEach((end) => end());
      sized.disconnect();
      this.removed = true;
      globalThis.__spins.delete(this);
      this.feed.release(this);
    });
    this.wish();
  }

  build(el) {
    const { model } = this;
    el.style.cssText = "display:block;width:100%";
    const style = document.createElement("style");
    style.textContent = STYLE;
    const root = document.createElement("div");
    root.className = "spins";
    root.innerHTML = `<canvas role="img" width="1" height="1"></canvas><div class="caption"></div>
      <div class="caption keys"><span class="key"></span>up<span class="key"></span>down</div>`;
    el.append(style, root);
    [this.canvas, this.caption, this.keys] = root.children;
    const [up, down] = this.keys.querySelectorAll(".key");
    up.style.background = model.colour_up;
    down.style.background = model.colour_down;
    this.root = root;
    (globalThis.__spins ??= new Set()).add(this); // for tests
  }

  wish() {
    this.feed.want(this, { spins: this.model.run || null });
    this.schedule(true);
  }

  onFeed(frame) {
    if (!frame || frame.spins) this.schedule(!frame);
  }

  schedule(now) {
    if (this.requested || this.removed) return;
    if (!now && reducedMotion() && performance.now() - this.last < CALM_MS) return;
    this.requested = true;
    requestAnimationFrame(() => {
      this.requested = false;
      if (!this.removed) this.draw();
    });
  }

  draw() {
    if (!this.root.clientWidth) return; // not laid out yet; the observer calls again
    const { model } = this;
    const snapshot = this.feed.spins?.id === model.run ? this.feed.spins : null;
    this.canvas.hidden = this.keys.hidden = !snapshot;
    this.canvas.style.display = snapshot ? "block" : "none";
    if (!snapshot) {
      this.caption.textContent = model.run ? "No configurations yet." : "Select a run to see its spins.";
      return;
    }
    this.last = performance.now();
    const layout = arrange(snapshot, model.max_tiles);
    this.paint(snapshot, layout);
    const m = magnetisation(snapshot);
    const size = snapshot.extent.join(" × ");
    const chains = layout.shown < snapshot.n_chains ? `${layout.shown} of ${snapshot.n_chains}` : snapshot.n_chains;
    const rows = layout.flat ? ", one per row" : "";
    const { step, lattice } = snapshot;
    this.caption.textContent = `${lattice} ${size} · step ${step} · m = ${m.toFixed(3)} · ${chains} chains${rows}`;
    const label = `Spin configurations of ${chains} chains at step ${step}, mean magnetisation ${m.toFixed(2)}`;
    this.canvas.setAttribute("aria-label", label);
  }

  paint(snapshot, layout) {
    const { image, canvas, model } = this;
    const { rows, cols, shown } = layout;
    Object.assign(image, { width: cols, height: rows * shown });
    const source = image.getContext("2d");
    const data = source.createImageData(cols, rows * shown);
    const colours = { up: pixel(model.colour_up), down: pixel(model.colour_down) };
    paint(new Uint32Array(data.data.buffer), snapshot, colours);
    source.putImageData(data, 0, 0);
    const ratio = globalThis.devicePixelRatio || 1;
    const { cell, tiles, width, height } = place(layout, Math.min(this.root.clientWidth, model.max_px) * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.style.width = `${width / ratio}px`;
    const target = canvas.getContext("2d");
    target.imageSmoothingEnabled = false;
    target.clearRect(0, 0, width, height);
    tiles.forEach(([x, y], k) => {
      target.drawImage(image, 0, k * rows, cols, rows, x, y, cols * cell, rows * cell);
    });
    this.paints = (this.paints ?? 0) + 1; // for tests
  }
}

export function render({ model, el }) {
  new SpinView(model, el);
}
