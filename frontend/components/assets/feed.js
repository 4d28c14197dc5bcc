// The page's one websocket to the API. All components share it: each says what it wants, the union is subscribed.
//
// A change of the set of runs gets a new subscription number. The server starts its cursors anew for it and echoes the
// number; frames of older subscriptions are dropped. So there are no gaps and no doubled points, in whatever order
// messages cross. Every frame is acknowledged, also dropped ones: the server's credit window counts frames.

import { RunTable, decodeFrame } from "./frame.js";
import { SessionWatch, pageIdle } from "./session.js";

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 8000;
const RELEASE_MS = 2000; // a change of tabs takes charts away just before others come that want the same runs

export class Feed {
  constructor(url, { ready = pageIdle, Socket = globalThis.WebSocket } = {}) {
    this.url = url;
    this.Socket = Socket;
    this.state = "connecting"; // then "live" or "reconnecting"
    this.runs = new Map(); // id -> RunTable
    this.spins = null; // the newest snapshot of the run that is watched
    this.boot = null;
    this.sub = 0;
    this.stats = { frames: 0, dropped: 0, bytes: 0, connections: 0, boots: 0 };
    this.wishes = new Map(); // component -> {runs, spins}
    this.listeners = new Set();
    this.delay = FIRST_DELAY_MS;
    this.wanted = { key: "", runs: [], spins: null };
    this.pending = false;
    globalThis.document?.addEventListener("visibilitychange", () => this.#visibility());
    ready().then(() => this.#connect());
  }

  /** Say what a component (any object) needs; replaces what it said before. */
  want(owner, { runs = [], spins = null } = {}) {
    this.wishes.set(owner, { runs, spins });
    this.#schedule();
  }

  release(owner) {
    this.wishes.delete(owner);
    setTimeout(() => this.#schedule(), RELEASE_MS);
  }

  /** Call back after every frame and change of state; returns the function that ends it. */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // Several components change their wish in one go (a click on a row): one message, one subscription.
  #schedule() {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      this.#collect();
    });
  }

  #collect() {
    const all = [...this.wishes.values()];
    const runs = [...new Set(all.flatMap((wish) => wish.runs))].sort();
    const spins = all.map((wish) => wish.spins).filter(Boolean).at(-1) ?? null;
    const key = runs.join();
    if (key !== this.wanted.key) {
      this.sub += 1;
      for (const id of [...this.runs.keys()]) if (!runs.includes(id)) this.runs.delete(id);
    } else if (spins === this.wanted.spins) {
      return;
    }
    if (spins !== this.spins?.id) this.spins = null;
    this.wanted = { key, runs, spins };
    this.#send();
    this.#notify(null);
  }

  #connect() {
    clearTimeout(this.timer);
    const socket = new this.Socket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.stats.connections += 1;
    socket.onopen = () => {
      this.delay = FIRST_DELAY_MS;
      this.sub += 1; // the server's cursors live with the connection
      this.#setState("live");
      this.#send();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.#setState("reconnecting");
      // Jitter: all pages lost the server at the same moment and must not come back at the same moment.
      this.timer = setTimeout(() => this.#connect(), this.delay * (0.75 + 0.5 * Math.random()));
      this.delay = Math.min(LAST_DELAY_MS, this.delay * 2);
    };
  }

  #visibility() {
    if (this.socket?.readyState === 1) this.#send();
    else if (!document.hidden && this.state === "reconnecting") this.#connect();
  }

  #send() {
    if (this.socket?.readyState !== 1) return;
    const { runs, spins } = this.wanted;
    const paused = globalThis.document?.hidden ?? false;
    this.socket.send(JSON.stringify({ sub: this.sub, runs, spins, paused }));
  }

  #setState(state) {
    this.state = state;
    this.#notify(null);
  }

  #notify(frame) {
    for (const listener of [...this.listeners]) listener(frame, this.state);
  }

  #receive(buffer) {
    const { header, blocks, spins } = decodeFrame(buffer);
    this.stats.frames += 1;
    this.stats.bytes += buffer.byteLength;
    if (header.boot !== this.boot) {
      this.boot = header.boot;
      this.stats.boots += 1;
    }
    if (header.sub === this.sub) {
      for (const run of header.runs) {
        if (!this.runs.has(run.id)) this.runs.set(run.id, new RunTable(run.id));
        this.runs.get(run.id).update(run, blocks.get(run.id));
      }
      if (spins && spins.id === this.wanted.spins) this.spins = spins;
      this.#notify({ header, spins });
    } else {
      this.stats.dropped += 1;
    }
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify({ ack: header.frame }));
  }
}

/** The feed of this page for a path such as "/ws/feed"; also `window.__feed`, for tests. */
export function getFeed(path) {
  const feeds = (globalThis.__spinscopeFeeds ??= new Map());
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (!feeds.has(url.href)) {
    feeds.set(url.href, new Feed(url.href));
    pageIdle().then(() => (globalThis.__session ??= new SessionWatch()));
  }
  globalThis.__feed = feeds.get(url.href);
  return globalThis.__feed;
}
