// The 2D Ising model on a periodic L x L lattice: E = -sum_<ij> s_i s_j - h sum_i s_i, in units of J; k_B = 1. No DOM.

const TWO32 = 4294967296;

/** The generator sfc32 (Doty-Humphrey, PractRand), seeded through splitmix32; returns integers in [0, 2^32). */
export class Random {
  constructor(seed) {
    let z = seed >>> 0;
    const next = () => {
      z = (z + 0x9e3779b9) >>> 0;
      let t = z ^ (z >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return (t ^ (t >>> 15)) | 0;
    };
    this.state = Int32Array.from([next(), next(), next(), 1]);
    for (let i = 0; i < 12; i++) this.next();
  }

  next() {
    const s = this.state;
    const t = (s[0] + s[1] + s[3]) | 0;
    s[3] = (s[3] + 1) | 0;
    s[0] = s[1] ^ (s[1] >>> 9);
    s[1] = (s[2] + (s[2] << 3)) | 0;
    s[2] = (((s[2] << 21) | (s[2] >>> 11)) + t) | 0;
    return t >>> 0;
  }

  uniform() {
    return this.next() / TWO32;
  }
}

/** Probability that a flip is accepted: Metropolis min(1, exp(-dE/T)), heat bath 1/(1 + exp(dE/T)). */
export const ACCEPTANCE = {
  metropolis: (dE, T) => (dE <= 0 ? 1 : Math.exp(-dE / T)),
  heat_bath: (dE, T) => 1 / (1 + Math.exp(dE / T)),
};

/**
 * In which order a sweep asks the sites. All have the same equilibrium; the kinetics of a Metropolis quench is physical
 * in random order only, for in a fixed one flips that cost nothing follow each other in one direction.
 */
export const ORDERS = ["random", "sequential", "checkerboard"];

// A fixed order leaves a site out with probability 1 - ASK. If all were asked, states in which every flip is free
// (diagonal stripes two sites wide) would turn over for ever and never mix with the others.
const ASK = 15 / 16;

export class Ising {
  constructor(L, { T = 2.27, h = 0, seed = 1 } = {}) {
    this.L = L;
    this.n = L * L;
    this.T = T;
    this.h = h;
    this.random = new Random(seed);
    this.spins = new Int8Array(this.n);
    this.stack = new Int32Array(this.n);
    this.cluster = new Int32Array(this.n);
    this.clusters = 1; // of the next Wolff step
    this.meanCluster = 0;
    this.fill("random");
  }

  fill(kind) {
    if (kind !== "random") this.spins.fill(kind === "up" ? 1 : -1);
    else for (let i = 0; i < this.n; i++) this.spins[i] = this.random.next() >>> 31 ? 1 : -1;
  }

  /**
   * As many proposals as there are sites; returns the fraction that was accepted. "random" draws every site, so that some
   * are asked twice and others not; "sequential" goes row by row; "checkerboard" asks the black, then the white squares
   * (L is even). Every single update keeps the Boltzmann distribution.
   */
  sweep(rule = ACCEPTANCE.metropolis, order = "random") {
    if (order === "random") return this.sweepAtRandom(this.thresholds(rule, 1));
    const threshold = this.thresholds(rule, ASK);
    if (order === "sequential") return this.sweepRows(threshold, 1);
    return this.sweepRows(threshold, 2);
  }

  /** Only ten energy changes exist: spin up or down, and -4, -2, 0, 2 or 4 for the sum of its neighbours. */
  thresholds(rule, ask) {
    const threshold = new Float64Array(10);
    for (let up = 0; up < 2; up++) {
      for (let k = 0; k < 5; k++) {
        const dE = 2 * (2 * up - 1) * (2 * k - 4 + this.h);
        threshold[up * 5 + k] = ask * rule(dE, this.T) * TWO32;
      }
    }
    return threshold;
  }

  sweepAtRandom(threshold) {
    const { L, n, spins } = this;
    let [a, b, c, d] = this.random.state; // Random.next, written out: the calls would take half of the time
    let accepted = 0;
    for (let k = 0; k < n; k++) {
      const r = (a + b + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + r) | 0;
      const i = Math.floor((r >>> 0) * (n / TWO32));
      const y = (i / L) | 0;
      const x = i - y * L;
      const s = spins[i];
      const sides = spins[x ? i - 1 : i + L - 1] + spins[x < L - 1 ? i + 1 : i + 1 - L];
      const around = spins[y ? i - L : i + n - L] + spins[y < L - 1 ? i + L : x] + sides;
      const t = (a + b + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + t) | 0;
      if ((t >>> 0) < threshold[(s > 0 ? 5 : 0) + ((around + 4) >> 1)]) {
        spins[i] = -s;
        accepted += 1;
      }
    }
    this.random.state.set([a, b, c, d]);
    return accepted / n;
  }

