"""Hamiltonians in LaTeX."""

from typing import Any

from nqs_core.config import Spec
from nqs_core.hamiltonians import HAMILTONIANS


def formula(hamiltonian: Spec) -> str | None:
    """The Hamiltonian with its couplings; None where it has no closed form to show."""
    template = getattr(HAMILTONIANS[hamiltonian.name], "formula", None)
    if template is None:
        return None
    params = HAMILTONIANS.params(hamiltonian)
    return template.format(**{name: _number(value) for name, value in params.items()})


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"({value:g})" if value < 0 else f"{value:g}"
