"""The page of the classical Ising model: a laboratory, and what to look for in it."""

from typing import Any

import panel as pn

from frontend import layout, theme
from frontend.components import IsingLab
from frontend.components.browser import Browser, Formula

MODEL = r"E(s) = -J \sum_{\langle ij \rangle} s_i s_j \;-\; h \sum_i s_i, \qquad s_i = \pm 1"
RULE = r"p = \min\left(1,\; e^{-\Delta E / k_B T}\right)"
COST = r"\Delta E = 2 s_i \Big(J \sum_{j \sim i} s_j + h\Big)"
# MathML draws a root over its radicand only where a mathematical font is installed; the sign is in every font.
CRITICAL = r"\frac{k_B T_c}{J} = \frac{2}{\ln(1 + \surd 2)} \approx 2.269"
YANG = r"m_0(T) = \left[1 - \sinh^{-4}\!\left(\frac{2J}{k_B T}\right)\right]^{1/8} \quad (T < T_c)"

INTRO = """
Every site carries a spin that points up (yellow) or down (blue). Neighbours that agree lower the energy by *J*,
neighbours that differ raise it, and the field *h* favours up or down. Heat works against order.
"""
METROPOLIS = """
**The Metropolis rule** draws sites at random and proposes to flip their spins. A flip that costs no energy is
always made; one that costs ΔE is made with a probability that falls exponentially with ΔE. After many sweeps every
configuration appears as often as thermal equilibrium demands, although nobody ever summed over all of
them. *Sequential* and *checkerboard* orders reach the same equilibrium, but on a path that no thermal motion takes.
"""
ALGORITHMS = """
**Heat bath** draws each spin anew, given its neighbours; **Wolff** flips whole clusters of equal spins. All three
reach the same equilibrium, at very different speed near the critical point.
"""
CRITICAL_TEXT = "**The critical point.** Without a field the infinite lattice orders below"
YANG_TEXT = "with the spontaneous magnetisation that Onsager announced and Yang proved:"
TRY = """
- **Quench.** Press *Quench to T = 1*. From a hot, random start domains grow, large ones eat small ones, and
  sometimes two straight stripes remain for a very long time although a uniform lattice has less energy. The walls'
  length falls as 1/√t in random order; in the other orders Metropolis is too fast.
- **Hysteresis.** Set T = 1.5, choose *m against h* under the plots, and move the field slowly from +1 to −1 and
  back. The magnetisation follows late: the loop is a memory of the past. Above the critical temperature it closes.
- **Critical slowing down.** At T = 2.27 clusters of all sizes appear and single flips take ever longer to change
  them. Compare how fast *m* moves with Metropolis and with Wolff.
- **Finite size.** Choose 16 × 16 below and near the critical point: the whole lattice turns over now and then, so
  ⟨m⟩ = 0 but ⟨|m|⟩ is not.
- **Paint.** Draw on the lattice and watch at which temperature your drawing survives.
"""


def explanation() -> Any:
    """Two columns of text and formulas; one on phones."""

    def text(words: str) -> Any:
        return pn.pane.Markdown(words, sizing_mode="stretch_width", margin=(0, 16), styles={"font-size": "14px"})

    def formula(latex: str) -> Any:
        return Formula(latex=latex, sizing_mode="stretch_width", margin=(4, 16, 12, 16))

    left = [text(INTRO), formula(MODEL), text(METROPOLIS), formula(RULE), formula(COST), text(ALGORITHMS)]
    right = [text(CRITICAL_TEXT), formula(CRITICAL), text(YANG_TEXT), formula(YANG), text(TRY)]
    return layout.columns(layout.Box(*left), layout.Box(*right), margin=(4, 0, 10, 0))


def page() -> Any:
    """A new visitor's page."""
    lab = layout.card(IsingLab(sizing_mode="stretch_width"), title="2D Ising model")
    notes = layout.card(explanation(), title="What happens here, and what to try")
    # No sidebar: on a phone the sliders belong under the lattice.
    body = pn.Column(lab, notes, sizing_mode="stretch_width", margin=6)
    browser = Browser(lambda width, local, session: pn.state.onload(lambda: browser.apply_theme(made, local)))
    made = theme.page("/ising", [body], header=[browser], sidebar_variant="temporary")
    return made
