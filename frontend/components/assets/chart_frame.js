// What every chart of the page has around its plot: style, the buttons that save it, Plotly's own settings, axes.

import { adoptPlotlyRules, loadPlotly } from "./plotly.js";

const FORMATS = ["png", "svg"];
export const AGAIN_MS = 3000; // after Plotly could not be fetched
const STYLE = `
  .chart { display: flex; flex-direction: column; width: 100%; height: 100%; min-height: 160px; }
  .head { display: flex; align-items: center; justify-content: space-between; gap: 8px; padding: 0 4px 0 10px; }
  .heading { font-weight: 500; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .origin { font-size: 11.5px; padding: 0 10px; opacity: 0.8; overflow: hidden; text-overflow: ellipsis;
    white-space: nowrap; }
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

export function chartStyle() {
  const style = document.createElement("style");
  style.textContent = STYLE;
  return style;
}

/**
 * Draw, and say whether that is settled; where there is nothing to draw, nothing is fetched.
 * `chart` has the `plot`, the `style` beside it, the `empty` text that stands in the plot's place, and counts `draws`.
 */
export async function drawPlot(chart, url, traces, layout) {
  const turn = (chart.turn ?? 0) + 1;
  chart.turn = turn;
  const settled = () => chart.removed || chart.turn !== turn; // what is newer has the last word
  if (!globalThis.Plotly) {
    if (!traces.length) return true;
    const say = (textContent) => Object.assign(chart.empty, { textContent, hidden: !textContent });
    say("Loading the chart…");
    try {
      await loadPlotly(url);
    } catch (error) {
      if (settled()) return true;
      say(`${error.message}; trying again.`);
      return false;
    }
    if (settled()) return true;
    say("");
  }
  adoptPlotlyRules(chart.style);
  await globalThis.Plotly.react(chart.plot, traces, layout, plotlyConfig());
  chart.draws += 1;
  return true;
}

/** PNG and SVG; they stand beside the heading and not in Plotly's bar, which appears only under a mouse. */
export function saveButtons(save) {
  return FORMATS.map((format) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: format.toUpperCase(), disabled: true });
    button.addEventListener("click", () => save(format));
    return button;
  });
}

export function nameButtons(bar, what) {
  for (const button of bar.children) {
    const words = `Download ${what} as ${button.textContent}`;
    button.title = words;
    button.setAttribute("aria-label", words);
  }
}

function plotlyConfig() {
  // Under a finger the bar would stay and cover the legend; there one scrolls and does not zoom.
  const touch = globalThis.matchMedia("(pointer: coarse)").matches;
  return {
    responsive: false, displaylogo: false, displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "toImage", "zoomIn2d", "zoomOut2d"],
  };
}

export function axisLook(theme, narrow) {
  return {
    gridcolor: theme.grid, zeroline: false, ticks: "outside", tickcolor: theme.grid, automargin: true,
    tickfont: { size: narrow ? 11 : 12 }, title: { standoff: 6, font: { size: 12 } }, // the page's own are too large
  };
}

/** The layout without its axes. */
export function frameLook(theme, narrow, legend) {
  const small = narrow ? 11 : 12;
  return {
    margin: { l: narrow ? 44 : 60, r: 10, t: legend ? 26 : 10, b: 42 },
    paper_bgcolor: theme.background, plot_bgcolor: theme.background,
    font: { color: theme.text, family: theme.font, size: 12 },
    hoverlabel: { bgcolor: theme.background, bordercolor: theme.grid, font: { color: theme.text, size: small } },
    showlegend: legend,
    legend: {
      orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: small }, itemwidth: 30, tracegroupgap: 0,
    },
    dragmode: narrow ? false : "zoom",
  };
}
