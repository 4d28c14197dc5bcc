// A chart of finished data in the look of the live charts: Python hands in traces and axes, the theme comes from here.

import { AGAIN_MS, axisLook, chartStyle, drawPlot, frameLook, nameButtons, saveButtons } from "./chart_frame.js";
import { onTheme, themeColours } from "./theme.js";

const NARROW = 520;
const TEXT = "text"; // as a colour: that of the page's text

/** The same trace, shape or annotation with the theme's own colours in place of their names. */
function coloured(part, theme) {
  if (Array.isArray(part)) return part.map((item) => coloured(item, theme));
  if (part === null || typeof part !== "object") return part;
  const isColour = (key, value) => /colou?r$/.test(key) && (value === TEXT || value === "background");
  const scale = (stops) => stops.map(([at, colour]) => [at, theme[colour] ?? colour]);
  return Object.fromEntries(Object.entries(part).map(([key, value]) => {
    if (key === "colorscale" && Array.isArray(value)) return [key, scale(value)];
    return [key, isColour(key, value) ? theme[value] : coloured(value, theme)];
  }));
}

class FigureChart {
  constructor(model, el) {
    this.model = model;
    this.draws = 0;
    el.style.cssText = "display:block;width:100%;height:100%";
    this.root = document.createElement("div");
    this.root.className = "chart";
    this.root.innerHTML = `<div class="head"><span class="heading"></span><span class="save"></span></div>
      <div class="origin"></div>
      <div class="stage"><div class="plot" role="img" tabindex="0"></div><div class="empty" role="status"></div></div>`;
    this.style = chartStyle();
    el.append(this.style, this.root);
    const [head, origin, stage] = this.root.children;
    this.note = origin;
    [this.heading, this.save] = head.children;
    [this.plot, this.empty] = stage.children;
    this.save.append(...saveButtons((format) => this.export(format)));
    (globalThis.__figures ??= new Set()).add(this); // for tests
    this.listen(el);
  }

  listen(el) {
    const { model } = this;
    const undo = onTheme(() => this.schedule());
    for (const name of ["figure", "heading", "note", "empty_text"]) model.on(name, () => this.schedule());
    const sized = new ResizeObserver(() => this.schedule());
    sized.observe(el);
    model.on("remove", () => {
      undo();
      sized.disconnect();
      clearTimeout(this.timer);
      this.removed = true;
      globalThis.__figures.delete(this);
      globalThis.Plotly?.purge(this.plot);
    });
    this.schedule();
  }

  schedule() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.draw(), 20);
  }

  async draw() {
    if (this.removed || !this.plot.isConnected || !this.plot.clientWidth) return;
    const { figure, heading, note, empty_text: emptyText } = this.model;
    const data = figure.data ?? [];
    const theme = themeColours();
    this.heading.textContent = heading;
    this.note.textContent = note;
    this.note.hidden = !note;
    nameButtons(this.save, heading);
    this.empty.textContent = data.length ? "" : emptyText;
    this.empty.hidden = data.length > 0;
    this.plot.style.visibility = data.length ? "visible" : "hidden";
    this.plot.setAttribute("aria-label", figure.words ?? heading);
    for (const button of this.save.children) button.disabled = !data.length;
    const settled = await drawPlot(this, this.model.plotly, coloured(data, theme), this.layout(figure, theme));
    if (!settled) this.timer = setTimeout(() => this.draw(), AGAIN_MS);
  }

  layout({ layout = {}, data = [] }, theme) {
    const narrow = this.root.clientWidth < NARROW;
    const axis = axisLook(theme, narrow);
    const { xaxis = {}, yaxis = {}, ...rest } = coloured(layout, theme);
    const merged = (own) => ({
      exponentformat: "power", ...axis, ...own, title: { ...axis.title, ...(own.title ?? {}) },
    });
    const legend = data.filter((trace) => trace.showlegend !== false).length > 1;
    return {
      ...frameLook(theme, narrow, legend), hovermode: "closest",
      width: this.plot.clientWidth, height: this.plot.clientHeight, ...rest,
      xaxis: { ...merged(xaxis), nticks: narrow ? 5 : undefined }, yaxis: merged(yaxis),
    };
  }

  async export(format) {
    if (!this.draws) return; // Plotly is still to come
    const { clientWidth: width, clientHeight: height } = this.plot;
    const filename = this.model.heading.replaceAll(/[^\w.+-]+/g, "-") || "figure";
    await globalThis.Plotly.downloadImage(this.plot, {
      format, filename, width, height, scale: format === "png" ? 2 : 1,
    });
  }
}

export function render({ model, el }) {
  new FigureChart(model, el);
}
