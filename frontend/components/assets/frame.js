// Decoding of the feed's binary frames, and the tables that hold a run's history. No DOM.

const TYPES = { f8: [Float64Array, 8], f4: [Float32Array, 4] };
const FIRST_CAPACITY = 1024;

/** Split a frame (u32 length | JSON | blocks, little-endian) into header, columns of each run, and spins. */
export function decodeFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  const blocks = new Map();
  for (const run of header.runs ?? []) {
    const columns = {};
    for (const [name, type] of run.columns ?? []) {
      const [Type, size] = TYPES[type];
      // Only the header is padded, so an f8 block may follow an odd number of f4 values: copy where it is not aligned.
      const bytes = size * run.n;
      columns[name] = offset % size === 0
        ? new Type(buffer, offset, run.n)
        : new Type(buffer.slice(offset, offset + bytes));
      offset += bytes;
    }
    blocks.set(run.id, columns);
  }
  let spins = null;
  if (header.spins) {
    const n = header.spins.n_chains * header.spins.n_sites;
    spins = { ...header.spins, data: new Int8Array(buffer.slice(offset, offset + n)) };
  }
  return { header, blocks, spins };
}

/**
 * The history of one run at full resolution: one growing typed array per column, NaN where a value is missing, or where
 * it is undefined: `isUndefined` tells the two apart.
 */
export class RunTable {
  constructor(id) {
    this.id = id;
    this.info = {};
    this.messages = [];
    this.version = 0; // changes with the data, so that views can keep what they derived from it
    this.clear();
  }

  clear() {
    this.n = 0;
    this.capacity = FIRST_CAPACITY;
    this.columns = {};
    this.undefinedSpans = {}; // of a column: [first row, one past the last], rising
    this.messages = [];
    this.version += 1;
  }

  /** The values of a column (a view of length n), or null if the run never reported it. */
  column(name) {
    const array = this.columns[name];
    return array ? array.subarray(0, this.n) : null;
  }

  /** Whether the run reported NaN here, which is a statement; a gap says nothing. */
  isUndefined(name, row) {
    return (this.undefinedSpans[name] ?? []).some(([first, end]) => first <= row && row < end);
  }

  /** Take over one run's part of a frame. */
  update(run, blocks) {
    const { columns, undefined: spans = {}, rewinds = [], messages = [], n, from, to, ...info } = run;
    if (from === 0) this.clear();
    Object.assign(this.info, info);
    this.messages.push(...messages);
    let row = 0;
    for (const [at, step] of rewinds) {
      this.#append(columns, blocks, spans, row, at);
      this.#dropAfter(step);
      row = at;
    }
    this.#append(columns, blocks, spans, row, n);
  }

  #append(columns, blocks, spans, start, end) {
    const count = end - start;
    if (count <= 0) return;
    this.#reserve(this.n + count);
    for (const [name, type] of columns) {
      this.columns[name] ??= new TYPES[type][0](this.capacity).fill(NaN);
      this.columns[name].set(blocks[name].subarray(start, end), this.n);
    }
    const present = new Set(columns.map(([name]) => name));
    for (const [name, array] of Object.entries(this.columns)) {
      if (!present.has(name)) array.fill(NaN, this.n, this.n + count);
    }
    for (const [name, found] of Object.entries(spans)) {
      const inside = clipped(found, start, end).map((span) => span.map((row) => row - start + this.n));
      this.undefinedSpans[name] = [...(this.undefinedSpans[name] ?? []), ...inside];
    }
    this.n += count;
    this.version += 1;
  }

  #dropAfter(step) {
    const steps = this.columns.step;
    while (this.n > 0 && steps[this.n - 1] > step) this.n -= 1;
    for (const [name, found] of Object.entries(this.undefinedSpans)) {
      this.undefinedSpans[name] = clipped(found, 0, this.n);
    }
    this.version += 1;
  }

  #reserve(n) {
    if (n <= this.capacity) return;
    while (this.capacity < n) this.capacity *= 2;
    for (const [name, old] of Object.entries(this.columns)) {
      const array = new old.constructor(this.capacity).fill(NaN);
      array.set(old.subarray(0, this.n));
      this.columns[name] = array;
    }
  }
}

function clipped(spans, start, end) {
  return spans
    .map(([first, last]) => [Math.max(first, start), Math.min(last, end)])
    .filter(([first, last]) => first < last);
}
