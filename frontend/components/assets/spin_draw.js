// Where the spins of several chains stand on a canvas, and their pixels. Pure.

export const GAP = 1; // sites of background between two lattices

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
      const ratio = (n * (cols + GAP)) / (Math.ceil(shown / n) * (rows + GAP));
      const off = Math.abs(Math.log(ratio / aspect));
      if (off < best) [best, across] = [off, n];
    }
  }
  const gap = flat ? 0 : GAP;
  const down = Math.ceil(shown / across);
  const width = across * cols + (across - 1) * gap;
  const height = down * rows + (down - 1) * gap;
  return { rows, cols, shown, across, gap, width, height, flat };
}

/** Fill `pixels` (one 32-bit colour per site of the picture) with up, down and background. */
export function paint(pixels, snapshot, layout, colours) {
  const { rows, cols, shown, across, gap, width } = layout;
  pixels.fill(colours.background);
  for (let chain = 0; chain < shown; chain++) {
    const left = (chain % across) * (cols + gap);
    const top = Math.floor(chain / across) * (rows + gap);
    for (let r = 0; r < rows; r++) {
      const from = chain * snapshot.n_sites + r * cols;
      const to = (top + r) * width + left;
      for (let c = 0; c < cols; c++) pixels[to + c] = snapshot.data[from + c] > 0 ? colours.up : colours.down;
    }
  }
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
