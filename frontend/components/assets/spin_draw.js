// Where the spins of several chains stand on a canvas, and their pixels. Pure.

const GAP = 0.3; // of a site, between two lattices

/**
 * Arrange chains: 2D lattices as tiles, chains as rows of one strip. Sites are row-major, the first axis runs down.
 * `aspect` is the wanted width over height of the picture.
 */
export function arrange(snapshot, maxTiles, aspect = 1) {
  const [rows, cols] = snapshot.extent.length === 2 ? snapshot.extent : [1, snapshot.n_sites];
  const shown = Math.min(snapshot.n_chains, maxTiles);
  const flat = snapshot.extent.length !== 2;
  let across = 1;
  if (!flat) {
    // The number of columns whose picture is nearest to the wanted shape.
    let best = Infinity;
    for (let n = 1; n <= shown; n++) {
      const ratio = (n * cols) / (Math.ceil(shown / n) * rows);
      const off = Math.abs(Math.log(ratio / aspect));
      if (off < best) [best, across] = [off, n];
    }
  }
  return { rows, cols, shown, across, down: Math.ceil(shown / across), flat };
}

/**
 * Place the tiles on a square of `room` device pixels: whole pixels per site, so that all sites have the same size and
 * sharp edges. Returns the size of the picture and the corner of each tile.
 */
export function place({ rows, cols, shown, across, down, flat }, room) {
  const gaps = flat ? 0 : GAP;
  const largest = Math.max(across * cols + (across - 1) * gaps, down * rows + (down - 1) * gaps);
  const cell = Math.max(1, Math.floor(room / largest));
  const gap = flat ? 0 : Math.max(2, Math.floor(cell * GAP));
  const tiles = [];
  for (let k = 0; k < shown; k++) {
    tiles.push([(k % across) * (cols * cell + gap), Math.floor(k / across) * (rows * cell + gap)]);
  }
  const width = across * cols * cell + (across - 1) * gap;
  const height = down * rows * cell + (down - 1) * gap;
  return { cell, tiles, width, height };
}

/** One pixel per site: the configurations that are shown, one below the other. */
export function paint(pixels, snapshot, colours) {
  for (let i = 0; i < pixels.length; i++) pixels[i] = snapshot.data[i] > 0 ? colours.up : colours.down;
}

/** Mean of all spins of all chains. */
export function magnetisation(snapshot) {
  let sum = 0;
  for (const spin of snapshot.data) sum += spin;
  return sum / snapshot.data.length;
}

/** A "#rrggbb" colour as the 32-bit number of a little-endian RGBA pixel. */
export function pixel(colour) {
  const [r, g, b] = colour.slice(1).match(/../g).map((c) => parseInt(c, 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
