"""`spinscope run` and `spinscope reference`: the core in this process, without a server or a database."""

import dataclasses
import logging
import math
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend import console_dmrg, provenance
from backend.console_progress import Progress
from backend.strict import dumps
from nqs_core import checkpoint, driver, health, problem, warm_start
from nqs_core.config import RunConfig
from nqs_core.errors import ConfigError, NQSError, TooLargeError
from nqs_core.events import MetricsEvent, StateEvent, WarningEvent
from nqs_core.reference import (
    FAILURES,
    Reference,
    absolute_error,
    compute,
    dmrg,
    estimate,
    is_classical,
    literature,
    matching,
    plan_dmrg,
    relative_error,
    sentence,
    sum_of_levels,
    with_error,
)

if TYPE_CHECKING:
    from backend.starts import Start

LOG = logging.getLogger("spinscope.console")
RESULT = (
    "energy", "energy_error", "energy_per_site", "variance", "v_score", "n_samples_final", "acceptance", "r_hat",
    "r_hat_nested", "tau", "ess", "infidelity", "n_steps", "seconds", "compile_seconds",
    "train_seconds", "measure_seconds",
)  # fmt: skip
WORDS = {"compiling": "compiling", "train": "training", "measure": "measuring", "done": "done"}
LANCZOS_SECONDS = 60.0  # a reference that would take longer is left to `spinscope reference`


def run(config: RunConfig, out: Path | None, checkpoint_file: Path | None = None, start: "Start | None" = None) -> None:
    """Train and measure with the progress on standard error; a summary on standard output, the result in `out`.

    Args:
        config: the run; what it names as `init_from` is in `start`.
        out: for the result.
        checkpoint_file: for the final state.
        start: parameters to begin with.

    Raises:
        NQSError: the configuration does not fit together, is too large, or the run diverges.
    """
    config = config.model_copy(update={"init_from": start.origin if start else None})
    built = problem.build(config)
    for words in problem.warnings(built):
        sys.stderr.write(f"warning: {words}\n")
    if start:
        sys.stderr.write(f"parameters from {start.words}\n")
    known = find_reference(config)
    result, state, judged = _train(built, config, known, start)
    content = {name: result.get(name) for name in RESULT}
    error = relative_error(content["energy"], known)
    content |= {
        "observables": result.get("observables"),
        "config": (built.config or config).model_dump(mode="json"),
        "reference": None if known is None else dataclasses.asdict(known),
        "relative_error": error,
        "absolute_error": absolute_error(content["energy"], known),
        "health": judged.as_dict() if judged else None,
        "init_from": _origin(start),
        **provenance.as_fields(provenance.provenance(*provenance.PACKAGES)),
    }
    if out:
        _write(out, content)
    if checkpoint_file:
        _save(checkpoint_file, state, content)
    sys.stdout.write(summary(content) + "\n")


def _origin(start: "Start | None") -> dict[str, Any] | None:
    """Where the parameters are from, for the record."""
    if start is None:
        return None
    where = {"file": str(start.file)} if start.origin is None else start.origin.model_dump(mode="json")
    return {**where, **warm_start.record(start.source)}


def _save(path: Path, state: driver.VMCState, content: dict[str, Any]) -> None:
    try:
        checkpoint.write_state(path, state, int(state.step), {"config": content["config"]})
    except OSError as error:
        raise NQSError(f"cannot write {path}: {error.strerror or error}") from None


def _train(
    built: problem.Problem, config: RunConfig, known: Reference | None, start: "Start | None"
) -> tuple[dict[str, Any], driver.VMCState, health.Health | None]:
    result: dict[str, Any] = {}
    first: MetricsEvent | None = None
    recent: deque[MetricsEvent] = deque(maxlen=health.RECENT)
    params = warm_start.parameters(built, start.source, config.seed) if start else None
    state = driver.init(built, config.seed, params)
    with Progress(config.n_steps) as progress:
        for event, after in driver.run(built, state):
            state = after
            if isinstance(event, MetricsEvent):
                first = first or event
                recent.append(event)
            if isinstance(event, MetricsEvent) and event.phase == "train":
                energy = event.scalars.get("energy", math.nan)
                error = relative_error(energy, known)
                shown = "" if error is None else f", relative error {error:.1e}"
                if error is None and (difference := absolute_error(energy, known)) is not None:
                    shown = f", absolute error {difference:.1e}"
                progress.step(event.step, f"E/N = {energy / built.n_sites:.6f}{shown}")
            elif isinstance(event, StateEvent):
                progress.phase(WORDS.get(event.phase or event.state, "working"))
                result = event.result or result
            elif isinstance(event, WarningEvent) and event.code != health.DIVERGED:  # which the error says
                progress.say(f"warning: {event.message}")
    return result, state, _judge(built, result, first, recent, known, start)


def _judge(
    built: problem.Problem,
    result: dict[str, Any],
    first: MetricsEvent | None,
    recent: Sequence[MetricsEvent],
    known: Reference | None,
    start: "Start | None",
) -> health.Health | None:
    record = health.Record(
        result=result,
        first=first.scalars if first and first.phase == "train" else None,
        recent=[event.scalars for event in recent if event.phase == recent[-1].phase],
        reference=None if known is None else dataclasses.asdict(known),
        spectrum=built.spectrum,
        restricted=built.sector.sz is not None,
        warm=start is not None and isinstance(start.source, warm_start.Trained),
    )
    return health.judge(record.facts())


