"""A small curve without axes, as SVG; its ends are said in words."""

from collections.abc import Sequence

WIDTH, HEIGHT, EDGE = 240, 34, 2


def sparkline(values: Sequence[float], unit: str = "") -> str:
    """The curve from 0 to its largest value, and the first, the largest and the last value under it."""
    top = max(*values, 1e-300)
    step = WIDTH / (len(values) - 1)
    points = " ".join(
        f"{k * step:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * v / top:.1f}" for k, v in enumerate(values)
    )
    told = [f"{values[0]:.2g}", *([f"{top:.2g}"] if top > max(values[0], values[-1]) else []), f"{values[-1]:.2g}"]
    words = " → ".join(told) + (f" {unit}" if unit else "")
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none' height='{HEIGHT}' role='img' "
        f"aria-label='{words}'><polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5' "
        f"vector-effect='non-scaling-stroke'/></svg><div>{words}</div>"
    )
