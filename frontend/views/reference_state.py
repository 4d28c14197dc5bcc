"""One visitor's choices on the page of the references, and the computations that all visitors see."""

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import param

from frontend.client import ApiError, Client, Run
from frontend.state import resolve_id, short_id

PAGE_ROWS = 12
FACETS = ("hamiltonian", "lattice", "method", "bound", "origin")
FRESH_SECONDS = 0.9
# Parameter -> its name in the address.
NAMES = ("tab", *FACETS, "only", "sort", "page", "row", "key", "job", "scale", "units", "x", "log", "near", "compute")
URL: Mapping[str, str] = {"search": "q"} | {name: name for name in (*NAMES, "system")}


class ReferencesView(param.Parameterized):
    """Everything here is in the URL, so that a link shows the same rows, the same numbers and the same plots."""

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

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._reading = False

    def follow(self, location: Any) -> None:
        """Take the choices from the page's address, and write every later one there; defaults are left out.

        Texts are taken as they stand: Panel's own way turns a search for 16 into a number.
        """
        self.read(location.search)
        self.param.watch(lambda *events: self._write(location), list(URL))
        location.param.watch(lambda event: self.read(event.new), "search")

    def read(self, search: str) -> None:
        """Show what an address says; what it leaves out takes its default, what is broken is ignored."""
        given = dict(parse_qsl((search or "").removeprefix("?")))
        self._reading = True
        try:
            found: dict[str, Any] = {name: self.param[name].default for name in URL}
            for name, short in URL.items():
                kind = type(found[name])
                words = given.get(short, "")
                value: Any = words == "1" if kind is bool else words
                if kind is int:
                    value = int(words) if re.fullmatch(r"[1-9][0-9]{0,5}", words) else None
                if words and value is not None and value in getattr(self.param[name], "objects", [value]):
                    found[name] = value
            self.param.update(**found)
        finally:
            self._reading = False

    def _write(self, location: Any) -> None:
        if self._reading:
            return
        said = {short: getattr(self, name) for name, short in URL.items()}
        kept = {short: said[short] for name, short in URL.items() if said[short] != self.param[name].default}
        words = urlencode({k: "1" if v is True else v for k, v in kept.items()})
        location.search = f"?{words}" if words else ""

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
