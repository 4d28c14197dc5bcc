"""A chart of finished data that looks like the live ones: Python says what is drawn, the browser how."""

import param
from panel.custom import JSComponent

from frontend.components.bundle import PLOTLY, bundle


class FigureChart(JSComponent):
    """One Plotly figure in the page's theme, with the buttons that save it. Give it a height.

    The colours "text" and "background" stand for those of the theme.
    """

    heading = param.String(default="", doc="Stands over the chart, beside the buttons that save it as PNG and SVG.")
    figure = param.Dict(default={}, doc="{data: traces, layout: axes, shapes, annotations, words: for screen readers}.")
    note = param.String(default="", doc="Stands small under the heading: where the numbers come from.")
    empty_text = param.String(default="No data yet.")
    plotly = param.String(default=PLOTLY, constant=True, doc="Where the browser gets Plotly from.")

    _esm = bundle("figure_chart.js")
