// Spin configurations of several chains of a run, as the sampler last left them.

import { getFeed } from "./feed.js";
import { arrange, magnetisation, paint, pixel } from "./spin_draw.js";
import { onTheme, reducedMotion, themeColours } from "./theme.js";

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
    const chains = layout.shown < snapshot.n_chains ? `${layout.shown} of ${snapshot.n_chains}` : `${snapshot.n_chains}`;
    const rows = layout.flat ? ", one per row" : "";
    const { step, lattice } = snapshot;
    this.caption.textContent = `${lattice} ${size} · step ${step} · m = ${m.toFixed(3)} · ${chains} chains${rows}`;
    const label = `Spin configurations of ${chains} chains at step ${step}, mean magnetisation ${m.toFixed(2)}`;
    this.canvas.setAttribute("aria-label", label);
  }

  paint(snapshot, layout) {
    const { image, canvas, model } = this;
    const { width, height } = layout;
    if (image.width !== width || image.height !== height) Object.assign(image, { width, height });
    const context = image.getContext("2d");
    const data = context.createImageData(width, height);
    const background = themeColours().background;
    paint(new Uint32Array(data.data.buffer), snapshot, layout, {
      up: pixel(model.colour_up),
      down: pixel(model.colour_down),
      background: /^#[0-9a-f]{6}$/i.test(background) ? pixel(background) : 0,
    });
    context.putImageData(data, 0, 0);
    // Whole device pixels per site, so that every site has the same size and sharp edges.
    const ratio = globalThis.devicePixelRatio || 1;
    const room = Math.min(this.root.clientWidth, model.max_px) * ratio;
    const cell = Math.max(1, Math.floor(Math.min(room / width, (model.max_px * ratio) / height)));
    canvas.width = width * cell;
    canvas.height = height * cell;
    canvas.style.width = `${canvas.width / ratio}px`;
    const target = canvas.getContext("2d");
    target.imageSmoothingEnabled = false;
    target.drawImage(image, 0, 0, canvas.width, canvas.height);
    this.paints = (this.paints ?? 0) + 1;
  }
}

export function render({ model, el }) {
  new SpinView(model, el);
}
