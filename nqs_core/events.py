"""What a run says while it runs. Append-only; the store, the websocket and the views carry these unchanged.

Never imports JAX.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
NUMERIC = ("scalars", "arrays", "energies", "result")  # parts of an event that hold numbers


def _wire(x: float) -> float | str:
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


# JSON has neither, and a model-level rule is lost inside dicts and unions: the type carries it.
Real = Annotated[
    float,
    PlainSerializer(_wire, return_type=float | Literal["NaN", "Infinity", "-Infinity"], when_used="json"),
    Field(
        description="A number; in JSON the strings NaN (undefined), Infinity and -Infinity stand for what is not "
        "finite. What is missing is null or left out."
    ),
]


def real(value: Any) -> float | None:
    """The number that JSON carries as a number or as one of three strings; None for anything else."""
    if isinstance(value, str):
        return NOT_FINITE.get(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def reals(value: Any) -> Any:
    """The three strings as floats, wherever they are in lists and dicts; for what holds numbers only."""
    if isinstance(value, str):
        return NOT_FINITE.get(value, value)
    if isinstance(value, list):
        return [reals(item) if isinstance(item, (str, list, dict)) else item for item in value]
    return {name: reals(item) for name, item in value.items()} if isinstance(value, dict) else value


def decoded(event: dict[str, Any]) -> dict[str, Any]:
    """An event that comes from JSON, with floats where it holds numbers; its words stay words."""
    numbers = event if event.get("kind") == "point" else NUMERIC
    return {name: reals(value) if name in numbers else value for name, value in event.items()}


Phase = Literal["compiling", "train", "measure"]
State = Literal["queued", "starting", "running", "stopped", "done", "failed"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricsEvent(_Event):
    """What one step measured. `scalars` is open: a sampler or an optimizer adds its own names."""

    kind: Literal["metrics"] = "metrics"
    step: int
    phase: Phase
    scalars: dict[str, Real]
    arrays: dict[str, Any] = Field(default_factory=dict)


class SnapshotEvent(_Event):
    """Spin configurations of a few chains.

    spins: base64 of `numpy.packbits(sigma > 0)`, row-major (n_chains, n_sites), most significant bit first.
    """

    kind: Literal["snapshot"] = "snapshot"
    step: int
    n_chains: int
    n_sites: int
    spins: str
    energies: list[Real] = Field(default_factory=list)


class PointEvent(_Event):
    """A bond dimension that DMRG has finished. `energy`: total <psi|H|psi>, hence never below the ground state."""

    kind: Literal["point"] = "point"
    step: int
    chi: int
    chi_used: int
    energy: Real
    truncation_error: Real
    variance: Real | None
    max_entropy: Real
    sweeps: int
    converged: bool
    cpu_seconds: Real
    wall_seconds: Real
    starts: int = 1
    spread: Real = 0.0


class StateEvent(_Event):
    """A change of state or phase; `result` comes with the last one of a finished run."""

    kind: Literal["state"] = "state"
    step: int | None = None
    state: State = "running"
    phase: Phase | None = None
    reason: str | None = None
    result: dict[str, Any] | None = None


class ControlEvent(_Event):
    """What a user asked for."""

    kind: Literal["control"] = "control"
    step: int | None = None
    action: str


class RewindEvent(_Event):
    """The run continues from an earlier checkpoint: later steps of lower attempts are superseded."""

    kind: Literal["rewind"] = "rewind"
    step: int
    checkpoint: str | None = None


class WarningEvent(_Event):
    """Something a user should look at, with the likely cause."""

    kind: Literal["warning"] = "warning"
    step: int | None = None
    code: str
    message: str


class LogEvent(_Event):
    kind: Literal["log"] = "log"
    step: int | None = None
    message: str


Event = Annotated[
    MetricsEvent | SnapshotEvent | PointEvent | StateEvent | ControlEvent | RewindEvent | WarningEvent | LogEvent,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
