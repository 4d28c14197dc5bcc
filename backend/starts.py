"""Where warm starts take their parameters from: found and checked before a run is queued, then kept in its folder."""

import functools
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from sqlalchemy import Engine

from backend import store
from backend.disk import FULL
from backend.lookup import find_run, open_runs
from backend.settings import Settings
from backend.strict import Invalid
from backend.weights import WeightsFolder
from nqs_core import checkpoint, warm_start, weight_files
from nqs_core.config import Checkpoint, Origin, RunConfig, WeightsFile
from nqs_core.errors import ConfigError, NQSError
from nqs_core.warm_start import Source, Trained, Weights

REMEMBERED = 64  # files whose shapes are known
ID_LENGTH = 36
RECORD_SECONDS = 0.5  # from a checkpoint on the disk to its record


class Place(NamedTuple):
    """A file with the parameters of `step` of `run`: a checkpoint of it, or what another warm start keeps of it."""

    path: Path
    sha256: str | None
    run: str
    name: str
    step: int


class Starts:
    """The API's and the command line's way to the parameters of earlier runs.

    Args:
        settings: of this deployment.
        engine: the store.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self.weights = WeightsFolder(settings)
        self._shapes = functools.lru_cache(REMEMBERED)(_shapes)  # a form asks with every key press

    def checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer about a configuration with the run and step that it would start from; as it is where none is named.

        Raises:
            NQSError: there are no such parameters, or they do not fit.
        """
        config = RunConfig.model_validate(answer["config"])
        if config.init_from is None:
            return answer
        if isinstance(config.init_from, WeightsFile):
            fit = self.weights.check(config, config.init_from)
            origin = {"file": fit["file"], "sha256": fit["sha256"]}
            return {**answer, "config": {**answer["config"], "init_from": origin}, "init_from": fit}
        place, trained = self._first(config.init_from, self._look)
        warm_start.check(config, trained)
        origin = {"run": place.run, "step": place.step}
        return {
            **answer,
            "config": {**answer["config"], "init_from": origin},
            "init_from": {**origin, "name": place.name},
        }

    def read(self, origin: Checkpoint) -> tuple[Place, Trained]:
        """Parameters, and where they are from.

        Raises:
            NQSError: there are no such parameters.
        """
        return self._first(origin, warm_start.read)

    def prepare(self, config: RunConfig) -> str:
        """An id for a run of this checked configuration, with a copy of the parameters that it starts from.

        The copy is whole before the run exists: whatever becomes of their run, and wherever this process is killed.

        Raises:
            NQSError: the parameters are gone since the check, or cannot be written.
        """
        run_id = str(uuid.uuid4())
        if config.init_from is not None:
            try:
                self._keep(config.init_from, run_id)
            except OSError as error:
                self.discard(run_id)
                if error.errno in FULL:
                    raise store.DiskFullError(self._settings.run_folder(run_id)) from None
                why = error.strerror or error
                raise NQSError(f"init_from: the parameters cannot be kept in the data folder: {why}") from None
        return run_id

    def _keep(self, origin: Origin, run_id: str) -> None:
        if isinstance(origin, WeightsFile):
            self.weights.keep(origin, run_id)
            return
        place, trained = self.read(origin)
        path = self._settings.start_file(run_id)
        path.parent.mkdir(parents=True)
        warm_start.write(path, trained, run=place.run)

    def discard(self, run_id: str) -> None:
        """Remove what was prepared for a run that is not there."""
        shutil.rmtree(self._settings.run_folder(run_id), ignore_errors=True)

    def _look(self, path: Path, sha256: str | None) -> Trained:
        try:
            seen = path.stat()
        except OSError:
            return warm_start.read(path, sha256)  # which says why
        return self._shapes(path, sha256, seen.st_mtime_ns, seen.st_size)

    def _first(self, origin: Checkpoint, read: Callable[[Path, str | None], Trained]) -> tuple[Place, Trained]:
        """The first place that can be read."""
        try:
            place = self._places(origin)[0]
            return place, read(place.path, place.sha256)
        except ConfigError:
            time.sleep(RECORD_SECONDS)  # a run that is going may just have replaced it
        reasons: list[ConfigError] = []
        for place in self._places(origin):
            try:
                return place, read(place.path, place.sha256)
            except ConfigError as error:
                reasons.append(error)
        raise reasons[0]

    def _places(self, origin: Checkpoint) -> list[Place]:
        """The run's own checkpoints, newest first, and what is kept of them; never empty.

        Raises:
            Invalid: there are none.
        """
        run = store.get_run(self._engine, origin.run)
        if run is not None and run["kind"] != "vmc":
            raise Invalid(
                [("init_from.run", f"it is a job of kind {run['kind']}; only a run that trains has parameters")]
            )
        own = [] if run is None else self._own(run)
        places = own if origin.step is None else [place for place in own if place.step == origin.step]
        if origin.step is not None:
            places += self._kept(origin.run, origin.step, run["name"] if run else "")
        if places:
            return places
        if run is None:
            raise Invalid([("init_from.run", f"there is no run {origin.run[:40]!r}")])
        if not own:
            raise Invalid([("init_from.run", f"the run {_called(run)!r} has no checkpoint")])
        steps = ", ".join(str(place.step) for place in reversed(own))
        what = f"the run {_called(run)!r} has no checkpoint of step {origin.step}; on record: {steps}"
        raise Invalid([("init_from.step", what)])

    def _own(self, run: dict[str, Any]) -> list[Place]:
        on_record = store.checkpoint_hashes(self._engine, run["id"])
        return [
            Place(path, on_record[path.name], run["id"], run["name"], checkpoint.step_of(path))
            for path in checkpoint.files(self._settings.run_folder(run["id"]) / "checkpoints")
            if path.name in on_record
        ]

    def _kept(self, run: str, step: int, name: str) -> list[Place]:
        """What runs that started from the same parameters keep of them."""
        paths = [self._settings.start_file(other) for other in store.started_from(self._engine, run, step)]
        return [Place(path, None, run, name, step) for path in paths if path.exists()]


