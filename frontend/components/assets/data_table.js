// A table whose rows come from Python: headings sort, a row can be chosen with mouse or keyboard.
// The cells are HTML that Python has escaped.

import { keepTimes, tellTimes } from "./times.js";

const STYLE = `
  :host { container-type: inline-size; }
  .frame { overflow: auto; max-height: var(--table-height, none); }
  table { border-collapse: collapse; width: 100%; font: 13px var(--bokeh-base-font, Roboto, sans-serif);
    color: var(--panel-on-surface-color, #1d2430); font-variant-numeric: tabular-nums; }
  th { position: sticky; top: 0; z-index: 1; padding: 0; text-align: left; font-size: 12px; font-weight: 600;
    background: var(--panel-surface-color, #fff); white-space: nowrap;
    box-shadow: inset 0 -1px 0 color-mix(in srgb, currentColor 16%, transparent); }
  th > span, th > button { display: block; width: 100%; padding: 7px 8px; box-sizing: border-box; }
  th > button { font: inherit; color: inherit; text-align: inherit; background: none; border: 0; cursor: pointer; }
  th > button::after { content: "↑" / ""; opacity: 0; margin-left: 4px; }
  th > button:hover::after { opacity: 0.5; }
  th[aria-sort="ascending"] > button::after { content: "↑" / ""; opacity: 1; }
  th[aria-sort="descending"] > button::after { content: "↓" / ""; opacity: 1; }
  td { height: 34px; padding: 0 8px; box-sizing: border-box; white-space: nowrap; overflow: hidden;
    text-overflow: ellipsis; max-width: var(--cell-width, 320px);
    border-bottom: 1px solid color-mix(in srgb, currentColor 8%, transparent); }
  tr.row { cursor: pointer; }
  tr.row:hover td { background: color-mix(in srgb, var(--panel-primary-color, #1f5fa8) 9%, transparent); }
  tr.chosen td { background: color-mix(in srgb, var(--panel-primary-color, #1f5fa8) 15%, transparent); }
  tr.row:focus-visible { outline: 2px solid var(--panel-primary-color, #1f5fa8); outline-offset: -2px; }
  th > button:focus-visible { outline: 2px solid var(--panel-primary-color, #1f5fa8); outline-offset: -2px; }
  .right { text-align: right; }
  .sub { display: none; font-size: 12px; }
  @container (max-width: 1000px) { .wide { display: none; } }
  @container (max-width: 700px) { .middle { display: none; } }
  @container (max-width: 480px) { .narrow { display: none; } td, th > span, th > button { padding: 0 6px; }
    th > span, th > button { padding-block: 7px; } td { white-space: normal; height: 46px; line-height: 1.3; } td.right { white-space: nowrap; }
    .sub { display: block; } }`;

const ENDS = ["pointerup", "pointercancel", "blur"];
const CLICK_MS = 50; // a touch becomes a click a little after it has ended

class DataTable {
  constructor(model, el) {
    this.model = model;
    const style = document.createElement("style");
    style.textContent = STYLE + model.look;
    this.frame = document.createElement("div");
    this.frame.className = "frame";
    this.table = document.createElement("table");
    this.head = this.table.createTHead();
    this.body = this.table.createTBody();
    this.frame.append(this.table);
    el.style.cssText = "display:block;width:100%";
    el.append(style, this.frame);
    this.body.addEventListener("click", (event) => this.onClick(event));
    this.body.addEventListener("keydown", (event) => this.onKey(event));
    this.held = null;
    this.body.addEventListener("pointerdown", () => this.hold());
    for (const name of ["columns", "label"]) model.on(name, () => this.drawHead());
    model.on("sort", () => this.markSort());
    model.on("rows", () => this.whenFree(() => this.take()));
    model.on("columns", () => this.whenFree(() => this.drawBody()));
    model.on("selected", () => this.mark());
    model.on("msg:custom", (message) => this.whenFree(() => this.patch(message)));
    model.on("remove", keepTimes(this.body));
    this.drawHead();
    this.take();
    model.send_msg({ drawn: true });
  }