  /** Row by row, every site (stride 1), or first the black and then the white squares (stride 2). */
  sweepRows(threshold, stride) {
    const { L, n, spins } = this;
    let [a, b, c, d] = this.random.state;
    let accepted = 0;
    for (let colour = 0; colour < stride; colour++) {
      for (let y = 0; y < L; y++) {
        const row = y * L;
        const above = y ? row - L : n - L;
        const below = y < L - 1 ? row + L : 0;
        for (let x = (y + colour) % stride; x < L; x += stride) {
          const s = spins[row + x];
          const sides = spins[row + (x ? x - 1 : L - 1)] + spins[row + (x < L - 1 ? x + 1 : 0)];
          const around = spins[above + x] + spins[below + x] + sides;
          const t = (a + b + d) | 0;
          d = (d + 1) | 0;
          a = b ^ (b >>> 9);
          b = (c + (c << 3)) | 0;
          c = (((c << 21) | (c >>> 11)) + t) | 0;
          if ((t >>> 0) < threshold[(s > 0 ? 5 : 0) + ((around + 4) >> 1)]) {
            spins[row + x] = -s;
            accepted += 1;
          }
        }
      }
    }
    this.random.state.set([a, b, c, d]);
    return accepted / (ASK * n);
  }

  /**
   * Grow one Wolff cluster (PRL 62, 361) with bond probability 1 - exp(-2/T) and flip it; in a field the flip is
   * accepted with min(1, exp(-2 h s size / T)). Returns the size, 0 if the flip was refused.
   */
  flipCluster() {
    const { L, n, spins, stack, cluster, random, T, h } = this;
    const bond = (1 - Math.exp(-2 / T)) * TWO32;
    const seed = Math.floor(random.uniform() * n);
    const s = spins[seed];
    let depth = 0;
    let size = 0;
    const add = (i) => {
      spins[i] = -s; // marks the site as taken
      stack[depth++] = i;
      cluster[size++] = i;
    };
    const visit = (j) => {
      if (spins[j] === s && random.next() < bond) add(j);
    };
    add(seed);
    while (depth > 0) {
      const i = stack[--depth];
      const y = (i / L) | 0;
      const x = i - y * L;
      visit(y ? i - L : i + n - L);
      visit(y < L - 1 ? i + L : x);
      visit(x ? i - 1 : i + L - 1);
      visit(x < L - 1 ? i + 1 : i - L + 1);
    }
    if (h !== 0 && random.uniform() >= Math.exp((-2 * h * s * size) / T)) {
      for (let k = 0; k < size; k++) spins[cluster[k]] = s;
      return 0;
    }
    return size;
  }

  /**
   * About n flipped spins by Wolff clusters. The number of clusters is fixed before the step: stopping as soon as
   * enough spins have flipped would prefer states that follow a large cluster, and bias every average.
   */
  wolff() {
    let flipped = 0;
    for (let k = 0; k < this.clusters; k++) flipped += this.flipCluster();
    const mean = flipped / this.clusters;
    this.meanCluster = this.meanCluster ? 0.9 * this.meanCluster + 0.1 * mean : mean;
    return flipped / this.n;
  }

  /** Choose the number of clusters for the coming steps; not while averages are taken, see above. */
  tune() {
    this.clusters = Math.max(1, Math.min(200, Math.round(this.n / Math.max(1, this.meanCluster))));
  }

  step(algorithm, order) {
    return algorithm === "wolff" ? this.wolff() : this.sweep(ACCEPTANCE[algorithm], order);
  }

  /** Magnetisation and energy, per site. */
  observe() {
    const { L, n, spins, h } = this;
    let m = 0;
    let bonds = 0;
    for (let y = 0; y < L; y++) {
      const row = y * L;
      const below = (y < L - 1 ? y + 1 : 0) * L;
      for (let x = 0; x < L; x++) {
        const s = spins[row + x];
        m += s;
        bonds += s * (spins[below + x] + spins[row + (x < L - 1 ? x + 1 : 0)]);
      }
    }
    return { m: m / n, e: (-bonds - h * m) / n };
  }

  /** Set the spins of a disc. */
  paint(x, y, radius, value) {
    const { L } = this;
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        if (dx * dx + dy * dy > radius * radius) continue;
        this.spins[((y + dy + L) % L) * L + ((x + dx + L) % L)] = value;
      }
    }
  }
}