class Start(NamedTuple):
    """Where a run on the command line begins, for its record: a file, or a run or weights of the data folder."""

    source: Source
    words: str
    file: Path | None = None
    origin: Origin | None = None


def find_start(config: RunConfig, file: Path | None, settings: Callable[[], Settings]) -> Start | None:
    """What a configuration starts from: `file`, else its `init_from`, a run of the data folder; None: neither.

    Raises:
        NQSError: it is not there, or does not fit.
    """
    if file is not None and file.suffix in weight_files.SUFFIXES:
        return _published(config, Weights(file, weight_files.sha256(file)), file)
    if isinstance(config.init_from, WeightsFile) and file is None:
        source = WeightsFolder(settings()).source(config.init_from)
        return _published(config, source, origin=config.init_from.model_copy(update={"sha256": source.sha256}))
    if file is not None:
        trained = warm_start.read(file)
        start = Start(trained, f"{file}, step {trained.step}", file)
    elif isinstance(config.init_from, Checkpoint):
        origin, where = config.init_from, settings()
        engine = open_runs(where)
        if len(origin.run) < ID_LENGTH:
            origin = origin.model_copy(update={"run": find_run(engine, where, origin.run)["id"]})
        place, trained = Starts(where, engine).read(origin)
        origin = Checkpoint(run=place.run, step=place.step)
        start = Start(trained, f"{place.name or place.run[:8]}, step {place.step}", origin=origin)
    else:
        return None
    warm_start.check(config, trained)
    return start


def _published(config: RunConfig, source: Weights, file: Path | None = None, origin: Origin | None = None) -> Start:
    taken = warm_start.check_weights(config, source.path)
    return Start(source, f"{source.path.name}, {len(taken)} tensors", file, origin)


def _shapes(path: Path, sha256: str | None, *_version: int) -> Trained:
    """As `warm_start.read`, without the numbers."""
    found = warm_start.read(path, sha256)
    return found._replace(params={k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in found.params.items()})


def _called(run: dict[str, Any]) -> str:
    return run["name"] or run["id"][:8]
