"""What a page shows: the shared copy of the runs table, and one visitor's choices."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import param

from frontend.address import Choices
from frontend.client import ApiError, Client, Run, Unreachable

POLL_SECONDS = 1.0
ID_DIGITS = 8
N_COLOURS = 8
TABS = ["energy", "variance", "sampling", "distribution", "observables", "compare"]
ACTIVE = ("queued", "starting", "running")


class Hub:
    """The API's runs, health and catalog, asked for once per second for all open pages together.

    `version` grows with every change that a page may want to draw; `online` is False while the API does not answer,
    and everything that was known stays.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.catalog: dict[str, Any] | None = None
        self.health: dict[str, Any] = {}
        self.runs: dict[str, Run] = {}
        self.total = 0
        self.online = False
        self.problem = "Connecting to the server."
        self.version = 0
        self.loaded = False
        self._watchers = 0
        self._wake = asyncio.Event()
        self._asked = 0.0
        self._meanwhile: dict[str, Run | None] = {}  # put, or dropped, since the last question

    def watch(self) -> None:
        """One more page is open."""
        self._watchers += 1
        self._wake.set()

    def unwatch(self) -> None:
        self._watchers = max(0, self._watchers - 1)

    @property
    def stale(self) -> bool:
        """Is what is known older than two questions? So it is after a time without any page."""
        return time.monotonic() - self._asked > 2 * POLL_SECONDS

    def find(self, run: str) -> Run | None:
        return self.runs.get(run)

    def put(self, run: Run) -> None:
        """A run as an action returned it, so that the page need not wait for the next second."""
        self.runs[run["id"]] = self._meanwhile[run["id"]] = run
        self.version += 1

    def drop(self, run: str) -> None:
        self.runs.pop(run, None)
        self._meanwhile[run] = None
        self.version += 1

    async def refresh(self) -> None:
        """Ask for everything once. Never raises for what the API or the network does."""
        self._asked = time.monotonic()
        self._meanwhile = {}
        try:
            health = await self.client.health()
            if self.catalog is None or health.get("boot") != self.health.get("boot"):
                self.catalog = await self.client.catalog()
            runs, self.total = await self.client.list_runs()
        except ApiError as error:
            self._lost(error)
            return
        # The answer may be older than what an action has returned in the meantime.
        known = {run["id"]: run for run in runs} | self._meanwhile
        fresh = {run["id"]: run for run in sorted(filter(None, known.values()), key=lambda r: -(r.get("created") or 0))}
        if not self.online or fresh != self.runs or health != self.health:
            self.version += 1
        self.runs, self.health, self.online, self.problem, self.loaded = fresh, health, True, "", True

    def _lost(self, error: ApiError) -> None:
        reason = "The server does not answer." if isinstance(error, Unreachable) else error.detail
        if self.online or self.problem != reason:
            self.online, self.problem = False, reason
            self.version += 1

    async def run(self) -> None:
        """Poll while pages are open; asleep otherwise, once the catalog is known."""
        while True:
            began = time.monotonic()
            await self.refresh()
            if not self._watchers and self.catalog is not None:
                self._wake.clear()
                await self._wake.wait()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.sleep(max(0.1, POLL_SECONDS - (time.monotonic() - began)))


def short_id(run: str, known: Iterable[str]) -> str:
    """The shortest beginning of an id, 8 characters or more, that no other known id shares."""
    others = [k for k in known if k != run]
    size = ID_DIGITS
    while size < len(run) and any(k.startswith(run[:size]) for k in others):
        size += 1
    return run[:size]


def resolve_id(short: str, known: Iterable[str]) -> str | None:
    """The one known id that begins with `short`; None if there is none or more than one."""
    found = [k for k in known if k.startswith(short)] if short else []
    return found[0] if len(found) == 1 else None


def encode_selection(selected: Mapping[str, int], known: Collection[str]) -> str:
    """`id.slot,id.slot`: the colour travels with the link."""
    return ",".join(f"{short_id(run, known)}.{slot}" for run, slot in selected.items())


