"""Reference energies in words: systems, sectors, units, numbers with their errors, and how certain they are."""

import math
import re
from collections.abc import Mapping
from typing import Any

from frontend.client import ReferenceRow
from frontend.figures import text

FAMILIES = {
    "tfim": "TFIM",
    "long_range_tfim": "Long-range TFIM",
    "heisenberg": "Heisenberg",
    "xxz": "XXZ",
    "j1j2": "J₁–J₂",
}
SYMBOLS = {"J1": "J₁", "J2": "J₂", "Delta": "Δ", "alpha": "α", "h_z": "hᶻ"}
UNIT = {"tfim": "J", "long_range_tfim": "h", "heisenberg": "J", "xxz": "J", "j1j2": "J1"}
# Written with spin operators S = σ/2; with Pauli matrices and the same coupling the energy is four times as large.
SPIN_FAMILIES = ("heisenberg", "xxz", "j1j2")
BOUNDS = {"exact": "exact", "estimate": "estimate", "upper": "upper bound"}
ORIGINS = {"shipped": "shipped", "computed": "computed here", "user": "added by you"}
METHODS = {"qmc": "QMC", "dmrg": "DMRG", "dmrg extrapolated": "DMRG extrapolated"}
CERTAIN = 5e-11  # an error below half a unit of the tenth decimal is not written out in a table


def symbol(name: str) -> str:
    return SYMBOLS.get(name, name)


def family(name: str) -> str:
    """How people call a Hamiltonian."""
    return FAMILIES.get(name, name.replace("_", " ").capitalize())


def method(name: str) -> str:
    return METHODS.get(name, name)


def shape(lattice: str, extent: Any, boundary: str) -> str:
    """square 6×6 periodic; one letter of `boundary` per axis, P or O."""
    size = "×".join(str(n) for n in extent or ())
    kinds = set(boundary or "")
    edges = "periodic" if kinds == {"P"} else "open" if kinds == {"O"} else "cylinder" if kinds else ""
    return " ".join(filter(None, (lattice.replace("_", " "), size, edges)))


def couplings(hamiltonian: str, values: Mapping[str, Any] | None) -> str:
    """J₂ = 0.5; the leading coupling goes without saying where it is 1, a field along z where it is 0."""
    silent = {UNIT.get(hamiltonian): 1, "h_z": 0}
    said = [f"{symbol(k)} = {v:g}" for k, v in (values or {}).items() if silent.get(k) != v]
    return text.minus(", ".join(said))


def system(row: ReferenceRow) -> str:
    """J₁–J₂, square 6×6 periodic, J₂ = 0.5."""
    name = row.get("hamiltonian", "")
    parts = [family(name), shape(row.get("lattice") or "", row.get("extent"), row.get("boundary") or "")]
    if name not in FAMILIES:
        parts.append(f"{row.get('n_sites', 0)} sites, {str(row.get('key', '')).split('|')[-1][:8]}")
    return ", ".join(filter(None, (*parts, couplings(name, row.get("couplings")))))


def system_of(config: Mapping[str, Any]) -> str:
    """The same words for a configuration: what is left out there takes its default, and goes without saying."""
    spec, lattice = config.get("hamiltonian") or {}, config.get("lattice") or {}
    params = lattice.get("params") or {}
    size = params.get("extent") or [params.get("length", params.get("size", ""))]
    flags = params.get("periodic", True)
    flags = flags if isinstance(flags, list) else [flags]
    name = str(spec.get("name", ""))
    numbers = {k: v for k, v in (spec.get("params") or {}).items() if type(v) in (int, float) and k != "marshall"}
    edges = "".join("P" if flag else "O" for flag in flags)
    inside = ", ".join(f"{k} = {v}" for k, v in (config.get("sector") or {}).items() if v is not None)
    parts = (family(name), shape(str(lattice.get("name", "")), size, edges), couplings(name, numbers), inside)
    return ", ".join(filter(None, parts))


def sector(label: str) -> str:
    """Sᶻ = 0, P = +1; the whole space is called all."""
    if label in ("full", ""):
        return "all"
    words = (part.replace("Sz=", "Sᶻ = ").replace("k=", "k = ").replace("P=", "P = ") for part in label.split(","))
    return text.minus(", ".join(w.replace("irrep=", "") for w in words))


