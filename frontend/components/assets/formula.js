// LaTeX as MathML: KaTeX parses it, the browser sets it. No fonts to fetch.

export function render({ model, el }) {
  const box = document.createElement("div");
  el.append(box);
  const draw = () => {
    box.setAttribute("aria-label", model.latex);
    if (!globalThis.katex) {
      box.textContent = model.latex;
      return;
    }
    const options = { output: "mathml", displayMode: model.display, throwOnError: false, trust: false };
    globalThis.katex.render(model.latex, box, options);
  };
  model.on("latex", draw);
  draw();
}
