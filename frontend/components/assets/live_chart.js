// A chart that follows runs live: the feed's data at full resolution in, at most five drawings a second out.

import { AGAIN_MS, chartStyle, drawPlot, nameButtons, saveButtons } from "./chart_frame.js";
import { getFeed } from "./feed.js";
import { buildLayout, buildTraces, describe, emptyText, fileName } from "./figure.js";
import { loadPlotly } from "./plotly.js";
import { onTheme, themeColours } from "./theme.js";

const OPTIONS = ["heading", "runs", "colours", "metric", "per_site", "x_mode", "x_log", "y_log", "smoothing", "band",
  "reference", "show_legend", "max_points", "palette", "empty_text", "x_title"];
const MIN_INTERVAL_MS = 200;

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
    this.style = chartStyle();
    el.append(this.style, this.root);
    const [head, stage] = this.root.children;
    [this.plot, this.empty, this.note, this.badge] = stage.children;
    [this.heading, this.save] = head.children;
    this.save.append(...saveButtons((format) => this.export(format)));
    this.tell();
    (globalThis.__charts ??= new Set()).add(this); // for tests
  }

  tell() {
    const { heading, metric } = this.model;
    this.heading.textContent = heading;
    nameButtons(this.save, heading || metric);
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
    const sized = new ResizeObserver(() => this.schedule());
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
    this.lastDraw = performance.now();
    if (!this.visible || document.hidden || !this.plot.isConnected || this.removed) return;
    this.dirty = false;
    const options = this.options();
    if (options.runs.length && !this.expects) {
      this.expects = true; // before the first points: they would wait for seconds until the script has been read
      loadPlotly(this.model.plotly).catch(() => {}); // told by the drawing that needs it
    }
    const tables = options.runs.map((id) => this.feed.runs.get(id)).filter(Boolean);
    const theme = themeColours();
    const figure = buildTraces(tables, options, theme);
    const layout = buildLayout(tables, figure, options, theme, this.root.clientWidth);
    // Plotly measures only once by itself; the page's sidebar opens and closes later.
    Object.assign(layout, { width: this.plot.clientWidth, height: this.plot.clientHeight });
    this.tables = tables;
    const text = emptyText(tables, options.runs, figure, options);
    this.label(text, options, figure);
    const settled = await drawPlot(this, this.model.plotly, text ? [] : figure.traces, layout);
    if (this.removed) return;
    if (!settled) this.lastDraw = performance.now() + AGAIN_MS;
    if (!this.zooms && this.plot.on) {
      this.zooms = true;
      this.plot.on("plotly_relayout", (change) => this.onZoom(change));
    }
    this.again = this.dirty || !settled; // data came in the meantime
  }

  onZoom(change) {
    if (Object.keys(change).some((key) => key.startsWith("xaxis"))) this.schedule();
  }

  label(text, options, { points, drawn, last, odd }) {
    this.empty.textContent = text;
    this.empty.hidden = !text;
    this.plot.style.visibility = text ? "hidden" : "visible";
    this.plot.setAttribute("aria-label", describe(last, options));
    for (const button of this.save.children) button.disabled = Boolean(text);
    const words = [odd && `${odd} at some steps`, drawn && `${drawn} of ${points.toLocaleString("en")} points`];
    this.note.textContent = words.filter(Boolean).join(", ");
    this.note.hidden = !this.note.textContent;
  }

  options() {
    const options = Object.fromEntries(OPTIONS.map((name) => [name, this.model[name]]));
    const axis = this.plot._fullLayout?.xaxis;
    const zoomed = axis && axis.autorange === false && this.draws > 0;
    options.range = zoomed ? axis.range.map((v) => (axis.type === "log" ? 10 ** v : v)) : null;
    return options;
  }

  /** Download what is shown, as "png" or "svg". */
  async export(format) {
    if (!this.draws) return; // Plotly is still to come
    const { clientWidth: width, clientHeight: height } = this.plot;
    const filename = fileName(this.tables ?? [], this.model.metric);
    const scale = format === "png" ? 2 : 1;
    await globalThis.Plotly.downloadImage(this.plot, { format, filename, width, height, scale });
  }
}

export function render({ model, el }) {
  new LiveChart(model, el);
}