  // What is pressed stays until it is let go: a browser has no click for what was replaced in between.
  hold() {
    if (this.held) return;
    this.held = [];
    const release = () => {
      for (const name of ENDS) removeEventListener(name, release);
      setTimeout(() => {
        const held = this.held;
        this.held = null;
        for (const draw of held) draw();
      }, CLICK_MS);
    };
    for (const name of ENDS) addEventListener(name, release);
  }

  whenFree(draw) {
    if (this.held) this.held.push(draw);
    else draw();
  }

  drawHead() {
    this.table.setAttribute("aria-label", this.model.label);
    const line = document.createElement("tr");
    line.append(...this.model.columns.map((column) => this.heading(column)));
    this.head.replaceChildren(line);
    this.markSort();
  }

  markSort() {
    const [down, by] = [this.model.sort.startsWith("-"), this.model.sort.replace(/^-/, "")];
    this.model.columns.forEach(({ key }, i) => {
      const cell = this.head.rows[0].cells[i];
      if (by && key === by) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  heading({ key, title, help, sort, look }) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = look ?? "";
    const name = document.createElement(sort ? "button" : "span");
    name.textContent = title;
    if (help) name.title = help;
    if (sort) {
      name.type = "button";
      // Three states: rising, falling, the order that the rows have by themselves.
      const next = () => ({ [key]: `-${key}`, [`-${key}`]: "" })[this.model.sort] ?? key;
      name.addEventListener("click", () => this.model.send_msg({ sort: next() }));
    }
    cell.append(name);
    return cell;
  }

  // Messages change single cells of this copy: the model keeps what it had.
  take() {
    this.rows = this.model.rows.map((row) => ({ ...row, cells: [...row.cells] }));
    this.drawBody();
  }

  drawBody() {
    const active = this.table.getRootNode().activeElement;
    const focused = this.body.contains(active) ? active.closest("tr").dataset.id : undefined;
    const looks = this.model.columns.map(({ look }) => look ?? "");
    const lines = this.rows.map(({ id, cells }) => {
      const line = document.createElement("tr");
      line.className = "row";
      line.tabIndex = 0;
      line.dataset.id = id;
      cells.forEach((html, i) => {
        const cell = line.insertCell();
        cell.className = looks[i];
        fill(cell, html);
      });
      return line;
    });
    this.body.replaceChildren(...lines);
    this.mark();
    const line = lines.find(({ dataset }) => dataset.id === focused);
    (active?.tagName === "BUTTON" ? line?.querySelector("button") : line)?.focus();
  }

  patch(message) {
    const cells = (message.data ?? message).cells ?? [];
    for (const [row, column, html] of cells) {
      const cell = this.body.rows[row]?.cells[column];
      if (!cell) continue;
      this.rows[row].cells[column] = html;
      const pressed = cell.contains(this.table.getRootNode().activeElement);
      fill(cell, html);
      if (pressed) cell.querySelector("button")?.focus();
    }
  }

  mark() {
    for (const line of this.body.rows) {
      const chosen = line.dataset.id === this.model.selected;
      line.classList.toggle("chosen", chosen);
      if (chosen) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }

  onClick(event) {
    const line = event.target.closest("tr");
    // The whole cell belongs to its button: a near miss must not do something else.
    if (event.target.closest("td")?.querySelector("button")) this.model.send_msg({ press: line.dataset.id });
    else this.choose(line);
  }

  choose(line) {
    if (line?.dataset.id) this.model.send_msg({ row: line.dataset.id });
  }

  onKey(event) {
    if (event.target.closest("button")) return; // it knows its own keys
    const line = event.target.closest("tr");
    const to = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling }[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(line);
    else if (to) to.focus();
    else return;
    event.preventDefault();
  }
}

function fill(cell, html) {
  cell.innerHTML = html;
  tellTimes(cell);
  cell.title = cell.querySelector("[title]") ? "" : cell.textContent;
}

export function render({ model, el }) {
  new DataTable(model, el);
}
