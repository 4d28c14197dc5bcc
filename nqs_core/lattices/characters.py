"""Character tables of finite groups, and the Mulliken names of their irreps where the group is a point group."""

import numpy as np
from jaxtyping import Float, Inexact, Int

_CLOSE = 1e-6


def table(product: Int[np.ndarray, "n n"]) -> Inexact[np.ndarray, "n_irreps n"]:
    """χ of every irrep at every element, the trivial one first, from the multiplication table (element 0: identity).

    The class sums commute and ω(C) = |C| χ(C) / d are their common eigenvalues.
    Source: Burnside's algorithm; Dixon, Numer. Math. 10, 446 (1967).
    """
    n = len(product)
    inverse = np.argmin(product, axis=1)
    conjugates = product[product, inverse[:, None]]  # [k, i] = k i k⁻¹
    representative = conjugates.min(axis=0)
    chosen = np.unique(representative)
    member = representative[None, :] == chosen[:, None]  # (class, element)
    # Constants of the class algebra: the number of x in class i with x⁻¹ z in class j, for one z of class k.
    constants = np.einsum("ix,jxk->ijk", member, member[:, product[inverse][:, chosen]], dtype=float)
    weights = np.random.default_rng(0).normal(size=len(chosen))
    _, omega = np.linalg.eig(np.einsum("i,ijk->jk", weights, constants))
    omega = (omega / omega[0]).T  # (irrep, class), class 0 the identity
    sizes = member.sum(axis=1)
    dimension = np.sqrt(n / (np.abs(omega) ** 2 / sizes).sum(axis=1))
    characters = np.round((dimension[:, None] * omega / sizes) @ member, 12) + 0.0
    order = sorted(range(len(chosen)), key=lambda k: (not np.allclose(characters[k], 1), round(dimension[k])))
    return np.real(characters[order]) if np.allclose(characters.imag, 0) else characters[order]


def names(
    cartesian: Float[np.ndarray, "n dim dim"], characters: Inexact[np.ndarray, "n_irreps n"]
) -> tuple[str, list[str]]:
    """The Schoenflies symbol of a point group and a name for every irrep; `Γ1`, `Γ2`, ... in groups without names here.

    In the plane σv is the mirror at the smallest angle from x (counter-clockwise), σd the next; B1 is even under σv.
    Two axes of order 2 across the main one: C2' lies along x or y. D2h: B1g, B2g, B3g are even under the rotation about
    z, y, x. One mirror only: Cs.
    """
    frame = _moved_directions(cartesian)
    small = np.einsum("ai,nij,bj->nab", frame, cartesian, frame)
    if len(frame) == 0:
        return "C1", ["A"]
    if len(frame) == 1:
        mirror = np.flatnonzero(small[:, 0, 0] < 0)
        return "Cs", ["A'" if chi[mirror[0]].real > 0 else "A''" for chi in characters]
    symbol, found = _plane(small, characters) if len(frame) == 2 else _space(small, characters)
    if len(set(found)) < len(characters):
        return symbol, [f"Γ{k + 1}" for k in range(len(characters))]
    return symbol, found


def _moved_directions(cartesian: np.ndarray) -> np.ndarray:
    """An orthonormal frame of the directions that some element moves, as near to x, y, z as can be."""
    moved = np.eye(cartesian.shape[-1]) - cartesian.mean(axis=0)
    frame: list[np.ndarray] = []
    for column in moved:
        rest = column - sum((np.dot(e, column) * e for e in frame), start=np.zeros(len(column)))
        if np.linalg.norm(rest) > _CLOSE:
            frame.append(rest / np.linalg.norm(rest))
    return np.array(frame).reshape(len(frame), len(moved))


def _plane(matrices: np.ndarray, characters: np.ndarray) -> tuple[str, list[str]]:
    rotations = np.linalg.det(matrices) > 0
    n = int(rotations.sum())
    angles = np.round(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (2 * np.pi), 9) % 1.0
    turn = np.flatnonzero(rotations & (np.abs(angles - 1 / n) < _CLOSE))[0]
    mirrors = np.flatnonzero(~rotations)  # the line of a mirror lies at half its angle
    upright = mirrors[np.argmin(angles[mirrors])] if len(mirrors) else None
    found = []
    for chi in characters:
        dimension = round(chi[0].real)
        if dimension == 2:
            order = round(n * np.arccos(chi[turn].real / 2) / (2 * np.pi))
            found.append("E" if n < 5 else f"E{order}")
            continue
        letter = "A" if abs(chi[turn] - 1) < _CLOSE else "B" if abs(chi[turn] + 1) < _CLOSE else ""
        found.append(letter + ("" if upright is None else "1" if chi[upright].real > 0 else "2"))
    return f"C{n}" + ("v" if len(mirrors) else ""), found


def _space(matrices: np.ndarray, characters: np.ndarray) -> tuple[str, list[str]]:
    n = len(matrices)
    inversion = np.flatnonzero(np.all(np.abs(matrices + np.eye(3)) < _CLOSE, axis=(1, 2)))
    symbol = {48: "Oh", 16: "D4h", 8: "D2h"}.get(n) if len(inversion) else None
    if symbol is None:
        return f"order {n}", []
    proper = np.linalg.det(matrices) > 0
    trace = np.round(np.trace(matrices, axis1=1, axis2=2)).astype(int)
    quarter = np.flatnonzero(proper & (trace == 1))
    halves = np.flatnonzero(proper & (trace == -1))
    along = np.abs(np.diagonal(matrices[halves], axis1=1, axis2=2) - 1) < _CLOSE  # (rotation, axis x y z)
    found = []
    for chi in np.real(characters):
        dimension = round(chi[0])
        if symbol == "Oh":
            name = {1: ("A1", "A2"), 2: ("E", "E"), 3: ("T1", "T2")}[dimension][int(chi[quarter[0]] < 0)]
        elif symbol == "D4h":
            main = np.linalg.matrix_power(matrices[quarter[0]], 2)
            across = halves[along.any(axis=1) & (np.abs(matrices[halves] - main).max(axis=(1, 2)) > _CLOSE)]
            letter = "A" if chi[quarter[0]] > 0 else "B"
            name = "E" if dimension == 2 else letter + ("1" if chi[across[0]] > 0 else "2")
        else:
            even = [axis for axis in range(3) if chi[halves[along[:, axis]]].sum() > 0]
            name = "A" if len(even) == 3 else f"B{3 - even[0]}"
        found.append(name + ("g" if chi[inversion[0]] > 0 else "u"))
    return symbol, found
