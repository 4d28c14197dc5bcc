"""Variational wave functions by name."""

from nqs_core.ansatze.base import Ansatz, AutoregressiveAnsatz, LocalUpdates
from nqs_core.ansatze.rbm import RBM
from nqs_core.registry import Registry

ANSATZE = Registry[Ansatz]("ansatz", {"rbm": RBM})

__all__ = ["ANSATZE", "Ansatz", "AutoregressiveAnsatz", "LocalUpdates"]
