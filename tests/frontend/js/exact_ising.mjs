// Averages of the 4x4 periodic lattice by enumeration of all 65536 states; energies from bit operations, no shared code.

export function enumerate(T, h) {
  let z = 0;
  const sum = { e: 0, m: 0, absM: 0 };
  for (let bits = 0; bits < 65536; bits++) {
    let m = 0;
    let energy = 0;
    for (let i = 0; i < 16; i++) {
      const s = bits & (1 << i) ? 1 : -1;
      const right = (i & ~3) | ((i + 1) & 3);
      const down = (i + 4) & 15;
      m += s;
      energy -= s * (bits & (1 << right) ? 1 : -1) + s * (bits & (1 << down) ? 1 : -1);
    }
    energy -= h * m;
    const weight = Math.exp(-(energy + 32) / T);
    z += weight;
    sum.e += (weight * energy) / 16;
    sum.m += (weight * m) / 16;
    sum.absM += (weight * Math.abs(m)) / 16;
  }
  return { e: sum.e / z, m: sum.m / z, absM: sum.absM / z };
}

/** z-scores of the averages of a simulation against exact ones; errors from the scatter of blocks. */
export function zScores(simulate, exact, { blocks = 100, perBlock = 400 } = {}) {
  const rows = [];
  for (let b = 0; b < blocks; b++) {
    const mean = { e: 0, m: 0, absM: 0 };
    for (let k = 0; k < perBlock; k++) {
      const { e, m } = simulate();
      mean.e += e / perBlock;
      mean.m += m / perBlock;
      mean.absM += Math.abs(m) / perBlock;
    }
    rows.push(mean);
  }
  return Object.fromEntries(["e", "m", "absM"].map((name) => {
    const mean = rows.reduce((s, r) => s + r[name], 0) / blocks;
    const variance = rows.reduce((s, r) => s + (r[name] - mean) ** 2, 0) / (blocks - 1);
    return [name, (mean - exact[name]) / Math.sqrt(variance / blocks)];
  }));
}
