// Watches the page's Bokeh session (the Python side of the page). Without it the page looks alive and answers nothing.

const GRACE_MS = 3000; // Bokeh may be reconnecting by itself
const RELOAD_PAUSE_MS = 20000; // never reload in a loop
const RELOAD_KEY = "spinscope-reloaded";

/** Resolve when Bokeh has built the page: a websocket that closes earlier is taken by the page for its own. */
export async function pageIdle() {
  const roots = () => globalThis.Bokeh?.index?.roots ?? [];
  while (!(roots().length && roots().every((view) => view.is_idle))) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class SessionWatch {
  constructor() {
    this.lost = false;
    this.timer = null;
    for (const doc of globalThis.Bokeh?.documents ?? []) {
      doc.on_event?.("connection_lost", () => this.#set(true));
      doc.on_event?.("client_reconnected", () => this.#set(false));
    }
  }

  #set(lost) {
    this.lost = lost;
    if (!lost) {
      clearTimeout(this.timer);
      this.timer = null;
    }
  }

  /** The server is there again: reload if the session does not come back as well; the URL holds the view. */
  serverIsBack() {
    if (!this.lost || this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.lost) this.#reload();
    }, GRACE_MS);
  }

  async #reload() {
    const last = Number(sessionStorage.getItem(RELOAD_KEY) ?? 0);
    if (Date.now() - last < RELOAD_PAUSE_MS) return;
    try {
      // The API may be up before the page's own server: a reload then would show an error page.
      const response = await fetch("static/js/bokeh.min.js", { method: "HEAD", cache: "no-store" });
      if (!response.ok) return;
    } catch {
      return;
    }
    sessionStorage.setItem(RELOAD_KEY, String(Date.now()));
    location.reload();
  }
}
