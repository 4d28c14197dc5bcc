// What only the browser knows: the width of the window, and what this visitor wants remembered or prefers.

import { onTheme, themeColours } from "./theme.js";

const stores = { local: () => localStorage, session: () => sessionStorage };
const PREFIX = "spinscope:";

function read(kind) {
  const found = {};
  try {
    const store = stores[kind]();
    for (let i = 0; i < store.length; i += 1) {
      const key = store.key(i);
      if (key.startsWith(PREFIX)) found[key.slice(PREFIX.length)] = store.getItem(key);
    }
  } catch {
    // Storage may be forbidden: nothing is remembered then.
  }
  return found;
}

function write(kind, values) {
  try {
    for (const [key, value] of Object.entries(values)) stores[kind]().setItem(PREFIX + key, value);
  } catch {
    // As above, or full.
  }
}

// Panel makes a step of the history of every choice but does not follow the visitor back: Back would do nothing, as often
// as something was chosen. So it leaves the page, as on pages that are not Panel's.
history.pushState = history.replaceState.bind(history);

export function render({ model, el }) {
  el.style.display = "none";
  model.on("local", () => {
    write("local", model.local);
    if (model.local.theme) globalThis.spinscopeTheme?.(model.local.theme); // for the server, at the next page
  });
  // Scrollbars and the controls of the browser itself.
  onTheme(() => (document.documentElement.style.colorScheme = themeColours().dark ? "dark" : "light"));
  model.on("session", () => write("session", model.session));
  model.on("copy", () => navigator.clipboard?.writeText(location.href));
  const local = read("local");
  // Whoever has not chosen here has chosen for all pages.
  local.theme ??= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  // One message: the page is built up from it once.
  model.send_msg({ width: window.innerWidth, local, session: read("session") });
}
