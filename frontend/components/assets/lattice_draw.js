// Where the sites and bonds of a lattice stand on a picture of a given width. Pure.

const SHELLS = 2; // orders of neighbours that are drawn
const MAX_CHAIN = 40; // sites of a chain that fit beside each other
const MAX_RADIUS = 6;
const STUB = 0.45; // of a bond

/** Vectors that join the lattice to itself along its periodic axes, [[x, y], ...]; empty where they are not known. */
export function periods({ reciprocal, extent, periodicity }) {
  if (!reciprocal?.length || reciprocal.length > 2 || reciprocal.length !== reciprocal[0].length) return [];
  const turn = 2 * Math.PI;
  let cells = [[turn / reciprocal[0][0], 0]];
  if (reciprocal.length === 2) {
    const [[a, b], [c, d]] = reciprocal;
    const det = (a * d - b * c) / turn;
    cells = [[d / det, -c / det], [-b / det, a / det]];
  }
  const joined = cells.map(([x, y], axis) => [x * extent[axis], y * extent[axis]]);
  return joined.filter((_, axis) => periodicity[axis]);
}

/** The shortest way from a to b that leaves the drawing over a periodic border; null if there is none. */
export function around([ax, ay], [bx, by], vectors) {
  let best = null;
  const steps = vectors.length === 2 ? [-1, 0, 1] : [0];
  for (const n of vectors.length ? [-1, 0, 1] : []) {
    for (const m of steps) {
      if (n === 0 && m === 0) continue;
      const dx = bx - ax + n * vectors[0][0] + m * (vectors[1]?.[0] ?? 0);
      const dy = by - ay + n * vectors[0][1] + m * (vectors[1]?.[1] ?? 0);
      if (!best || dx * dx + dy * dy < best[0] ** 2 + best[1] ** 2 - 1e-9) best = [dx, dy];
    }
  }
  return best;
}

/** Every bond as a pair of points: whole bonds, and the two halves of those that wrap around. */
export function segments(drawing, shown) {
  const { sites } = drawing;
  const vectors = periods(drawing);
  const inside = (pair) => pair.every((i) => i < shown);
  return (drawing.bonds ?? []).filter(({ order }) => order <= SHELLS).map(({ order, pairs = [], wraps = [] }) => {
    const whole = pairs.filter(inside).map(([i, j]) => [sites[i], sites[j]]);
    const stubs = (order === 1 ? wraps : []).flatMap(([i, j]) => { // those of other shells would hide the picture
      const way = around(sites[i], sites[j], vectors);
      if (!way) return [];
      const end = ([x, y], sign) => [[x, y], [x + sign * STUB * way[0], y + sign * STUB * way[1]]];
      return [[i, 1], [j, -1]].filter(([site]) => site < shown).map(([site, sign]) => end(sites[site], sign));
    });
    return { order, whole, stubs };
  });
}

const flat = (sites) => sites.every(([, y]) => Math.abs(y - sites[0][1]) < 1e-9);

/**
 * The picture: size, circles of the sites, and one path of bonds for each shell and kind.
 * On a line, second neighbours are joined by arcs: straight ones would hide behind the others.
 */
export function picture(drawing, width, maxHeight) {
  const line = flat(drawing.sites);
  const shown = line ? Math.min(MAX_CHAIN, drawing.sites.length) : drawing.sites.length;
  const sites = drawing.sites.slice(0, shown);
  const parts = segments(drawing, shown);
  const first = parts.filter(({ order }) => order === 1);
  const points = [...sites, ...first.flatMap(({ stubs }) => stubs.map(([, end]) => end))];
  const [x0, x1] = [Math.min(...points.map((p) => p[0])), Math.max(...points.map((p) => p[0]))];
  const [y0, y1] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
  const pad = 9;
  const scale = Math.min(
    (width - 2 * pad) / (x1 - x0 || 1), (maxHeight - 2 * pad) / (y1 - y0 || 1), line ? 60 : 48,
  );
  const lift = line && parts.some(({ order }) => order === 2) ? 0.42 * scale : 0;
  const height = Math.ceil((y1 - y0) * scale + 2 * pad + lift);
  const left = (width - (x1 - x0) * scale) / 2;
  const place = ([x, y]) => [left + (x - x0) * scale, height - pad - (y - y0) * scale];
  const number = (v) => Math.round(10 * v) / 10;
  const straight = ([a, b]) => `M${place(a).map(number)}L${place(b).map(number)}`;
  const arc = ([a, b]) => {
    const [[ax, ay], [bx, by]] = [place(a), place(b)];
    return `M${number(ax)},${number(ay)}Q${number((ax + bx) / 2)},${number(ay - 2 * lift)},${number(bx)},${number(by)}`;
  };
  const bonds = parts.map(({ order, whole, stubs }) => ({
    order,
    whole: whole.map(line && order === 2 ? arc : straight).join(""),
    stubs: stubs.map(straight).join(""),
  }));
  const radius = Math.max(0.8, Math.min(MAX_RADIUS, 0.17 * scale));
  const groups = drawing.sublattice ?? [];
  const circles = sites.map((site, i) => ({ at: place(site).map(number), group: groups[i] ?? null }));
  return { width, height, radius, circles, bonds, shown };
}

/** What the picture shows, in words. */
export function caption(drawing, shown) {
  const n = drawing.n_sites;
  const names = ["bonds", "second neighbours"];
  const counts = (drawing.bonds ?? []).filter(({ order }) => order <= SHELLS).map(
    ({ order, pairs = [], wraps = [] }) => `${(pairs.length + wraps.length).toLocaleString("en")} ${names[order - 1]}`,
  );
  const group = drawing.point_group?.name && `point group ${drawing.point_group.name}`;
  const cut = shown < drawing.sites.length ? `the first ${shown} of ${n.toLocaleString("en")} sites` : "";
  return [cut || `${n.toLocaleString("en")} sites`, ...counts, group].filter(Boolean).join(" · ");
}
