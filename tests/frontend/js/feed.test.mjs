import assert from "node:assert/strict";
import { test } from "node:test";

import { Feed } from "../../../frontend/components/assets/feed.js";
import { RunTable, decodeFrame } from "../../../frontend/components/assets/frame.js";
import { COLUMNS, frame, rows } from "./frames.mjs";

const settle = () => new Promise((resolve) => setImmediate(resolve));

class Socket {
  static all = [];
  constructor() {
    this.readyState = 0;
    this.sent = [];
    Socket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  close() {
    this.readyState = 3;
    this.onclose();
  }
  receive(content) {
    this.onmessage({ data: frame(content) });
  }
}

async function connected(wish = { runs: ["a"] }) {
  Socket.all.length = 0;
  const feed = new Feed("ws://x", { ready: async () => {}, Socket });
  feed.want("chart", wish);
  await settle();
  const socket = Socket.all[0];
  socket.open();
  return { feed, socket };
}

const run = (from, first, last, more = {}) => ({ id: "a", name: "A", from, columns: COLUMNS, rows: rows(first, last), ...more });
const energies = (feed, id = "a") => [...feed.runs.get(id).column("energy")];

test("a frame's columns and spins come out as they went in, whatever the alignment", () => {
  const spins = { id: "a", step: 3, n_chains: 2, n_sites: 3, extent: [3], lattice: "chain", data: [1, -1, 1, -1, -1, 1] };
  const columns = [["energy_error", "f4"], ["step", "f8"]];
  const { header, blocks, spins: out } = decodeFrame(frame({ runs: [{ id: "a", from: 0, columns, rows: rows(1, 3) }], spins }));
  assert.equal(header.frame, 1);
  assert.deepEqual([...blocks.get("a").step], [1, 2, 3]);
  assert.deepEqual([...blocks.get("a").energy_error], [0.5, 0.5, 0.5]);
  assert.deepEqual([...out.data], spins.data);
});

test("the subscription is the union of the wishes, sent once, with the spins", async () => {
  const { feed, socket } = await connected();
  const before = socket.sent.length;
  feed.want("other", { runs: ["b", "a"] });
  feed.want("view", { spins: "b" });
  await settle();
  assert.equal(socket.sent.length, before + 1);
  const last = socket.sent.at(-1);
  assert.deepEqual({ ...last, sub: 0 }, { sub: 0, runs: ["a", "b"], spins: "b", paused: false });
  assert.equal(last.sub, feed.sub);
});

test("a change of spins keeps the subscription, a change of runs makes a new one and drops old data", async () => {
  const { feed, socket } = await connected();
  const sub = feed.sub;
  socket.receive({ sub, runs: [run(0, 1, 2)] });
  feed.want("view", { spins: "a" });
  await settle();
  assert.equal(feed.sub, sub);
  feed.want("chart", { runs: ["b"] });
  await settle();
  assert.equal(feed.sub, sub + 1);
  assert.equal(feed.runs.has("a"), false);
});

test("a chart that is replaced by another costs no new subscription, a chart that is gone ends one", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { feed, socket } = await connected();
  const { sub } = feed;
  socket.receive({ sub, runs: [run(0, 1, 2)] });
  feed.release("chart");
  feed.want("next", { runs: ["a"] });
  context.mock.timers.tick(5000);
  await settle();
  assert.equal(feed.sub, sub);
  assert.deepEqual(energies(feed), [-1, -2]);
  feed.release("next");
  context.mock.timers.tick(5000);
  await settle();
  assert.deepEqual(socket.sent.at(-1), { sub: sub + 1, runs: [], spins: null, paused: false });
});

test("deltas append, from 0 replaces, every frame is acknowledged, frames of old subscriptions are not used", async () => {
  const { feed, socket } = await connected();
  const { sub } = feed;
  socket.receive({ sub, frame: 1, runs: [run(0, 1, 3)] });
  socket.receive({ sub, frame: 2, runs: [run(3, 4, 5)] });
  socket.receive({ sub: sub - 1, frame: 3, runs: [run(0, 8, 9)] });
  assert.deepEqual(energies(feed), [-1, -2, -3, -4, -5]);
  assert.deepEqual(socket.sent.filter((m) => "ack" in m).map((m) => m.ack), [1, 2, 3]);
  socket.receive({ sub, frame: 4, runs: [run(0, 1, 2)] });
  assert.deepEqual(energies(feed), [-1, -2]);
  assert.equal(feed.stats.dropped, 1);
});

