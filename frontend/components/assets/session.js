// Watches the page's Bokeh session (the Python side of the page). Without it the page looks alive and answers nothing.

const CHECK_MS = 3000;
const RELOAD_PAUSE_MS = 20000; // never reload in a quick loop
const RELOAD_KEY = "spinscope-reloaded";

const documents = () => globalThis.Bokeh?.documents ?? [];

/** Resolve when Bokeh has built the page: a websocket that closes earlier is taken by the page for its own. */
export async function pageIdle() {
  const roots = () => globalThis.Bokeh?.index?.roots ?? [];
  while (!(roots().length && roots().every((view) => view.is_idle))) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Model ids alone may come again in a new server process; the page's tag is random.
const identity = () => JSON.stringify(documents().map((doc) => doc.roots().map((root) => [root.id, root.tags])));

async function serverAnswers() {
  try {
    // The API may be up before the page's own server: a reload then would show an error page.
    return (await fetch("static/js/bokeh.min.js", { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

/**
 * Reloads the page when its session is gone for good; the URL holds the view.
 *
 * Bokeh reconnects by itself, and that is fine while the session lives (the API in between was restarted). Where the
 * server has forgotten the session, Bokeh gets a new one whose models are not those on the screen: only a reload helps.
 */
export class SessionWatch {
  constructor() {
    this.identity = identity();
    this.lost = null;
    for (const doc of documents()) {
      doc.on_event("connection_lost", (_, event) => this.#onLost(event));
      doc.on_event("client_reconnected", () => this.#onReconnected());
    }
  }

  #onLost(event) {
    const first = this.lost === null;
    this.lost = event;
    if (first) setTimeout(() => this.#check(false), CHECK_MS);
  }

  #onReconnected() {
    this.lost = null;
    if (identity() !== this.identity) this.#reload();
  }

  // Bokeh waits ever longer between its attempts and gives up; we ask for one as soon as the server is there.
  async #check(asked) {
    if (this.lost === null) return;
    const up = await serverAnswers();
    if (this.lost === null) return;
    if (up && asked) {
      this.#reload();
      return;
    }
    if (up) this.lost.reconnect();
    setTimeout(() => this.#check(up), CHECK_MS);
  }

  #reload() {
    const last = Number(sessionStorage.getItem(RELOAD_KEY) ?? 0);
    const wait = Math.max(0, last + RELOAD_PAUSE_MS - Date.now());
    setTimeout(() => {
      sessionStorage.setItem(RELOAD_KEY, String(Date.now()));
      location.reload();
    }, wait);
  }
}
