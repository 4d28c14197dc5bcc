"""One visitor's choices on the page of the references, and the computations that all visitors see."""

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import param

from frontend.address import Choices
from frontend.client import ApiError, Client, Run
from frontend.state import resolve_id, short_id

PAGE_ROWS = 12
FACETS = ("hamiltonian", "lattice", "method", "bound", "origin")
FRESH_SECONDS = 0.9


class ReferencesView(Choices):
    """One visitor's choices: rows, numbers and plots."""

    tab = param.Selector(default="table", objects=["table", "jobs"])
    search = param.String(default="", doc="Words that a row must contain.")
    hamiltonian = param.String(default="")
    lattice = param.String(default="")
    method = param.String(default="")
    bound = param.String(default="")
    origin = param.String(default="")
    only = param.String(default="", doc="Key of the one system whose rows are shown.")
    sort = param.String(default="", doc="Column, with a leading '-' for falling order.")
    page = param.Integer(default=1, bounds=(1, None))
    row = param.String(default="", doc="Id of the row whose details are shown.")
    key = param.String(default="", doc="System of that row: where its row is found again.")
    job = param.String(default="", doc="Short id of the computation that is shown.")
    scale = param.Selector(default="site", objects=["site", "total"])
    units = param.Selector(default="spin", objects=["spin", "pauli"])
    x = param.Selector(default="truncation", objects=["truncation", "variance"], doc="Axis of the second DMRG plot.")
    log = param.Boolean(default=False, doc="Logarithmic axis of the second DMRG plot.")
    near = param.Boolean(default=False, doc="Only the neighbourhood of the limit in the DMRG plots.")
    compute = param.String(default="", doc="Id of a run whose system fills the form.")
    system = param.String(default="", doc="JSON of a system that fills the form.")

    URL: ClassVar[Mapping[str, str]] = {"search": "q"} | {
        name: name
        for name in (
            "tab", *FACETS, "only", "sort", "page", "row", "key", "job", "scale", "units", "x", "log", "near",
            "compute", "system",
        )
    }  # fmt: skip

    def query(self) -> dict[str, Any]:
        """What the API is asked for: filters, order and page."""
        chosen = {name: getattr(self, name) or None for name in ("search", "sort", *FACETS)}
        return chosen | {"key": self.only or None, "limit": PAGE_ROWS, "offset": PAGE_ROWS * (self.page - 1)}


class Jobs:
    """The computations of references, asked for at most once per second for all open pages together.

    `version` grows with every change that a page may want to draw.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = 0.0
        self.runs: dict[str, Run] = {}
        self.version = 0

    async def refresh(self) -> None:
        """Ask for all jobs, unless somebody just did. What the network does is the page's business elsewhere."""
        if time.monotonic() - self._asked < FRESH_SECONDS:
            return
        self._asked = time.monotonic()
        try:
            found = {run["id"]: run for run in await self._client.reference_jobs()}
        except ApiError:
            return
        if found != self.runs:
            self.runs = found
            self.version += 1

    def put(self, run: Run) -> None:
        """A job as an action returned it, newest first."""
        self.runs = {run["id"]: run} | {k: v for k, v in self.runs.items() if k != run["id"]}
        self.version += 1

    def drop(self, run: str) -> None:
        self.runs.pop(run, None)
        self.version += 1

    def find(self, short: str) -> Run | None:
        """The job whose id begins with `short`."""
        full = resolve_id(short, self.runs)
        return self.runs.get(full) if full else None

    def short(self, run: str) -> str:
        return short_id(run, self.runs)

    @property
    def ended(self) -> set[str]:
        """The jobs whose energies are in the table."""
        return {run["id"] for run in self.runs.values() if run.get("state") in ("done", "stopped")}
