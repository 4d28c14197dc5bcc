"""What a user can ask for: JSON in files, the API and the database. Never imports JAX."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nqs_core.errors import ConfigError


def _printable(text: str) -> str:
    # NUL and lone surrogates pass JSON and SQLite but break PostgreSQL and terminals.
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]


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
    momentum: list[int] | str | None = Field(None, description="Momentum as integers m_a or a label such as 'M'.")
    point_group: Text | None = Field(None, description="Irrep of the point group, such as A1.")
    spin_flip: Literal[1, -1] | None = Field(None, description="Eigenvalue of the flip of all spins.")


class Checkpoint(_Strict):
    """Where a warm start takes its parameters from."""

    run: Text
    step: int | None = Field(None, ge=0)


class RunConfig(_Strict):
    """Everything that determines a run, seed included."""

    name: Text = ""
    lattice: Spec
    hamiltonian: Spec
    ansatz: Spec = Spec(name="rbm")
    sampler: Spec | None = Field(None, description="Default: autoregressive where the ansatz is, else metropolis.")
    optimizer: Spec | None = Field(None, description="Default: adam where the ansatz is autoregressive, else minsr.")
    n_steps: int = Field(300, ge=1, le=10_000_000, title="Steps", description="Optimisation steps.")
    seed: int = Field(0, ge=0, lt=2**32, title="Seed", description="Seed of every random number of the run.")
    sector: SectorConfig | None = None
    n_states: int = Field(1, ge=1, le=64, title="States", description="Number of states that are optimised together.")
    precision: Literal["float32", "float64"] = Field(
        "float32", title="Precision", description="Precision of the network."
    )
    observables: list[Text] | None = Field(None, description="Names of observables; default: all that apply.")
    measure: int = Field(
        16384, ge=2, le=10_000_000, title="Final samples", description="Fresh samples of the final measurement."
    )
    init_from: Checkpoint | None = None


def explain(error: ValidationError, prefix: str = "") -> str:
    """One sentence for the first problem: where it is, what is wrong, what was given."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "configuration"
    given = "" if first["type"] in ("missing", "extra_forbidden") else f" (given: {str(first['input'])[:60]!r})"
    more = f"; {error.error_count() - 1} more problem(s)" if error.error_count() > 1 else ""
    return f"{prefix}{where}: {first['msg']}{given}{more}"


def parse(data: Any) -> RunConfig:
    """A validated configuration from decoded JSON.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None
