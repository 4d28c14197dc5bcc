"""Panel components with their own JavaScript: what must not pass through Python at ten frames a second."""

from frontend.components.ising import IsingLab
from frontend.components.live import LiveChart, SpinView

__all__ = ["IsingLab", "LiveChart", "SpinView"]
