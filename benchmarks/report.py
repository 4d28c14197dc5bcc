"""Tables on standard output."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Cells of one line; `holds` is None where nothing was asked."""

    cells: tuple[str, ...]
    holds: bool | None = None


def show(title: str, header: tuple[str, ...], rows: list[Row]) -> None:
    """A table with the verdict in its last column."""
    verdict = {True: "holds", False: "FALLS SHORT", None: ""}
    lines = [(*header, ""), *((*row.cells, verdict[row.holds]) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    sys.stdout.write(f"\n{title}\n")
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    sys.stdout.flush()
