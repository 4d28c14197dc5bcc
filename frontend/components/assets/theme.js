// Colours of the page's current theme, taken from the variables that the page sets.

function variable(name, fallback) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || fallback;
}

/** Is a CSS colour "#rrggbb", "#rgb" or "rgb(r, g, b)" nearer to black than to white? */
export function isDark(colour) {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})/i.exec(colour)?.[1];
  let rgb = (colour.match(/[\d.]+/g) ?? []).map(Number);
  if (hex) rgb = (hex.length === 3 ? [...hex].map((c) => c + c) : hex.match(/../g)).map((c) => parseInt(c, 16));
  return rgb.length >= 3 && 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] < 128;
}

export function themeColours() {
  const background = variable("--panel-surface-color", "#ffffff");
  const dark = isDark(background);
  return {
    dark,
    background,
    text: variable("--panel-on-surface-color", dark ? "#e6e9ee" : "#1d2430"),
    grid: dark ? "rgba(255,255,255,0.13)" : "rgba(0,0,0,0.10)",
    font: variable("--bokeh-base-font", "Roboto, Helvetica, sans-serif"),
  };
}

/** Call back when the theme changes; returns the function that ends it. */
export function onTheme(callback) {
  let timer = null;
  const observer = new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(callback, 60);
  });
  const styles = document.querySelector("#global-styles-panel-mui");
  if (styles) observer.observe(styles, { childList: true, characterData: true, subtree: true });
  observer.observe(document.documentElement, { attributes: true });
  return () => observer.disconnect();
}

export function reducedMotion() {
  return globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
}

/** A "#rrggbb" colour with an opacity. */
export function withAlpha(colour, alpha) {
  const [r, g, b] = colour.slice(1).match(/../g).map((c) => parseInt(c, 16));
  return `rgba(${r},${g},${b},${alpha})`;
}
