// What is known in closed form about the infinite square lattice without a field, in units of J; k_B = 1.

/** T_c = 2 / ln(1 + sqrt 2) (Kramers and Wannier 1941, Onsager 1944). */
export const T_CRITICAL = 2 / Math.log(1 + Math.SQRT2);

/** Spontaneous magnetisation (1 - sinh(2/T)^-4)^(1/8) below T_c, else 0 (Yang, Phys. Rev. 85, 808, 1952). */
export function magnetisationExact(T) {
  return T < T_CRITICAL ? (1 - Math.sinh(2 / T) ** -4) ** 0.125 : 0;
}

// Complete elliptic integral of the first kind with modulus q, by the arithmetic-geometric mean.
function elliptic(q) {
  let a = 1;
  let b = Math.sqrt(1 - q * q);
  for (let i = 0; i < 60 && Math.abs(a - b) > 1e-15 * a; i++) [a, b] = [(a + b) / 2, Math.sqrt(a * b)];
  return Math.PI / (2 * a);
}

/** Energy per site, -coth(2K) [1 + (2/pi) (2 tanh^2(2K) - 1) K_1(q)], K = 1/T (Onsager, Phys. Rev. 65, 117, 1944). */
export function energyExact(T) {
  const x = 2 / T;
  const factor = 2 * Math.tanh(x) ** 2 - 1;
  const q = (2 * Math.sinh(x)) / Math.cosh(x) ** 2;
  // At T_c the integral diverges, but its factor vanishes faster.
  const term = Math.abs(factor) < 1e-12 ? 0 : factor * elliptic(Math.min(q, 1 - 1e-15));
  return (-1 / Math.tanh(x)) * (1 + (2 / Math.PI) * term);
}
