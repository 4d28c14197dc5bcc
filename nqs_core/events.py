"""What a run says while it runs. Append-only; the store, the websocket and the views carry these unchanged.

Never imports JAX.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter

# JSON has no NaN, and a model-level rule is lost inside dicts and unions: the type carries it.
Real = Annotated[
    float, PlainSerializer(lambda x: x if math.isfinite(x) else None, return_type=float | None, when_used="json")
]

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