def level(row: ReferenceRow) -> str:
    """Ground state, or the number of the excited level."""
    number = row.get("level") or 0
    return "ground state" if number == 0 else f"level {number}"


def labels(row: ReferenceRow) -> str:
    """Quantum numbers where they are known: parity +1, spin 0, momentum (0, 0)."""
    said = []
    for name, value in (row.get("labels") or {}).items():
        listed = isinstance(value, list)
        shown = f"({', '.join(f'{v:g}' for v in value)})" if listed else f"{value:{'+' if name == 'parity' else ''}g}"
        said.append(f"{name} {shown}")
    return text.minus(", ".join(said))


def factor(row: Mapping[str, Any], scale: str, units: str) -> float:
    """What turns a stored total into the shown number: per site or total, spin or Pauli operators."""
    times = 4.0 if units == "pauli" and row.get("hamiltonian") in SPIN_FAMILIES else 1.0
    return times / (row.get("n_sites") or 1) if scale == "site" else times


def per(scale: str) -> str:
    """What an energy is of."""
    return "per site" if scale == "site" else "total"


def unit(row: Mapping[str, Any], units: str) -> str:
    """The unit of energy and the operators that it multiplies: J (S), J₁ (σ), h (σ)."""
    name = str(row.get("hamiltonian", ""))
    spin = name in SPIN_FAMILIES and units != "pauli"
    leading = UNIT.get(name)
    if leading is None:
        return "units of H"
    value = (row.get("couplings") or {}).get(leading, 1)
    shown = symbol(leading) if value > 0 else f"|{symbol(leading)}|"
    return f"{shown} ({'S' if spin else 'σ'})"


def unit_words(row: Mapping[str, Any], units: str) -> str:
    """What the unit means: which operators the coupling multiplies."""
    name = str(row.get("hamiltonian", ""))
    if name not in SPIN_FAMILIES:
        return "Pauli matrices σ" if name in UNIT or name in ("spin_glass", "custom") else "the Hamiltonian's own units"
    return "Pauli matrices, J σ·σ: four times the value for S" if units == "pauli" else "spin operators S = σ/2, J S·S"


def number(row: ReferenceRow, scale: str, units: str) -> str:
    """The energy with its error in parentheses; without parentheses every digit shown is certain or none is known."""
    times = factor(row, scale, units)
    value, sigma = text.finite(row.get("energy")), text.finite(row.get("uncertainty"))
    if value is None:
        return text.NONE
    if row.get("uncertainty_kind") == "exact number":
        return text.minus(f"{value * times:.12g}")
    return figure(value * times, None if sigma is None else sigma * times)


def figure(value: float | None, sigma: float | None) -> str:
    """A number with its error in parentheses, ten decimals where the error is beyond them."""
    if value is None:
        return text.NONE
    if sigma is None:
        return text.minus(f"{value:.7f}")
    return text.minus(f"{value:.10f}") if abs(sigma) < CERTAIN else text.with_error(value, abs(sigma))


def small(value: float) -> str:
    """2e−13 with one digit: for residuals and error bars in a sentence."""
    return text.small(value, 0)


def certainty(row: ReferenceRow, scale: str = "total", units: str = "spin") -> str:
    """One sentence on how far the number can be trusted."""
    sigma = text.finite(row.get("uncertainty"))
    size = None if sigma is None else abs(sigma * factor(row, scale, units))
    kind, how = str(row.get("uncertainty_kind") or "not given"), method(row.get("method") or "")
    if row.get("bound") == "exact":
        return _exact(row, size, kind)
    if row.get("bound") == "upper":
        return _upper(size, kind)
    shown = text.minus(f"{(row.get('energy') or 0.0) * factor(row, scale, units):.7g}")
    if size is None:
        return f"{shown} ({how}, no error bar given; the truth may lie on either side)"
    value = _plus_minus(row, scale, units)
    if kind == "standard error":
        return f"{value} ({how}, one standard error)"
    if "half width" in kind:
        return f"{value} ({how}; not a rigorous bound)"
    return f"{value} ({how}, {kind}; not a rigorous bound)"


