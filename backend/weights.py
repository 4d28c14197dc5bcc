"""The folder of published weights: what is there, what fits a configuration, what a run keeps of it."""

import functools
import os
import shutil
from pathlib import Path
from typing import Any

from backend.settings import Settings
from backend.strict import Invalid
from nqs_core import warm_start, weight_files
from nqs_core.config import RunConfig, WeightsFile

REMEMBERED = 64  # files whose digest is known: a form asks with every key press, and some have gigabytes


class WeightsFolder:
    """Files of weights below the data folder, for the API and the command line.

    Args:
        settings: of this deployment.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digest = functools.lru_cache(REMEMBERED)(_digest)

    def listing(self) -> dict[str, Any]:
        """The files that there are, below which folder of the data folder."""
        folder = self._settings.weights_folder
        return {"folder": folder.name, "files": weight_files.listing(folder)}

    def source(self, origin: WeightsFile) -> warm_start.Weights:
        """The file of an origin, with its sha256.

        Raises:
            NQSError: there is no such file, or it is not the one with the sha256 of the origin.
        """
        path = weight_files.find(self._settings.weights_folder, origin.file)
        try:
            seen = path.stat()
            digest = self._digest(path, seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except OSError:
            digest = weight_files.sha256(path)  # which says why
        if origin.sha256 not in (None, digest):
            raise Invalid([("init_from.sha256", f"{origin.file} has the sha256 {digest}, not the one given")])
        return warm_start.Weights(path, digest)

    def check(self, config: RunConfig, origin: WeightsFile) -> dict[str, Any]:
        """The origin with the digest of the file, and how many of its tensors the network takes.

        Raises:
            NQSError: there is no such file, or it does not fit the network.
        """
        source = self.source(origin)
        taken = warm_start.check_weights(config, source.path)
        return {"file": origin.file, "sha256": source.sha256, "tensors": len(taken)}

    def keep(self, origin: WeightsFile, run_id: str) -> None:
        """The file under a name in the folder of a run, without a copy where the disk can do that.

        Raises:
            OSError: nothing can be written there.
            NQSError: the file has gone or changed since the check.
        """
        source = self.source(origin)
        path = self._settings.start_weights(run_id, origin.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.path.resolve(), path)
        except OSError:  # another disk, or one without links
            shutil.copyfile(source.path, path)


def _digest(path: Path, *_version: int) -> str:
    return weight_files.sha256(path)
