"""The classical Ising model, simulated in the browser: nothing of it passes through Python."""

import param
from panel.custom import JSComponent

from frontend.components.bundle import bundle


class IsingLab(JSComponent):
    """Lattice, controls and measurements of E = -J Σ s_i s_j - h Σ s_i on a periodic square lattice.

    Temperature, field, size, algorithm, order of the sites and speed are in the page's address
    (`?T=1.5&h=0&L=64&algorithm=metropolis&order=sequential`).
    """

    colour_up = param.Color(default="#f2b04c")
    colour_down = param.Color(default="#0072b2")

    _esm = bundle("ising_lab.js")