def find_reference(config: RunConfig) -> Reference | None:
    """A closed form, else an exact entry of the shipped table, else a diagonalisation of less than a minute.

    Where none of these is at hand: the best other entry of the table. Of several states the sum of their levels.
    """
    listed = _listed(config) if config.n_states == 1 else None
    try:
        if config.n_states > 1:
            cost = estimate(config, config.n_states)
            if cost is not None and cost.seconds > LANCZOS_SECONDS:
                return None
            known = sum_of_levels(config, config.n_states)
            return None if known is None else known[0]
        cost = estimate(config)
        if cost is not None and (cost.seconds > LANCZOS_SECONDS or (listed is not None and listed.bound == "exact")):
            return listed
        return compute(config)[0]
    except FAILURES as error:
        LOG.info("no reference was computed: %s: %.200s", type(error).__name__, error)
        return listed


def _listed(config: RunConfig) -> Reference | None:
    """The best entry of the shipped table for the ground state of this system."""
    fields, factor = matching.canonical(config)
    rows = literature.best(literature.load_table(), fields, matching.sector_label(config))
    return literature.as_reference(rows[0], factor) if rows else None


def reference(
    config: RunConfig, levels: int, out: Path | None, method: str = "auto", chi: tuple[int, ...] | None = None
) -> None:
    """The lowest `levels` total energies of the system and sector of `config`.

    Args:
        method: "exact" (closed form, minimum of a diagonal Hamiltonian, or Lanczos), "dmrg" (that minimum, too, where
            the Hamiltonian is diagonal), or "auto": exact, else DMRG where that is too large.

    Raises:
        NQSError: the configuration is wrong, or too large for the method.
    """
    plan = None
    if method == "dmrg" and (levels != 1 or not is_classical(config)):
        plan = _plan(config, levels, chi)
    found: list[Reference] = []
    if plan is None:
        try:
            found = compute(config, levels, "exact" if method == "dmrg" else "auto")
        except TooLargeError as error:
            plan = _fallback(config, levels, chi, error) if method == "auto" else None
            if plan is None:
                raise
    more: dict[str, Any] = {}
    shown: list[str] = []
    interrupted = False
    if plan is not None:
        first, more, interrupted = console_dmrg.run(config, plan)
        found, shown = [first], console_dmrg.lines(first, more)
    first = found[0]
    widest = max(found, key=lambda level: level.uncertainty or 0.0)
    content = {
        "energies": [level.energy for level in found],
        **{name: getattr(first, name) for name in ("method", "detail", "source", "bound", "sector", "key")},
        **{name: getattr(widest, name) for name in ("uncertainty", "uncertainty_kind")},
        "sentence": sentence(widest),
    }
    if out:
        _write(out, content | more)
    shown = shown or [f"level {level.level}: {level.energy:.12g}" for level in found]
    about = f"{first.key}, sector {first.sector}: {first.method} ({first.detail}; {first.source})"
    sys.stdout.write("\n".join([about, *shown, content["sentence"]]) + "\n")
    if interrupted:
        raise KeyboardInterrupt


def _plan(config: RunConfig, levels: int, chi: tuple[int, ...] | None) -> dmrg.Plan:
    if levels != 1:
        raise ConfigError(f"levels = {levels}: DMRG gives the ground state of a sector only")
    return plan_dmrg(config, chi)


def _fallback(config: RunConfig, levels: int, chi: tuple[int, ...] | None, error: TooLargeError) -> dmrg.Plan | None:
    """DMRG in place of a diagonalisation that is too large; None where DMRG cannot do it either."""
    try:
        plan = _plan(config, levels, chi)
    except NQSError:
        return None
    sys.stderr.write(f"{error}; DMRG instead\n")
    return plan


def summary(content: dict[str, Any]) -> str:
    """A few lines about a finished run."""
    shown = {name: _number(content[name]) for name in RESULT}
    lines = [
        f"energy           {with_error(content['energy'], content['energy_error'])}",
        f"per site         {shown['energy_per_site']}",
        f"variance         {shown['variance']}   V-score {shown['v_score']}",
        f"samples          {shown['n_samples_final']}   acceptance {shown['acceptance']}   "
        f"R-hat {shown['r_hat']}   nested {shown['r_hat_nested']}   ESS/samples {shown['ess']}",
    ]
    if (levels := (content.get("observables") or {}).get("levels")) is not None:
        each = zip(levels["mean"], levels["error"] or [None] * len(levels["mean"]), strict=True)
        lines.append(f"levels           {', '.join(with_error(*level) for level in each)}")
    if content["infidelity"] is not None:
        lines.append(f"infidelity       {shown['infidelity']}")
    known, error = content["reference"], content["relative_error"]
    if known is not None:
        about = f"({known['method']}, {known['bound']})"
        lines.append(f"reference        {known['energy']:.10g} {about}")
    if error is not None:
        lines.append(f"relative error   {error:.2e}")
    elif content["absolute_error"] is not None:
        lines.append(f"absolute error   {content['absolute_error']:.2e} (E0 = 0: a relative one is undefined)")
    judged = content["health"]
    if judged and judged["level"] != "good":
        reasons = (f"{'':<17}{reason['text']}" for reason in judged["reasons"])
        lines += [f"judgement        {judged['level']}:", *reasons]
    compiling, training, measuring = (content[f"{name}_seconds"] for name in ("compile", "train", "measure"))
    besides = f"{compiling:.1f} s of compiling, {measuring:.1f} s of measuring"
    steps = f"{content['n_steps']} steps in {training:.1f} s; {besides}"
    return "\n".join([*lines, steps])


def _number(value: float | None) -> str:
    """Six digits, ∞ for infinite, "undefined" for NaN, "-" for missing."""
    if value is None:
        return "-"
    return "undefined" if math.isnan(value) else f"{value:.6g}".replace("inf", "∞")


def _write(out: Path, content: dict[str, Any]) -> None:
    from backend.cli import write

    write(out, dumps(content, pretty=True))
