"""Small parts that the figures share."""

from typing import Any

import numpy as np


def rounded(values: np.ndarray) -> list[float | None]:
    """Seven digits are more than a screen shows and half of what a float takes as text; no NaN, for JSON."""
    return [float(f"{v:.7g}") if np.isfinite(v) else None for v in values.tolist()]


def bars(error: np.ndarray | None, colour: str) -> dict[str, Any]:
    """Error bars of one standard error."""
    if error is None or not np.isfinite(error).any():
        return {"visible": False}
    return {"type": "data", "array": rounded(error), "color": colour, "thickness": 1.2, "width": 3, "visible": True}


def colour_bar(title: str) -> dict[str, Any]:
    """A slim one, without a frame."""
    return {
        "thickness": 12, "outlinewidth": 0, "len": 0.9, "xpad": 6, "tickfont": {"size": 11},
        "title": {"text": title, "font": {"size": 12}},
    }  # fmt: skip