test("after a lost connection and a new boot the feed subscribes anew and refills, without a doubled point", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { feed, socket } = await connected();
  socket.receive({ sub: feed.sub, runs: [run(0, 1, 3)] });
  const states = [];
  feed.subscribe((_, state) => states.push(state));
  socket.close();
  assert.equal(feed.state, "reconnecting");
  assert.deepEqual(energies(feed), [-1, -2, -3]); // still shown
  context.mock.timers.tick(700);
  const next = Socket.all[1];
  next.open();
  assert.equal(feed.state, "live");
  assert.deepEqual(next.sent[0].runs, ["a"]);
  next.receive({ sub: next.sent[0].sub, boot: "other", runs: [run(0, 1, 4)] });
  assert.deepEqual(energies(feed), [-1, -2, -3, -4]);
  assert.deepEqual(states.slice(0, 2), ["reconnecting", "live"]);
});

test("attempts to reconnect come with growing, jittered delays", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { socket } = await connected();
  socket.close();
  context.mock.timers.tick(374);
  assert.equal(Socket.all.length, 1);
  context.mock.timers.tick(252);
  assert.equal(Socket.all.length, 2);
  Socket.all[1].close();
  context.mock.timers.tick(749);
  assert.equal(Socket.all.length, 2);
  context.mock.timers.tick(502);
  assert.equal(Socket.all.length, 3);
});

test("a rewind drops later steps before its row, also those of the same frame", () => {
  const table = new RunTable("a");
  const update = (part) => {
    const decoded = decodeFrame(frame({ runs: [part] }));
    table.update(decoded.header.runs[0], decoded.blocks.get("a"));
  };
  update(run(0, 1, 6));
  update({ ...run(6, 7, 8), rows: [...rows(7, 8), ...rows(5, 6)], rewinds: [[2, 4]] });
  assert.deepEqual([...table.column("step")], [1, 2, 3, 4, 5, 6]);
  update({ ...run(10, 1, 0), rewinds: [[0, 2]] });
  assert.deepEqual([...table.column("step")], [1, 2]);
});

test("columns may come late or stay away: missing values are NaN, growth keeps all", () => {
  const table = new RunTable("a");
  const update = (part) => {
    const decoded = decodeFrame(frame({ runs: [part] }));
    table.update(decoded.header.runs[0], decoded.blocks.get("a"));
  };
  update({ ...run(0, 1, 1500), columns: [["step", "f8"]] });
  update({ ...run(1500, 1501, 1502), columns: [["step", "f8"], ["energy", "f8"]] });
  update({ ...run(1502, 1503, 1503), columns: [["step", "f8"]] });
  assert.equal(table.n, 1503);
  assert.deepEqual([...table.column("step").slice(-2)], [1502, 1503]);
  assert.deepEqual([...table.column("energy").slice(-4)], [NaN, -1501, -1502, NaN]);
  assert.equal(table.column("unknown"), null);
});

test("the table tells what is undefined from a gap, through appends, rewinds and part frames", () => {
  const table = new RunTable("a");
  const columns = [["step", "f8"], ["r_hat", "f4"]];
  const part = (from, steps, more) => {
    const rows = steps.map((step) => ({ step, r_hat: step === 4 ? Infinity : NaN }));
    const { header, blocks } = decodeFrame(frame({ runs: [{ id: "a", from, columns, rows, ...more }] }));
    table.update(header.runs[0], blocks.get("a"));
  };
  const told = () => [...table.column("step")].map((_, row) => table.isUndefined("r_hat", row));
  part(0, [1, 2, 3, 4], { undefined: { r_hat: [[1, 3]] } });
  assert.deepEqual(told(), [false, true, true, false]);
  assert.equal(table.column("r_hat")[3], Infinity);
  part(4, [5, 3, 4], { undefined: { r_hat: [[0, 2]] }, rewinds: [[1, 2]] });
  assert.deepEqual([...table.column("step")], [1, 2, 3, 4]);
  assert.deepEqual(told(), [false, true, true, false]);
  assert.equal(table.info.undefined, undefined);
});