def decode_selection(text: str, known: Collection[str]) -> dict[str, int]:
    """The inverse; runs that are gone are left out, a missing or broken slot gets a free one."""
    out: dict[str, int] = {}
    pending: list[str] = []
    for part in filter(None, text.split(",")):
        short, _, digits = part.partition(".")
        run = resolve_id(short, known)
        if run is None or run in out:
            continue
        slot = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else -1
        out[run] = slot
        if slot < 0:
            pending.append(run)
    for run in pending:
        out[run] = free_slot([s for r, s in out.items() if r != run and s >= 0])
    return out


def archived(runs: Mapping[str, Run]) -> set[str]:
    """The ids of the archived runs."""
    return {run for run, row in runs.items() if row.get("archived")}


def free_slot(taken: Collection[int]) -> int:
    """The lowest colour index that nobody has; indices past the palette repeat the colours with another dash."""
    slot = 0
    while slot in taken:
        slot += 1
    return slot


class View(Choices):
    """One visitor's choices: runs, what is drawn of them, and how."""

    runs = param.String(default="", doc="Selected runs and their colours as text for the URL.")
    focus = param.String(default="", doc="Short id of the run whose details are shown.")
    x = param.Selector(default="step", objects=["step", "time", "samples"])
    smooth = param.Number(default=0.0, bounds=(0, 0.99))
    scale = param.Selector(default="site", objects=["site", "total"])
    tab = param.Selector(default="energy", objects=TABS)
    metric = param.String(default="", doc="Name of the observable that is drawn live.")
    yscale = param.Selector(default="linear", objects=["linear", "log"], doc="Of observables against distance.")

    selected = param.Dict(default={}, doc="Run id -> colour index, in the order of selection.")
    focused = param.String(default="", doc="Full id of the focused run.")

    URL: ClassVar[Mapping[str, str]] = {
        "runs": "runs",
        "focus": "run",
        "x": "x",
        "smooth": "smooth",
        "scale": "scale",
        "tab": "tab",
        "metric": "metric",
        "yscale": "yscale",
    }

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._remembered: dict[str, int] = {}
        self._known: Collection[str] = ()
        self._archived: set[str] = set()

    def restore(self, known: Mapping[str, Run]) -> None:
        """Take selection and focus from the texts of the URL; else the first run that is not archived."""
        self._known = known
        self._archived = archived(known)
        chosen = decode_selection(self.runs, known)
        focus = resolve_id(self.focus, known) or next(iter(chosen), "")
        if not chosen and not self.runs and (first := next((r for r in known if r not in self._archived), "")):
            chosen, focus = {first: 0}, focus or first
        self._remembered.update(chosen)
        self.param.update(selected=chosen, focused=focus)
        self._write()

    def choose(self, runs: Iterable[str], known: Collection[str]) -> None:
        """Show exactly these runs. A run keeps the colour it had; a new one takes a colour that no shown run has."""
        self._known = known
        wanted = list(dict.fromkeys(runs))
        kept = {r: s for r, s in self.selected.items() if r in wanted}
        for run in wanted:
            if run not in kept:
                old = self._remembered.get(run)
                others = {s for r, s in self._remembered.items() if r != run and s < N_COLOURS}
                full = len(others) >= N_COLOURS
                taken = set(kept.values()) | (set() if full else others)
                kept[run] = old if old is not None and old not in kept.values() else free_slot(taken)
                self._remembered[run] = kept[run]
        focused = self.focused if self.focused in known else next(reversed(list(kept)), "")
        self.param.update(selected=kept, focused=focused)
        self._write()

    def show(self, run: str, known: Collection[str]) -> None:
        """Focus a run and draw it too."""
        self.focused = run
        self.choose([*self.selected, run], known)

    def forget(self, known: Mapping[str, Run]) -> None:
        """Drop runs that no longer exist, and undraw those that were archived since; who ticks one draws it again."""
        before, self._archived = self._archived, archived(known)
        gone = self._archived - before
        if any(r not in known or r in gone for r in self.selected) or (self.focused and self.focused not in known):
            self.choose([r for r in self.selected if r in known and r not in gone], known)

    def _write(self) -> None:
        focus = short_id(self.focused, self._known) if self.focused else ""
        self.param.update(runs=encode_selection(self.selected, self._known), focus=focus)
