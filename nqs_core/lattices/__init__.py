"""Lattices by name."""

from nqs_core.lattices.all_to_all import AllToAll
from nqs_core.lattices.base import Lattice
from nqs_core.lattices.chain import Chain
from nqs_core.lattices.cubic import Cubic
from nqs_core.lattices.honeycomb import Honeycomb
from nqs_core.lattices.kagome import Kagome
from nqs_core.lattices.square import Square
from nqs_core.lattices.triangular import Triangular
from nqs_core.registry import Registry

LATTICES = Registry[Lattice](
    "lattice",
    {
        "chain": Chain,
        "square": Square,
        "triangular": Triangular,
        "honeycomb": Honeycomb,
        "kagome": Kagome,
        "cubic": Cubic,
        "all_to_all": AllToAll,
    },
)
