// A chart that follows runs live: the feed's data at full resolution in, at most five drawings a second out.

import { getFeed } from "./feed.js";
import { buildLayout, buildTraces, describe, emptyText, fileName } from "./figure.js";
import { onTheme, themeColours } from "./theme.js";

const OPTIONS = ["heading", "runs", "colours", "metric", "per_site", "x_mode", "x_log", "y_log", "smoothing", "band",
  "reference", "show_legend", "max_points", "palette", "empty_text"];
const FORMATS = ["png", "svg"];
const MIN_INTERVAL_MS = 200;
const STYLE = `
  .chart { display: flex; flex-direction: column; width: 100%; height: 100%; min-height: 160px; }
  .head { display: flex; align-items: center; justify-content: space-between; gap: 8px; padding: 0 4px 0 10px; }
  .heading { font-weight: 500; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .save { display: flex; flex: none; }
  .save button { font: inherit; font-size: 12px; line-height: 18px; padding: 3px 7px; border: 0; border-radius: 6px;
    background: none; color: var(--panel-primary-color, #1f5fa8); cursor: pointer; }
  .save button:hover { background: color-mix(in srgb, currentColor 12%, transparent); }
  .save button:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
  .save button:disabled { opacity: 0.45; cursor: default; }
  @media (pointer: coarse) { .save button { padding: 9px 12px; } }
  .stage { position: relative; flex: 1; min-height: 0; }
  .plot { position: absolute; inset: 0; }
  .plot:focus-visible { outline: 2px solid var(--panel-primary-color, #1f5fa8); outline-offset: -2px; }
  .empty { position: absolute; inset: 0; display: flex; align-items: center; justify-content: center;
    text-align: center; padding: 16px; pointer-events: none; }
  .note { position: absolute; right: 12px; bottom: 2px; font-size: 11px; pointer-events: none; }
  .state { position: absolute; left: 50%; top: 4px; transform: translateX(-50%); font-size: 12px; font-weight: 600;
    padding: 2px 10px; border-radius: 10px; background: #8a5a00; color: #ffffff; }
  [hidden] { display: none !important; }
  .chart { font: 13px var(--bokeh-base-font, Roboto, sans-serif); color: var(--panel-on-surface-color, #1d2430); }`;

// Plotly writes its rules into the document's head, which does not reach into a shadow root.
function plotlyStyle() {
  const source = document.getElementById("plotly.js-style-global");
  const style = document.createElement("style");
  style.textContent = STYLE + (source?.sheet ? [...source.sheet.cssRules].map((rule) => rule.cssText).join("\n") : "");
  return style;
}

class LiveChart {
  constructor(model, el) {
    this.model = model;
    this.feed = getFeed(model.ws_path);
    this.lastDraw = 0;
    this.draws = 0;
    this.visible = false;
    this.dirty = true;
    this.build(el);
    this.listen(el);
    this.feed.want(this, { runs: model.runs });
  }

  build(el) {
    el.style.cssText = "display:block;width:100%;height:100%";
    this.root = document.createElement("div");
    this.root.className = "chart";
    this.root.innerHTML = `<div class="head"><span class="heading"></span><span class="save"></span></div>
      <div class="stage"><div class="plot" role="img" tabindex="0"></div><div class="empty" role="status"></div>
      <div class="note" hidden></div><div class="state" role="status" hidden>reconnecting…</div></div>`;
    el.append(plotlyStyle(), this.root);
    const [head, stage] = this.root.children;
    [this.plot, this.empty, this.note, this.badge] = stage.children;
    [this.heading, this.save] = head.children;
    this.save.append(...FORMATS.map((format) => this.saveButton(format)));
    this.tell();
    (globalThis.__charts ??= new Set()).add(this); // for tests
  }

