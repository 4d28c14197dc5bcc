"""A small drawing of a lattice: sites, bonds, and what wraps around."""

import param
from panel.custom import JSComponent

from frontend.components.bundle import bundle
from frontend.theme import CURVES


class LatticeView(JSComponent):
    """Sites and bonds of a lattice as a picture that fits its width.

    Neighbours are joined by solid lines, second neighbours by dashed ones; bonds around the periodic border end as
    short stubs on both sides. Sublattices have colours.
    """

    drawing = param.Dict(default={}, doc="Answer of POST /api/lattice; empty: nothing is drawn.")
    max_height = param.Integer(default=220, bounds=(40, 2000), doc="CSS pixels.")
    palette = param.List(default=list(CURVES), doc="Colours of the sublattices as #rrggbb.")

    _esm = bundle("lattice_view.js")
