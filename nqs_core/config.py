"""What a user can ask for: JSON in files, the API and the database. Never imports JAX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from nqs_core.errors import ConfigError


def _printable(text: str) -> str:
    # NUL and lone surrogates pass JSON and SQLite but break PostgreSQL and terminals.
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Stated = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_printable)]
Quantum = Annotated[int, Field(ge=-(2**31), le=2**31)]  # beyond 64 bits no database and no JSON encoder takes them


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Spec(_Strict):
    """One registered component by name, with its parameters; what is left out takes the component's default."""

    name: Text
    params: dict[str, Any] = Field(default_factory=dict)


class SectorConfig(_Strict):
    """The subspace of a run; labels always mean the Hamiltonian without the Marshall rotation.

    sz is the total S^z in units of ħ, momentum k_a = 2π m_a / L_a as the integers m_a.
    """

    sz: float | None = Field(None, description="Total magnetisation S^z; exchange moves or masked sampling keep it.")
    momentum: list[Quantum] | Text | None = Field(None, description="Momentum as integers m_a or a label such as 'M'.")
    point_group: Text | None = Field(None, description="Irrep of the point group, such as A1.")
    spin_flip: Literal[1, -1] | None = Field(None, description="Eigenvalue of the flip of all spins.")


class Checkpoint(_Strict):
    """Where a warm start takes its parameters from."""

    run: Text = Field(title="Run", description="Identifier of the run that was trained.")
    step: int | None = Field(
        None, ge=0, le=10_000_000, title="Step", description="Of a checkpoint; default: the latest."
    )


class WeightsFile(_Strict):
    """Published weights that a run starts from."""

    file: Text = Field(min_length=1, title="File", description="Below the folder of weights in the data folder.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", title="SHA-256", description="Of the file; default: whichever is there."
    )


def _kind_of_origin(value: Any) -> str:
    is_file = "file" in value if isinstance(value, Mapping) else isinstance(value, WeightsFile)
    return ORIGINS[1] if is_file else ORIGINS[0]


ORIGINS = ("(run)", "(file)")  # pydantic puts them into the paths of errors
Origin = Annotated[
    Annotated[Checkpoint, Tag(ORIGINS[0])] | Annotated[WeightsFile, Tag(ORIGINS[1])], Discriminator(_kind_of_origin)
]


class System(_Strict):
    """What has a spectrum, and hence reference energies."""

    lattice: Spec
    hamiltonian: Spec
    sector: SectorConfig | None = None


class RunConfig(System):
    """Everything that determines a run, seed included."""

    name: Text = ""
    ansatz: Spec = Spec(name="rbm")
    sampler: Spec | None = Field(None, description="Default: autoregressive where the ansatz is, else metropolis.")
    optimizer: Spec | None = Field(None, description="Default: adam where the ansatz is autoregressive, else minsr.")
    n_steps: int = Field(300, ge=1, le=10_000_000, title="Steps", description="Optimisation steps.")
    seed: int = Field(0, ge=0, lt=2**32, title="Seed", description="Seed of every random number of the run.")
    n_states: int = Field(1, ge=1, le=4, title="States", description="Number of states that are optimised together.")
    precision: Literal["float32", "float64", "bfloat16"] = Field(
        "float32",
        title="Precision",
        description="Precision of the network; bfloat16, where the network offers it: of its weights, sums in float32.",
    )
    observables: list[Text] | None = Field(None, description="Names of observables; default: all that apply.")
    observe_every: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        title="Observe every",
        description="Steps between two looks at the observables; default: about 50 looks a run.",
    )
    measure: int = Field(
        16384, ge=2, le=10_000_000, title="Final samples", description="Fresh samples of the final measurement."
    )
    init_from: Origin | None = Field(
        None,
        title="Start from",
        description="A run, or a file of published weights, whose parameters this one starts from; default: random.",
    )


class ReferenceJob(System):
    """A computation of the lowest `levels` energies of a system."""

    name: Text = ""
    method: Literal["auto", "exact", "dmrg"] = Field(
        "auto", title="Method", description="auto: closed form or Lanczos where it fits, else DMRG."
    )
    levels: int = Field(1, ge=1, le=16, title="Levels", description="Lowest levels, with multiplicity; DMRG: one.")
    chi: list[int] | None = Field(
        None, min_length=1, max_length=16, title="Bond dimensions", description="Of DMRG, rising; default: by size."
    )


class OwnReference(System):
    """An energy that a user knows; total, in the units of `hamiltonian`."""

    level: int = Field(0, ge=0, le=1000, title="Level", description="Counted from 0 with multiplicity.")
    energy: float = Field(title="Energy", description="Total energy of all sites, in the units of the Hamiltonian.")
    uncertainty: float | None = Field(None, ge=0, title="Uncertainty", description="One standard error, where known.")
    bound: Literal["exact", "estimate", "upper"] = Field(
        title="Kind", description="exact; estimate: may lie on either side; upper: a variational energy."
    )
    method: Stated = Field(min_length=1, title="Method", description="Such as QMC or DMRG.")
    source: Stated = Field(min_length=3, title="Source", description="Who found it: authors, journal, year, or a link.")
    url: Text = Field("", pattern=r"^(https?://.*)?$", title="Link", description="Where it can be read.")
    licence: Text = Field("", title="Licence", description="Under which it may be passed on.")
    note: Text = Field("", title="Note", description="Whatever else should be known.")


class MeasureJob(_Strict):
    """More final samples, or other observables, of a finished run."""

    observables: list[Text] | None = Field(None, description="Names of observables; default: all that apply.")
    samples: int = Field(16384, ge=2, le=10_000_000, title="Samples", description="Fresh samples.")


def nested(errors: Sequence[Any], *above: str) -> PydanticCustomError:
    """The `errors()` of a value inside another, at the path `above` in it, as one error that `expanded` opens again."""
    inner = [{**item, "loc": (*above, *item["loc"])} for item in expanded(errors)]
    return PydanticCustomError("nested", "a value in it does not fit", {"errors": inner})


def expanded(errors: Iterable[Any]) -> list[dict[str, Any]]:
    """The `errors()` of a pydantic exception, those of nested values each with its whole path."""
    out: list[dict[str, Any]] = []
    for item in errors:
        inner = item["ctx"]["errors"] if item["type"] == "nested" else [{**item, "loc": ()}]
        where = [part for part in item["loc"] if part not in ORIGINS]
        out += [{**each, "loc": (*where, *each["loc"])} for each in inner]
    return out


def explain(error: ValidationError, prefix: str = "") -> str:
    """One sentence for the first problem: where it is, what is wrong, what was given."""
    errors = expanded(error.errors(include_url=False))
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"]) or "configuration"
    given = "" if first["type"] in ("missing", "extra_forbidden") else f" (given: {str(first['input'])[:60]!r})"
    more = f"; {len(errors) - 1} more problem(s)" if len(errors) > 1 else ""
    return f"{prefix}{where}: {first['msg']}{given}{more}"


Model = TypeVar("Model", bound=BaseModel)


def parse(data: Any) -> RunConfig:
    """A validated configuration from decoded JSON.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    return parse_as(RunConfig, data)


def parse_as(model: type[Model], data: Any) -> Model:
    """A validated `model` from decoded JSON.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None
