"""Numbers and runs in words, as one would write them in a paper."""

import itertools
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from frontend.client import Run
from nqs_core import words
from nqs_core.events import real

NONE = "–"
UNDEFINED = "undefined"
QUANTITIES = {
    "renyi2": "Rényi-2 entropy (nat)",
    "bond_energy_mean": "Mean bond energy (J)",
    "correlation": "Correlation C(r)",
    "correlation_map": "Correlation C(i, j)",
    "structure_factor": "Structure factor S(q)",
    "bond_energy": "Bond energies (J)",
    "purity": "Purity Tr ρ²",
    "abs_magnetisation": "|Magnetisation|",
    "magnetisation_squared": "Magnetisation²",
    "magnetisation_fourth": "Magnetisation⁴",
    "staggered_magnetisation_squared": "Staggered magnetisation²",
}


def finite(value: Any) -> float | None:
    """The number, or None for what is missing, NaN or infinite."""
    number = real(value)
    return number if number is not None and math.isfinite(number) else None


def odd(value: Any) -> str:
    """What is no finite number: ∞, −∞, undefined, or – for missing."""
    number = real(value)
    if number is None:
        return NONE
    return UNDEFINED if math.isnan(number) else "∞" if number > 0 else "−∞"


def with_error(value: Any, error: Any, digits: int = 6) -> str:
    """-1.27528(4): the error in units of the last digit, two digits of it when it begins with 1."""
    number, sigma = finite(value), finite(error)
    if number is None:
        return odd(value)
    if sigma is None and real(error) is not None:
        return minus(f"{number:.{digits}f} ± {odd(error)}")
    if sigma == 0:  # exact, such as the magnetisation of a sector
        return plain(number, digits)
    if sigma is None or sigma < 0:
        return minus(f"{number:.{digits}f}")
    exponent = math.floor(math.log10(sigma))
    places = -exponent + (1 if sigma / 10.0**exponent < 1.95 else 0)
    if places <= 0:
        return minus(f"{number:.0f}({sigma:.0f})")
    if places > 14:
        return minus(f"{number:.14f}")
    return minus(f"{number:.{places}f}({round(sigma * 10**places)})")


def quantity(name: str) -> str:
    """An observable as people call it: Rényi-2 entropy, Abs magnetisation."""
    return QUANTITIES.get(name, name.replace("_", " ").replace("/", ": ").capitalize())


def minus(text: str) -> str:
    """A real minus sign, of the width of a digit."""
    return text.replace("-", "−")


def signed(sentence: str) -> str:
    """A sentence with real minus signs in its numbers, and small numbers as everywhere: 3.4e−4 for 3.38e-04."""
    found = re.compile(r"(?<![\w.])\d+(?:\.(\d+))?e[+-]?\d+")
    sentence = found.sub(lambda m: small(float(m[0]), 1 if m[1] else 0), sentence)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", sentence)


def energy_unit(scale: str) -> str:
    """Of energies per site or total."""
    return "J/site" if scale == "site" else "J"


def variance(value: Any, n_sites: Any, scale: str) -> str:
    """A total variance of H in the chosen scale, without its unit."""
    number = real(value)
    return small(None if number is None else number / ((n_sites or 1) if scale == "site" else 1))


def small(value: Any, digits: int = 1) -> str:
    """3.1e−4: for errors and variances."""
    number = finite(value)
    if number is None:
        return odd(value)
    if number == 0:
        return "0"
    mantissa, _, exponent = f"{number:.{digits}e}".partition("e")
    return minus(f"{mantissa}e{int(exponent)}")


def plain(value: Any, digits: int = 4) -> str:
    """A number of ordinary size to `digits` significant digits."""
    number = finite(value)
    if number is None:
        return odd(value)
    shown = f"{number:.{digits}g}"
    return small(number, max(0, digits - 1)) if "e" in shown else minus(shown)


def count(value: Any) -> str:
    """12 400 with narrow spaces."""
    number = finite(value)
    return NONE if number is None else f"{int(number):,}".replace(",", "\u202f")