def _exact(row: ReferenceRow, size: float | None, kind: str) -> str:
    if kind == "exact number":
        return "exact (closed form)"
    if size is None:
        return "exact, rounding not given"
    if row.get("method") == "exact minimum":
        return f"exact to {small(size)} (minimum over all configurations)"
    if row.get("method") == "analytic":
        return f"exact to {small(size)} (closed form)"
    if kind == "residual":
        inside = row.get("sector") or "full"
        where = "" if inside == "full" else f", {sector(inside)}"
        return f"exact, residual {small(size)} (Lanczos{where})"
    why = kind.replace(" (", ", ").rstrip(")") if kind.startswith("rounding") else method(row.get("method") or "")
    return f"exact to {small(size)} ({why})"


def _upper(size: float | None, kind: str) -> str:
    if size is None:
        why = kind.removeprefix("unknown: ")
        return "upper bound, distance to the truth unknown" + (f": {why}" if why != kind else "")
    if kind.startswith("above the exact energy"):
        return f"upper bound, {small(size)} {kind}"
    if kind == "standard error":
        return f"variational energy, ± {small(size)} (one standard error); an upper bound apart from that"
    if kind.startswith("one-sided"):
        why = kind.removeprefix("one-sided").strip(" ,:()")
        return f"upper bound; the truth lies below by up to about {small(size)} ({why})"
    return f"upper bound, known to {small(size)} ({kind}); distance to the truth unknown"


def _plus_minus(row: ReferenceRow, scale: str, units: str) -> str:
    times = factor(row, scale, units)
    value, sigma = (row.get("energy") or 0.0) * times, abs((row.get("uncertainty") or 0.0) * times)
    places = min(14, max(0, 1 - math.floor(math.log10(sigma)))) if sigma > 0 else 10
    return text.minus(f"{value:.{places}f} ± {sigma:.{places}f}")


def short_source(source: str | None) -> str:
    """Pfeuty 1970, varbench, this project (ed.py): enough to recognise it in a table."""
    words = (source or "").strip()
    if not words or words == "-":
        return text.NONE
    if words.startswith("computed, "):
        return f"this project ({words.removeprefix('computed, ')})"
    if words.startswith("computed on"):
        return "this server"
    if words.startswith("varbench"):
        return "varbench"
    year = re.search(r"\((\d{4})\)", words)
    author = re.match(r"(?:[A-Z]\.[\s-]?)+([^\s,]+)", words)
    if year and author:
        return f"{author[1]} {year[1]}"
    first = words.split(", ")[0]
    return first if len(first) <= 32 else f"{first[:31]}…"


def short_licence(licence: str | None) -> str:
    words = (licence or "").strip()
    return text.NONE if words in ("", "-") else words.split(" (")[0]


def config(row: ReferenceRow) -> dict[str, Any] | None:
    """The system of a row as a configuration; None where the key says only that it is some system."""
    name = row.get("hamiltonian", "")
    if name not in FAMILIES:
        return None
    found: dict[str, Any] = {
        "lattice": {"name": row.get("lattice"), "params": _lattice(row)},
        "hamiltonian": {"name": name, "params": dict(row.get("couplings") or {})},
    }
    if inside := _sector(row.get("sector") or "full"):
        found["sector"] = inside
    return found


def _lattice(row: ReferenceRow) -> dict[str, Any]:
    extent, periodic = list(row.get("extent") or ()), [letter == "P" for letter in row.get("boundary") or ""]
    if row.get("lattice") == "all_to_all":
        return {"size": row.get("n_sites")}
    if row.get("lattice") == "chain":
        return {"length": extent[0], "periodic": periodic[0]}
    return {"extent": extent, "periodic": periodic}


def _sector(label: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in label.split(","):
        name, _, value = part.partition("=")
        if name == "Sz":
            out["sz"] = float(value)
        elif name == "P":
            out["spin_flip"] = int(value)
        elif name == "irrep":
            out["point_group"] = value
        elif name == "k":
            numbers = re.fullmatch(r"-?\d+(x-?\d+)*", value)
            out["momentum"] = [int(n) for n in value.split("x")] if numbers else value
    return out
