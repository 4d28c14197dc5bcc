"""Panel components with their own JavaScript: what must not pass through Python at ten frames a second."""

from frontend.components.data_table import DataTable
from frontend.components.figure_chart import FigureChart
from frontend.components.ising import IsingLab
from frontend.components.lattice import LatticeView
from frontend.components.live import LiveChart, SpinView

__all__ = ["DataTable", "FigureChart", "IsingLab", "LatticeView", "LiveChart", "SpinView"]
