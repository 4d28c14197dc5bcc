"""Lattices by name."""

from nqs_core.lattices.base import Lattice
from nqs_core.lattices.chain import Chain
from nqs_core.lattices.square import Square
from nqs_core.registry import Registry

LATTICES = Registry[Lattice]("lattice", {"chain": Chain, "square": Square})