  // Stands beside the heading and not in Plotly's bar: that one appears only under a mouse.
  saveButton(format) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: format.toUpperCase(), disabled: true });
    button.addEventListener("click", () => this.export(format));
    return button;
  }

  tell() {
    const { heading, metric } = this.model;
    this.heading.textContent = heading;
    for (const button of this.save.children) {
      const words = `Download ${heading || metric} as ${button.textContent}`;
      button.title = words;
      button.setAttribute("aria-label", words);
    }
  }

  listen(el) {
    const { model } = this;
    const undo = [
      this.feed.subscribe((frame) => this.onFeed(frame)),
      onTheme(() => this.schedule()),
    ];
    for (const name of OPTIONS) model.on(name, () => this.onOption(name));
    model.on("msg:custom", (message) => message.export && this.export(message.export));
    const seen = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      if (this.visible && this.dirty) this.schedule();
    });
    seen.observe(el);
    const sized = new ResizeObserver(() => this.draws && this.schedule());
    sized.observe(el);
    const woken = () => !document.hidden && this.dirty && this.schedule();
    document.addEventListener("visibilitychange", woken);
    model.on("remove", () => {
      undo.forEach((end) => end());
      seen.disconnect();
      sized.disconnect();
      document.removeEventListener("visibilitychange", woken);
      clearTimeout(this.timer);
      this.removed = true;
      this.feed.release(this);
      globalThis.__charts.delete(this);
      globalThis.Plotly?.purge(this.plot);
    });
  }

  onOption(name) {
    if (name === "heading" || name === "metric") this.tell();
    if (name === "runs") this.feed.want(this, { runs: this.model.runs });
    this.schedule();
  }

  onFeed(frame) {
    this.badge.hidden = this.feed.state !== "reconnecting";
    if (!frame || frame.header.runs.some((run) => this.model.runs.includes(run.id))) this.schedule();
  }

  schedule() {
    this.dirty = true;
    if (this.timer || this.removed) return;
    const wait = Math.max(0, MIN_INTERVAL_MS - (performance.now() - this.lastDraw));
    this.timer = setTimeout(() => this.draw().finally(() => {
      this.timer = null;
      if (this.again) this.schedule();
    }), wait);
  }

  async draw() {
    this.again = false;
    if (!this.visible || document.hidden || !this.plot.isConnected || this.removed || !globalThis.Plotly) {
      this.again = this.visible && !globalThis.Plotly && !this.removed; // the bundle may still be loading
      this.lastDraw = performance.now();
      return;
    }
    this.dirty = false;
    this.lastDraw = performance.now();
    const options = this.options();
    const tables = options.runs.map((id) => this.feed.runs.get(id)).filter(Boolean);
    const theme = themeColours();
    const { traces, points, drawn, last } = buildTraces(tables, options, theme);
    const layout = buildLayout(tables, traces, options, theme, this.root.clientWidth);
    // Plotly measures only once by itself; the page's sidebar opens and closes later.
    Object.assign(layout, { width: this.plot.clientWidth, height: this.plot.clientHeight });
    this.tables = tables;
    this.label(tables, traces, options, { points, drawn, last });
    await globalThis.Plotly.react(this.plot, traces, layout, this.config());
    if (this.removed) return;
    this.draws += 1;
    if (this.draws === 1) this.plot.on("plotly_relayout", (change) => this.onZoom(change));
    this.again = this.dirty; // data came while Plotly was drawing
  }

  onZoom(change) {
    if (Object.keys(change).some((key) => key.startsWith("xaxis"))) this.schedule();
  }

  label(tables, traces, options, { points, drawn, last }) {
    const text = emptyText(tables, options.runs, traces, options);
    this.empty.textContent = text;
    this.empty.hidden = !text;
    this.plot.style.visibility = text ? "hidden" : "visible";
    this.plot.setAttribute("aria-label", describe(last, options));
    for (const button of this.save.children) button.disabled = Boolean(text);
    this.note.hidden = !drawn;
    this.note.textContent = drawn ? `${drawn} of ${points.toLocaleString("en")} points` : "";
  }

  options() {
    const options = Object.fromEntries(OPTIONS.map((name) => [name, this.model[name]]));
    const axis = this.plot._fullLayout?.xaxis;
    const zoomed = axis && axis.autorange === false && this.draws > 0;
    options.range = zoomed ? axis.range.map((v) => (axis.type === "log" ? 10 ** v : v)) : null;
    return options;
  }

  config() {
    // Under a finger the bar would stay and cover the legend; there one scrolls and does not zoom.
    const touch = globalThis.matchMedia("(pointer: coarse)").matches;
    return {
      responsive: false, displaylogo: false, displayModeBar: touch ? false : "hover",
      modeBarButtonsToRemove: ["lasso2d", "select2d", "toImage", "zoomIn2d", "zoomOut2d"],
    };
  }

  /** Download what is shown, as "png" or "svg". */
  async export(format) {
    const { clientWidth: width, clientHeight: height } = this.plot;
    const filename = fileName(this.tables ?? [], this.model.metric);
    const scale = format === "png" ? 2 : 1;
    await globalThis.Plotly.downloadImage(this.plot, { format, filename, width, height, scale });
  }
}

export function render({ model, el }) {
  new LiveChart(model, el);
}
