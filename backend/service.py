"""Everything that the API can do, as plain functions of one object; the routes are one line each."""

import functools
import re
import secrets
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Engine

from backend import extrapolation, models, references, store
from backend.disk import Room
from backend.parsing import SPECS, checked, checked_spec
from backend.patching import kept, merge
from backend.planning import Plan, Planner
from backend.problems import NotFound
from backend.reference_service import ReferenceService
from backend.series import brief
from backend.settings import Settings
from backend.starts import Starts
from backend.store import StateError
from backend.strict import Invalid
from nqs_core import catalog, words
from nqs_core.config import MeasureJob, RunConfig, Text
from nqs_core.lattices.drawing import draw
from nqs_core.lattices.symmetry import little

RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INTEGERS = re.compile(r"\s*-?[0-9]+\s*(,\s*-?[0-9]+\s*)*")


class RunPatch(BaseModel):
    """What describes a run and may change at any time."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text | None = None
    tags: list[Text] | None = Field(None, max_length=50)
    archived: bool | None = None
    notes: str | None = Field(None, max_length=20_000)


class Service:
    """The one object behind the routes.

    Args:
        settings: of this deployment.
        engine: the store.
        boot: identifier of this server process.
    """

    def __init__(self, settings: Settings, engine: Engine, boot: str) -> None:
        self.settings = settings
        self.engine = engine
        self.boot = boot
        self.version = version("spinscope")
        self.references = ReferenceService(settings, engine)
        self.room = Room(settings.data_dir)
        self._planner = Planner(settings, engine)
        self._starts = Starts(settings, engine)
        self._briefs: dict[str, tuple[int, dict[str, Any] | None]] = {}  # last_seq and result without arrays

    @functools.cached_property
    def catalog(self) -> dict[str, Any]:
        """Every component, the configuration's schema, the presets, and the Hamiltonians' formulas."""
        content = catalog.catalog()
        return {**content, "formulas": {name: entry["formula"] for name, entry in content["hamiltonian"].items()}}

    def health(self) -> dict[str, Any]:
        """Whether this server and the agent are alive, and what runs."""
        agent, runs = store.agent_status(self.engine), store.counts(self.engine)
        device = agent.pop("device")
        return {
            "ok": True,
            "version": self.version,
            "boot": self.boot,
            "device": {"name": device} if device else None,
            "agent": agent,
            "disk": {"free_bytes": self.room.free(), "problem": self._full()},
            "runs": {"running": runs.get("running", 0) + runs.get("starting", 0), "queued": runs.get("queued", 0)},
        }

    def _full(self) -> str | None:
        return f"{store.DiskFullError(self.room.folder)}; until then runs wait" if self.room.full() else None

    def lattice(self, body: Any, momentum: str | None = None) -> dict[str, Any]:
        """Sites, bonds, symmetries and Brillouin zone of a lattice, and the little group of a momentum.

        Raises:
            NQSError: the lattice does not have this momentum.
        """
        lattice = catalog.REGISTRIES["lattice"].build(checked_spec("lattice", body))
        found = draw(lattice)
        if momentum:
            whole = INTEGERS.fullmatch(momentum)
            found["little"] = little(lattice, [int(word) for word in momentum.split(",")] if whole else momentum)
        return found

    def validate(self, body: Any) -> dict[str, Any]:
        """The configuration with every default, what it would cost, and its reference.

        Raises:
            NQSError: why it cannot run.
        """
        return self.plan(body).answer

    def plan(self, body: Any) -> Plan:
        """What `submit` takes; as `validate`.

        Raises:
            NQSError: why it cannot run.
        """
        plan = self._planner.plan(checked(RunConfig, body))
        return plan._replace(answer=self._starts.checked(plan.answer))

    def submit(
        self, plan: Plan, *, idem_key: str | None = None, cloned_from: str | None = None, tags: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Queue a run; the configuration is stored with every default, so that it means the same for ever."""
        answer = plan.answer
        prepared = self._starts.prepare(RunConfig.model_validate(answer["config"]))
        run = store.submit(
            self.engine,
            answer["config"],
            idem_key=idem_key,
            cloned_from=cloned_from,
            tags=tags,
            reference=answer["reference"],
            n_sites=answer["n_sites"],
            system=plan.system,
            work=plan.work.step,
            run_id=prepared,
        )
        if run != prepared:  # submitted before, under the same key
            self._starts.discard(prepared)
        return self.run(run)

    def weights(self) -> dict[str, Any]:
        """The files of published weights in the data folder."""
        return self._starts.weights.listing()

    def runs(self, **filters: Any) -> dict[str, Any]:
        """A page of runs and how many match."""
        unknown = set(filters.get("kind", "any").split(",")) - {*models.KINDS, "any"}
        if unknown:
            raise Invalid([("kind", f"unknown kind; choose any, or some of {', '.join(models.KINDS)}")])
        try:
            runs, total = store.list_runs(self.engine, **filters)
        except ValueError as error:
            raise Invalid([("sort", str(error))]) from None
        found = self._results(runs)
        return {"runs": [_judged(_led({**run, "result": found[run["id"]]}, found)) for run in runs], "total": total}

    def _results(self, runs: list[dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
        """The results of runs without their arrays, each read once after the last event of its run."""
        ended = [run for run in runs if run["state"] not in ("queued", *models.ACTIVE)]
        seen = {run["id"]: run["last_seq"] for run in ended}
        seen |= {run["leading"]: -1 for run in ended if run["leading"]}  # done for good
        new = [run for run, last in seen.items() if self._briefs.get(run, (None,))[0] != last]
        if new:
            full = store.results(self.engine, new)
            self._briefs |= {run: (seen[run], brief(result)) for run, result in full.items()}
        here = {run: self._briefs[run][1] for run in seen if run in self._briefs}
        return {run["id"]: None for run in runs} | here

    def run(self, run_id: str) -> dict[str, Any]:
        """One run.

        Raises:
            NotFound: there is none with this id.
        """
        run = store.get_run(self.engine, run_id) if RUN_ID.fullmatch(run_id) else None
        if run is None:
            raise NotFound(f"there is no run {run_id[:60]!r}")
        children = store.children(self.engine, run_id)
        return _judged(_led(run, {child["id"]: child["result"] for child in children})) | {"measurements": children}

    def update(self, run_id: str, body: Any) -> dict[str, Any]:
        """Change name, tags, notes or whether it is archived."""
        self.run(run_id)
        try:
            patch = RunPatch.model_validate(body)
        except ValidationError as error:
            raise Invalid.of(error.errors()) from None
        store.update_run(self.engine, run_id, **patch.model_dump(exclude_none=True))
        return self.run(run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run that is not active, with its files; on a full disk the files go first."""
        self.run(run_id)
        folder = self.settings.run_folder(run_id)
        try:
            store.delete_run(self.engine, run_id, folder)
        except store.DiskFullError:
            self.room.give_up()
            store.delete_files(self.engine, run_id, folder)
            store.delete_run(self.engine, run_id, folder)

    def stop(self, run_id: str) -> dict[str, Any]:
        """Ask a run to stop after its current step."""
        self.run(run_id)
        try:
            store.request_stop(self.engine, run_id)
        except store.DiskFullError:  # a run that waits for room is stopped so that it can be deleted
            self.room.give_up()
            store.request_stop(self.engine, run_id)
        return self.run(run_id)

    def resume(self, run_id: str) -> dict[str, Any]:
        """Queue a stopped or failed run again.

        Raises:
            StateError: it is in another state, or a measurement of it is not done: that would meet a later checkpoint.
        """
        states = [job["state"] for job in self.run(run_id)["measurements"]]
        if any(state in ("queued", *models.ACTIVE) for state in states):
            raise StateError("a measurement of the run is not done; wait for it or stop it before resuming the run")
        store.request_resume(self.engine, run_id)
        return self.run(run_id)

    def cloned(self, run_id: str, patch: Any) -> tuple[dict[str, Any], list[str]]:
        """The configuration of a run, changed by a JSON merge patch (RFC 7396), and its tags.

        Unless the patch has a name, it is that of the run with what is changed.

        Raises:
            StateError: it is the computation of a reference.
        """
        run = self.run(run_id)
        if run["kind"] in ("dmrg", "exact"):
            raise StateError(f"a job of kind {run['kind']} cannot be cloned; compute the reference once more")
        config = run["config"]
        if not isinstance(patch, dict):
            raise Invalid([("", "the patch must be a JSON object")])
        config = {**config, **{family: kept(config.get(family), patch.get(family)) for family in SPECS}}
        patch = {"name": words.clone_name(run, patch, store.names(self.engine)), **patch}
        return merge(config, patch), run["tags"]

    def measured(self, run_id: str, body: Any) -> dict[str, Any]:
        """The configuration of a measurement of a run with fresh samples.

        Raises:
            StateError: the run is active, of another kind, or has no checkpoint.
        """
        run, job = self.run(run_id), checked(MeasureJob, body)
        if run["kind"] != "vmc" or run["state"] in models.ACTIVE:
            what = f"is a job of kind {run['kind']}" if run["kind"] != "vmc" else f"is {run['state']}"
            raise StateError(f"the run {what}; only a run that has ended can be measured again")
        if not store.checkpoint_hashes(self.engine, run_id):
            raise StateError("the run has no checkpoint yet: there is nothing to measure")
        # Counting the measurements would repeat the random numbers of one that is left when another is deleted.
        change = {"observables": job.observables, "measure": job.samples, "seed": secrets.randbelow(2**32)}
        change["init_from"] = None  # the parameters are those of the run itself
        return {**run["config"], **change}

    def measure(self, run_id: str, plan: Plan, *, idem_key: str | None = None) -> dict[str, Any]:
        """Queue a measurement of a run; the run itself stays as it is."""
        run = self.run(run_id)
        new = store.submit(
            self.engine,
            plan.answer["config"],
            name=f"{run['name'] or run_id[:8]}: measurement",
            idem_key=idem_key,
            reference=run["reference"],
            n_sites=run["n_sites"],
            kind="measure",
            parent=run_id,
            system=plan.system,
        )
        return self.run(new)

    def extrapolation(self, run_id: str) -> dict[str, Any]:
        """The energy of a run at zero variance, from its training steps."""
        self.run(run_id)
        return extrapolation.of_run(self.engine, run_id)

    def events(self, run_id: str, after: int, limit: int) -> dict[str, Any]:
        """The run's events with sequence numbers after `after`."""
        self.run(run_id)
        events, last = store.read_events(self.engine, run_id, after, limit)
        return {"events": events, "last_seq": last}


def _led(run: dict[str, Any], results: Mapping[str, dict[str, Any] | None]) -> dict[str, Any]:
    """`leading` with the result of the measurement that speaks for the run instead of its own."""
    child = run["leading"]
    result = brief(results.get(child)) if child else None
    return {**run, "leading": {"run": child, "result": result} if result else None}


def _judged(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "verdict": references.judge(run)}
