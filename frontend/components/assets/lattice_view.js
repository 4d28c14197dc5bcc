// A lattice as a picture: it is redrawn when the form or the width changes, and coloured by the page's own variables.

import { caption, picture } from "./lattice_draw.js";

const STYLE = `
  .lattice { width: 100%; font: 12px var(--bokeh-base-font, Roboto, sans-serif);
    color: var(--panel-on-surface-color, #1d2430); }
  svg { display: block; margin: 0 auto; max-width: 100%; }
  path { fill: none; stroke: currentColor; }
  .o1 { stroke-width: 1.5; opacity: 0.55; }
  .o2 { stroke-width: 1; opacity: 0.38; stroke-dasharray: 3 3; }
  circle { fill: currentColor; }
  .words { padding-top: 4px; text-align: center; opacity: 0.85; line-height: 1.4; }`;

export function render({ model, el }) {
  el.style.cssText = "display:block;width:100%";
  const style = document.createElement("style");
  style.textContent = STYLE;
  const root = document.createElement("div");
  root.className = "lattice";
  const words = document.createElement("div");
  words.className = "words";
  el.append(style, root);
  let width = 0;

  const draw = () => {
    const { drawing } = model;
    width = root.clientWidth;
    root.replaceChildren();
    if (!drawing.n_sites || !width) return;
    words.textContent = drawing.note ?? "";
    if (drawing.sites?.length) {
      const made = picture(drawing, width, model.max_height);
      root.append(paint(made, drawing, model.palette));
      words.textContent = caption(drawing, made.shown);
    }
    root.append(words);
  };
  for (const name of ["drawing", "max_height", "palette"]) model.on(name, draw);
  const sized = new ResizeObserver(() => root.clientWidth !== width && draw());
  sized.observe(el);
  model.on("remove", () => sized.disconnect());
  draw();
}

function paint({ width, height, radius, circles, bonds }, drawing, palette) {
  const lines = bonds.toReversed().map(
    ({ order, whole, stubs }) => `<path class="o${order}" d="${whole}"/><path class="o${order} stub" d="${stubs}"/>`,
  );
  const sites = circles.map(({ at: [x, y], group }, site) => {
    const fill = group === null ? "" : ` style="fill:${palette[group % palette.length]}"`;
    return `<circle cx="${x}" cy="${y}" r="${radius}"${fill}><title>site ${site}</title></circle>`;
  });
  const holder = document.createElement("div");
  holder.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"
    aria-label="Lattice of ${drawing.n_sites} sites">${lines.join("")}${sites.join("")}</svg>`;
  return holder.firstElementChild;
}
