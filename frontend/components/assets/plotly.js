// Plotly comes with the first chart that draws or will draw: its 4.8 MB would hold up every page.

/** Plotly; asked for once a page, and again after a failure. Rejects where it cannot be fetched. */
export function loadPlotly(url) {
  if (globalThis.Plotly) return Promise.resolve(globalThis.Plotly);
  globalThis.__plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      delete globalThis.__plotly;
      script.remove();
      reject(new Error(`${url} cannot be loaded`));
    };
    document.head.append(script);
  });
  return globalThis.__plotly;
}

// Plotly writes its rules into the document's head, which does not reach into a shadow root.
export function adoptPlotlyRules(style) {
  const source = document.getElementById("plotly.js-style-global")?.sheet;
  if (style.dataset.adopted || !source) return;
  style.dataset.adopted = "yes";
  style.textContent += [...source.cssRules].map((rule) => rule.cssText).join("\n");
}
