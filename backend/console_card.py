"""`spinscope card`: what a configuration is and takes, without running it."""

import dataclasses
import math
import shutil
import sys
import textwrap
from typing import Any

from backend.engine.local import find_slots
from backend.pace import Pace, rough
from backend.serve import open_database
from backend.settings import Settings
from backend.strict import dumps
from nqs_core import problem
from nqs_core.card import card
from nqs_core.config import RunConfig

WIDTH = 17  # of the names


def run(config: RunConfig, settings: Settings, as_json: bool) -> None:
    """Print the card; the time comes from the runs in the data folder where there are some on this device.

    Raises:
        NQSError: why the configuration cannot run.
    """
    limit = settings.memory_bytes or None
    built = problem.build(config, limit)
    full = built.config or config
    told = dataclasses.asdict(card(built, limit))
    told["time"] = _time(full, built, settings)
    told["warnings"] = problem.warnings(built)
    sys.stdout.write(dumps(told, pretty=True).decode() if as_json else "\n".join(lines(full, told)) + "\n")


def _time(config: RunConfig, built: problem.Problem, settings: Settings) -> dict[str, Any]:
    device = find_slots(settings.slots)[1]
    expected = (config, problem.work(built), built.sampler.n_samples, device)
    if settings.db_url.startswith("sqlite") and not (settings.data_dir / "spinscope.db").exists():
        return rough(*expected)
    engine = open_database(settings.db_url)
    try:
        return Pace(engine).expect(*expected)
    finally:
        engine.dispose()


def lines(config: RunConfig, told: dict[str, Any]) -> list[str]:
    """The card for a terminal."""
    rows = [
        ("network", f"{config.ansatz.name} on {told['n_sites']} sites"),
        ("parameters", f"{told['n_params']}: {', '.join(map(_group, told['groups']))}"),
        ("receptive field", _field(told["receptive_field"], told["extent"])),
        ("amplitudes", told["amplitudes"]),
        *_listed("symmetry", told["symmetry"] or ["none"]),
    ]
    if told["n_elements"] > 1:
        passes = f"{told['n_forwards']} forward pass{'es' if told['n_forwards'] > 1 else ''}"
        rows.append(("", f"{told['n_elements']} group elements, {passes} an amplitude"))
    rows += [
        ("local updates", told["local_updates"]),
        ("update", told["update"]),
        ("memory", f"{_bytes(sum(told['memory'].values()))}: {_parts(told['memory'], _bytes)}"),
        ("work", _work(told["flops"])),
        ("time", _duration(told["time"])),
        *(row for family in ("sampler", "optimizer") for row in _fits(family, told["fits"][family])),
        *_listed("warning", told["warnings"]),
    ]
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    return [line for name, value in rows for line in _wrapped(name, value, width)]


def _wrapped(name: str, value: str, width: int) -> list[str]:
    return textwrap.wrap(value, width, initial_indent=f"{name:<{WIDTH}}", subsequent_indent=" " * WIDTH)


def _listed(name: str, words: Any) -> list[tuple[str, str]]:
    return [("" if k else name, line) for k, line in enumerate(words)]


def _group(group: dict[str, Any]) -> str:
    times = f" ({group['n_layers']})" if group["n_layers"] > 1 else ""
    return f"{group['name']}{times} {group['n_params']}"


def _field(field: Any, extent: Any) -> str:
    if tuple(field) == tuple(extent):
        return "whole lattice"
    return f"{' x '.join(map(str, field))} of {' x '.join(map(str, extent))} cells"


def _parts(parts: dict[str, float], show: Any) -> str:
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {show(value)}" for name, value in ordered)


def _work(flops: dict[str, float]) -> str:
    total = sum(flops.values())
    return f"{_prefixed(total)}Flop a step: " + _parts(flops, lambda x: f"{100 * x / total:.0f} %")


def _duration(time: dict[str, Any]) -> str:
    if time["seconds"] is None:
        return f"unknown: {time['basis']}"
    step, total = time["step_seconds"], time["seconds"]
    return f"about {_seconds(step)} a step, {_seconds(total)} in all without compiling ({time['basis']})"


def _seconds(value: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.2g} {unit}"
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.2g} ms"


def _bytes(value: float) -> str:
    return f"{_prefixed(value)}B"


def _prefixed(value: float) -> str:
    power = min(5, max(0, math.floor(math.log10(max(value, 1)) / 3)))
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P'][power]}"


def _fits(family: str, reasons: dict[str, str]) -> list[tuple[str, str]]:
    fitting = [name for name, reason in reasons.items() if not reason]
    return _listed(f"{family}s", [f"{', '.join(fitting)} can be used", *filter(None, reasons.values())])
