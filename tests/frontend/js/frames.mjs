// Builds frames as the server does, for the tests.

const WRITE = { f8: ["setFloat64", 8], f4: ["setFloat32", 4] };

/** runs: [{id, from, columns: [[name, type]], rows: [{name: value}], rewinds, ...}]; an absent value is NaN. */
export function frame({ sub = 1, frame: number = 1, boot = "b", runs = [], spins = null }) {
  const heads = runs.map(({ rows, ...run }) => ({ rewinds: [], messages: [], n: rows.length, to: run.from + rows.length, ...run }));
  let text = JSON.stringify({ t: 0, boot, sub, frame: number, runs: heads, spins: spins && { ...spins, data: undefined } });
  text += " ".repeat((8 - ((4 + text.length) % 8)) % 8);
  const size = runs.flatMap((run) => run.columns.map(([, type]) => WRITE[type][1] * run.rows.length)).reduce((a, b) => a + b, 0);
  const buffer = new ArrayBuffer(4 + text.length + size + (spins ? spins.data.length : 0));
  const view = new DataView(buffer);
  view.setUint32(0, text.length, true);
  new Uint8Array(buffer, 4).set(new TextEncoder().encode(text));
  let offset = 4 + text.length;
  for (const run of runs) {
    for (const [name, type] of run.columns) {
      for (const row of run.rows) {
        view[WRITE[type][0]](offset, row[name] ?? NaN, true);
        offset += WRITE[type][1];
      }
    }
  }
  if (spins) new Int8Array(buffer, offset).set(spins.data);
  return buffer;
}

export const COLUMNS = [["step", "f8"], ["energy", "f8"], ["energy_error", "f4"]];

/** Rows for steps first..last with energy = -step. */
export function rows(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => ({ step: first + i, energy: -(first + i), energy_error: 0.5 }));
}
