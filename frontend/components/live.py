"""Live views of runs: they share one websocket per page and take their data from it; Python sets what is shown."""

from typing import Literal

import param
from panel.custom import JSComponent

from frontend.components.bundle import PLOTLY, bundle
from frontend.theme import CURVES

FEED_PATH = "/ws/feed"


class LiveChart(JSComponent):
    """One quantity of several runs against step, time or samples, live.

    Drawn at most five times a second, only while it is visible. Give it a height.
    Zooming decimates anew, so every point of a run can be seen.
    """

    heading = param.String(default="", doc="Stands over the chart, beside the buttons that save it as PNG and SVG.")
    runs = param.List(default=[], item_type=str, doc="Ids of the runs, in the order of the legend.")
    colours = param.Dict(default={}, doc="{run id: index into the palette}; beyond its end the dash changes.")
    metric = param.String(
        default="energy",
        doc="energy, error (|E - E0|/|E0|), variance, v_score, acceptance, r_hat, ess, jsd, or any scalar of a run.",
    )
    per_site = param.Boolean(default=True, doc="Divide energy, reference and variance by the number of sites.")
    x_mode = param.Selector(default="step", objects=["step", "time", "samples"])
    x_title = param.String(default="", doc="What stands at the horizontal axis; default: what suits `x_mode`.")
    x_log = param.Boolean(default=False)
    y_log = param.Boolean(default=None, allow_None=True, doc="None: what suits the metric.")
    smoothing = param.Number(
        default=0.0, bounds=(0, 0.999), doc="Weight of the past in the moving average; the raw curve stays behind."
    )
    band = param.Boolean(default=True, doc="One standard error around the energy.")
    reference = param.Boolean(default=True, doc="Lines at the runs' reference energies.")
    show_legend = param.Boolean(default=True)
    empty_text = param.String(default="Select a run to see its curve.")
    max_points = param.Integer(default=800, bounds=(10, 5000), doc="Points a trace; extremes are kept.")
    palette = param.List(default=list(CURVES), doc="Colours as #rrggbb.")
    ws_path = param.String(default=FEED_PATH, constant=True)
    plotly = param.String(default=PLOTLY, constant=True, doc="Where the browser gets Plotly from.")

    _esm = bundle("live_chart.js")

    def export(self, format: Literal["png", "svg"]) -> None:
        """Make the browser download the chart as it is shown; the file is named after the metric and the runs."""
        self._send_msg({"export": format})


class SpinView(JSComponent):
    """The spin configurations of a run's chains: tiles of square lattices, or one row for each chain of a ring."""

    run = param.String(default="", doc="Id of the run; the page's feed carries the spins of one run.")
    max_tiles = param.Integer(default=16, bounds=(1, 64), doc="Chains shown at most.")
    max_px = param.Integer(default=420, bounds=(50, 2000), doc="Largest width and height in CSS pixels.")
    colour_up = param.Color(default="#f2b04c")
    colour_down = param.Color(default="#0072b2")
    ws_path = param.String(default=FEED_PATH, constant=True)

    _esm = bundle("spin_view.js")
