"""What runs have measured: newest arrays of those that are going, final measurements, and the lattices they live on."""

import json
from collections.abc import Mapping
from typing import Any

from frontend.client import Client, Run
from frontend.figures.observables import Quantity, quantity
from frontend.figures.text import count, finite
from frontend.state import ACTIVE

LOOKS = 50  # the server's own number of looks at the observables of a run
PAGE = 5000
MAX_PAGES = 3
# What every run reports; all else that it reports is an observable, or the sampler's or the optimizer's own number.
COMMON = frozenset((
    "energy", "energy_per_site", "energy_error", "variance", "v_score", "acceptance", "r_hat", "r_hat_nested", "tau",
    "ess", "n_samples", "step_seconds", "jsd", "jsd_floor", "distinct", "compile_seconds", "train_seconds",
    "measure_seconds", "refused",
))  # fmt: skip


class Observed:
    """Asked for as it is needed, remembered by run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._full: dict[str, tuple[Any, Run]] = {}
        self._seen: dict[str, int] = {}
        self._arrays: dict[str, tuple[int, dict[str, Any]]] = {}
        self._scalars: dict[str, dict[str, float]] = {}
        self._drawings: dict[str, dict[str, Any]] = {}
        self._versions: dict[str, int] = {}
        self._quantities: dict[str, tuple[int, dict[str, Quantity]]] = {}

    async def update(self, run: Run) -> None:
        """Bring what is known of a run up to date.

        Raises:
            ApiError: no answer, or a refusal.
        """
        full = await self.full(run)
        if full.get("result") is None or not self._scalars.get(run["id"]):
            await self.follow(run)

    async def full(self, run: Run) -> Run:
        """The run with its whole result and its further measurements; asked for anew where something has changed."""
        known = self._full.get(run["id"])
        stamp = (run.get("state"), run.get("attempt"), run.get("ended"))
        busy = known is not None and any(m.get("state") in ACTIVE for m in known[1].get("measurements") or [])
        if known is None or known[0] != stamp or busy:
            found = await self._client.get_run(run["id"])
            found["measurements"] = [await self._progress(m) for m in found.get("measurements") or []]
            if known is None or measurements(found) != measurements(known[1]):
                self._changed(run["id"])
            self._full[run["id"]] = (stamp, found)
        return self._full[run["id"]][1]

    async def _progress(self, measurement: dict[str, Any]) -> dict[str, Any]:
        """A measurement that has no result with its batches so far, or with the reason why it failed."""
        if measurement.get("result"):
            return measurement
        job = await self._client.get_run(measurement["id"])
        return {**measurement, "step": job.get("step"), "n_steps": job.get("n_steps"), "error": job.get("error")}

    def _changed(self, run: str) -> None:
        self._versions[run] = self.version(run) + 1

    def version(self, run: str) -> int:
        """Grows with every change of the run's arrays."""
        return self._versions.get(run, 0)

    def forget(self, run: str) -> None:
        """Ask anew: a measurement was started."""
        self._full.pop(run, None)

    def known(self, run: str) -> Run | None:
        """The run as `full` last saw it."""
        found = self._full.get(run)
        return None if found is None else found[1]

    async def follow(self, run: Run) -> None:
        """Read the run's newest records for scalars and arrays."""
        ident, last = run["id"], run.get("last_seq") or 0
        config = run.get("config") or {}
        every = config.get("observe_every") or max(1, (run.get("n_steps") or 1) // LOOKS)
        after = self._seen.get(ident, max(0, last - min(PAGE, 3 * every + 200)))
        for _ in range(MAX_PAGES):
            if after >= last:
                break
            events, _ = await self._client.events(ident, after, PAGE)
            if not events:
                break
            after = events[-1]["seq"]
            self._take(ident, events)
        self._seen[ident] = after

    def _take(self, ident: str, events: list[dict[str, Any]]) -> None:
        scalars = self._scalars.setdefault(ident, {})
        for event in events:
            if event.get("kind") != "metrics" or event.get("phase", "train") != "train":
                continue
            scalars.update({k: v for k, v in event.get("scalars", {}).items() if v is not None})
            if arrays := event.get("arrays"):
                step, known = self._arrays.get(ident, (0, {}))
                self._arrays[ident] = (max(step, event["step"]), {**known, **arrays})
                self._changed(ident)

    def latest(self, run: str, name: str) -> float | None:
        """The newest value of a scalar that has been seen."""
        return finite(self._scalars.get(run, {}).get(name))

    def scalars(self, run: str) -> list[str]:
        """Names beyond the common ones that a run reports: those of the result first, then the others."""
        full = self.known(run)
        final = ((full or {}).get("result") or {}).get("observables") or {}
        seen = self._scalars.get(run, {})
        names = [name for name in (*final, *seen) if name in seen and name not in COMMON]
        return list(dict.fromkeys(n for n in names if not (n.endswith("_error") and n[:-6] in seen)))

    def quantities(self, run: str) -> dict[str, Quantity]:
        """The arrays of a run by name: of the largest measurement, else the newest of its steps."""
        version, made = self._quantities.get(run, (-1, {}))
        if version != self.version(run):
            made = self._make(run)
            self._quantities[run] = (self.version(run), made)
        return made

    def _make(self, run: str) -> dict[str, Quantity]:
        found: dict[str, Quantity] = {}
        step, arrays = self._arrays.get(run, (0, {}))
        measured = measurements(self.known(run) or {"id": run})
        axes = {name: entry.get("axis") for _, _, result in measured for name, entry in _entries(result)}
        for name, mean in arrays.items():
            axis = arrays.get(f"{name}_axis", axes.get(name))
            if not name.endswith(("_error", "_axis")) and (
                made := quantity(name, mean, arrays.get(f"{name}_error"), axis, f"step {count(step)}")
            ):
                found[name] = made
        for samples, words, result in sorted(measured, key=lambda m: m[0]):
            for name, entry in _entries(result):
                origin = f"{words}, {count(samples)} samples"
                if made := quantity(name, entry.get("mean"), entry.get("error"), entry.get("axis"), origin):
                    found[name] = made
        return found

    async def drawing(self, run: Run) -> dict[str, Any]:
        """The lattice of a run, drawn.

        Raises:
            ApiError: no answer, or a refusal.
        """
        spec = (run.get("config") or {}).get("lattice") or {}
        key = json.dumps(spec, sort_keys=True)
        if key not in self._drawings:
            self._drawings[key] = await self._client.lattice(spec)
        return self._drawings[key]


def _entries(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(n, e) for n, e in (result.get("observables") or {}).items() if isinstance(e, Mapping)]


def measurements(run: Run) -> list[tuple[int, str, Mapping[str, Any]]]:
    """(samples, what it was, result) of the final measurement of a run and of all that were made later."""
    found = []
    for words, entry in [("final measurement", run), *(("measured again", m) for m in run.get("measurements") or [])]:
        if result := entry.get("result"):
            found.append((int(result.get("n_samples_final") or 0), words, result))
    return found