def duration(seconds: Any) -> str:
    """0.8 s, 42 s, 3 min 20 s, 2 h 5 min."""
    value = finite(seconds)
    if value is None or value < 0:
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def brief(seconds: float) -> str:
    """42 s, 12 min, 1.4 h, 2.1 d: for a narrow column."""
    for unit, size in (("d", 86400), ("h", 3600)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def step_time(seconds: Any) -> str:
    """The time of one step: in milliseconds below a second."""
    value = finite(seconds)
    if value is None:
        return NONE
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def memory(n_bytes: Any) -> str:
    value = finite(n_bytes)
    if value is None:
        return NONE
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def tidy(latex: str) -> str:
    """A formula with numbers in it as one would write it: no terms times 0, no factors 1, no double signs."""
    latex = re.sub(r"\((-[\d.e+-]+)\)", r"\1", latex)
    latex = re.sub(r"([+-]) *-(?=[\d.])", lambda m: "+ " if m[1] == "-" else "- ", latex)
    head, equals, body = latex.partition("=")
    terms = re.split(r"\s*(?=(?<![\^_{\d.eE])[+-]\s*[\d.]+(?:\s|\\))", body)
    kept = [t for t in terms if not re.match(r"\s*[+-]?\s*0(?:\.0*)?(?=\s|\\)", t)]
    kept = [re.sub(r"^(\s*[+-]?\s*)1(?:\.0*)?\s*(?=\\)", r"\1", t) for t in kept if t.strip()]
    words = " ".join(t.strip() for t in kept) or "0"
    words = re.sub(r"^[+] *|^(-) +", r"\1", words)
    return f"{head}{equals} {words}" if equals else latex


def model(config: Mapping[str, Any]) -> str:
    """TFIM h=1 · chain 16 · Sᶻ=0: what tells a system from others."""
    return minus(words.system(config))


def default_name(config: Mapping[str, Any], taken: Collection[str]) -> str:
    """tfim chain 16 · rbm, with the sector where there is one, then with the first free number from 2 on."""
    name = str((config.get("hamiltonian") or {}).get("name", "")).replace("_", " ")
    where = [f"{name} {words.lattice(config)}", *words.sector(config.get("sector") or {})]
    name = " · ".join([*where, component(config, "ansatz")])
    if name not in taken:
        return name
    number = next(n for n in itertools.count(2) if f"{name} · {n}" not in taken)
    return f"{name} · {number}"


def component(config: Mapping[str, Any], family: str) -> str:
    return str((config.get(family) or {}).get("name") or "auto")


def final(run: Run) -> Mapping[str, Any]:
    """The measurement that speaks for a run: the best one of those after the training; empty where there is none."""
    return (run.get("leading") or {}).get("result") or run.get("result") or {}


def per_site(run: Run, scale: str = "site") -> tuple[float | None, float | None]:
    """Energy and its error, per site or total; the best measurement wins over the last step."""
    result = final(run)
    energy = finite(result.get("energy")) if result else None
    error = real(result.get("energy_error")) if energy is not None else real(run.get("energy_error"))
    energy = finite(run.get("energy")) if energy is None else energy
    n = (run.get("n_sites") or 1) if scale == "site" else 1
    return (None if energy is None else energy / n, None if error is None else error / n)


def verdict(run: Run) -> tuple[str, str]:
    """What the server says of the energy against its reference, and how to colour it: success, info, warning, error."""
    said = run.get("verdict") or {}
    kind, sentence = str(said.get("kind") or ""), str(said.get("text") or "")
    colour = {"flag": "error", "beaten": "success", "above": "info"}.get(kind, "info")
    relative = finite(run.get("relative_error"))
    if kind == "error" and relative is not None:
        busy = run.get("state") in ("queued", "starting", "running")
        far = "info" if busy else "warning"
        colour = "success" if abs(relative) < 1e-3 else "info" if abs(relative) < 1e-2 else far
    return signed(sentence), colour


def error_against(run: Run) -> str:
    """The relative error against the reference; where that energy is 0, the absolute one, marked."""
    absolute = finite(run.get("absolute_error"))
    if finite(run.get("relative_error")) is None and absolute is not None:
        return f"{small(absolute)} abs."
    return small(run.get("relative_error"))


def flagged(run: Run) -> bool:
    """Does the server say that the energy is lower than it can be?"""
    return (run.get("verdict") or {}).get("kind") == "flag"
