"""Bodies of requests as checked configurations, with all problems at once."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from backend.strict import Invalid
from nqs_core import catalog
from nqs_core.config import Spec
from nqs_core.errors import NQSError

SPECS = ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer")
Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], body: Any) -> Model:
    """A `model` whose every field is checked, the parameters of its components too.

    Raises:
        Invalid: with a path for each problem, `hamiltonian.params.J` for instance.
    """
    try:
        config = model.model_validate(body)
    except ValidationError as error:
        raise Invalid.of(error.errors()) from None
    problems: list[tuple[str, str]] = []
    for family in SPECS:
        if (spec := getattr(config, family, None)) is not None:
            problems += _problems(family, spec, family)
    if problems:
        raise Invalid(problems)
    return config


def checked_spec(family: str, body: Any) -> Spec:
    """One component of a family.

    Raises:
        Invalid: with a path for each problem.
    """
    try:
        spec = Spec.model_validate(body)
    except ValidationError as error:
        raise Invalid.of(error.errors()) from None
    if problems := _problems(family, spec, ""):
        raise Invalid(problems)
    return spec


def _problems(family: str, spec: Spec, where: str) -> list[tuple[str, str]]:
    prefix = f"{where}." if where else ""
    registry = catalog.REGISTRIES[family]
    try:
        registry.model(spec.name).model_validate(spec.params)
    except NQSError as error:
        return [(f"{prefix}name", str(error))]
    except ValidationError as error:
        return Invalid.of(error.errors(), f"{prefix}params").problems
    return []
