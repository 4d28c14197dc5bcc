"""The network card in words: one line of essentials, and every number with its unit."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from frontend.figures import text

Answer = Mapping[str, Any]

PARTS = {"energies": "local energies", "caches": "local updates", "hamiltonian": "Hamiltonian"}
FLOPS = ((1e15, "PFlop"), (1e12, "TFlop"), (1e9, "GFlop"), (1e6, "MFlop"), (1e3, "kFlop"))


def essentials(answer: Answer) -> str:
    """16 sites · 560 parameters · ~18 MB · ~12 s."""
    size = f"{text.count(answer.get('n_sites') or 1)} sites · {text.count(answer.get('n_params'))} parameters"
    if answer.get("memory_bytes"):
        size += f" · ~{text.memory(answer['memory_bytes'])}"
    seconds = text.finite(_time(answer).get("seconds"))
    return size if seconds is None else f"{size} · ~{approximate(seconds)}"


def reference(answer: Answer) -> str:
    """Reference E₀/N = −1.275287 (analytic), as HTML."""
    known = answer.get("reference")
    if not known:
        return "No reference energy is known for this system."
    energy = text.minus(f"{known['energy'] / (answer.get('n_sites') or 1):.6f}")
    return f"Reference E₀/N = <b>{energy}</b> ({html.escape(str(known.get('method', '')))})"


def details(answer: Answer) -> str:
    """Everything else that is known, as HTML."""
    rows = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in _rows(answer.get("card") or {}))
    return f"<dl>{rows}</dl>"


def _rows(card: Answer) -> Iterator[tuple[str, str]]:
    if not card:
        return
    groups = card["groups"]
    yield "Parameters", text.count(card["n_params"]) + (f": {', '.join(map(_group, groups))}" if groups else "")
    yield "Receptive field", _field(card["receptive_field"], card["extent"])
    yield "Amplitudes", "positive, ψ &gt; 0" if card["amplitudes"] == "positive" else _words(card["amplitudes"])
    yield "Symmetry", "<br>".join(map(_words, card["symmetry"])) or "none"
    if card["n_elements"] > 1:
        passes = f"{text.count(card['n_forwards'])} forward pass{'es' if card['n_forwards'] > 1 else ''}"
        yield "Projection", f"{text.count(card['n_elements'])} group elements, {passes} an amplitude"
    yield "Time", _duration(card.get("time") or {})
    yield "Memory", f"{text.memory(sum(card['memory'].values()))}: {_parts(card['memory'], text.memory)}"
    total = sum(card["flops"].values())
    yield "Work", f"{flops(total)} a step: {_parts(card['flops'], lambda x: f'{100 * x / total:.0f} %')}"
    yield "Local updates", _words(card["local_updates"])
    yield "Update", _words(card["update"])
    for family in ("sampler", "optimizer"):
        yield f"{family.capitalize()}s", _fits(family, card["fits"][family])


def _words(words: Any) -> str:
    return html.escape(text.signed(str(words)).replace(" x ", " × ").replace(" -> ", " → "))


def _group(group: Answer) -> str:
    times = f" ({group['n_layers']})" if group["n_layers"] > 1 else ""
    return f"{html.escape(group['name'])}{times} {text.count(group['n_params'])}"


def _field(field: list[int], extent: list[int]) -> str:
    if list(field) == list(extent):
        return "the whole lattice"
    return f"{' × '.join(map(str, field))} of {' × '.join(map(str, extent))} cells"


def _parts(parts: Mapping[str, float], show: Any) -> str:
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{PARTS.get(name, name)} {show(value)}" for name, value in ordered)


def flops(value: float) -> str:
    """521 MFlop."""
    for size, unit in FLOPS:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} Flop"


def approximate(seconds: float) -> str:
    """Two digits: 37 ms, 1.2 s, 11 s, 28 min, 2.1 h."""
    value = float(f"{seconds:.2g}")
    if value < 1:
        return f"{1000 * value:g} ms"
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:g} s" if value < 120 else text.brief(seconds)


def _duration(time: Answer) -> str:
    step, total = text.finite(time.get("step_seconds")), text.finite(time.get("seconds"))
    basis = _words(time.get("basis", ""))
    if step is None or total is None:
        return f"unknown: {basis}"
    return f"about {approximate(step)} a step, {approximate(total)} in all without compiling<br><i>{basis}</i>"


def _time(answer: Answer) -> Answer:
    return (answer.get("card") or {}).get("time") or {}


def _fits(family: str, reasons: Mapping[str, str]) -> str:
    fitting = ", ".join(html.escape(name) for name, why in reasons.items() if not why)
    lines = [_words(because(family, name, why)) for name, why in reasons.items() if why]
    return "<br>".join([f"{fitting} fit{'' if ',' in fitting else 's'}", *lines])


def because(family: str, name: str, why: str) -> str:
    """exact: 36 sites have 9e9 configurations, from a sentence that names the component again."""
    rest = why.removeprefix(f"{family} {name!r}").lstrip(": ")
    return f"{name}: {rest}"
