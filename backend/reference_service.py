"""Everything that the API can do with reference energies, as plain functions of one object."""

from typing import Any

from pydantic import Field
from sqlalchemy import Engine

from backend import references, store
from backend.formula import formula
from backend.parsing import checked
from backend.references import table
from backend.settings import Settings
from backend.strict import Invalid
from nqs_core.config import OwnReference, ReferenceJob, System
from nqs_core.reference import system


class Question(System):
    """A system, and which of its levels is asked for."""

    level: int = Field(0, ge=0, le=1000)


class ReferenceService:
    """The one object behind the routes of references.

    Args:
        settings: of this deployment.
        engine: the store.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine

    def search(self, **filters: Any) -> dict[str, Any]:
        """A page of the table, how many rows match, and which values the filters may have."""
        try:
            rows, total = references.search(self.engine, **filters)
        except ValueError as error:
            raise Invalid([("sort", str(error))]) from None
        return {"references": rows, "total": total, "facets": table.facets(self.engine)}

    def check_own(self, body: Any) -> tuple[OwnReference, tuple[str, str]]:
        """An energy that a user knows, and its system.

        Raises:
            NQSError: why it cannot be right.
        """
        own = checked(OwnReference, body)
        system(own)
        if why := references.contradiction(self.engine, own):
            raise Invalid([("energy", why)])
        return own, references.system_of(own)

    def add(self, own: OwnReference, about: tuple[str, str]) -> dict[str, Any]:
        """Store an energy that has been checked; `refresh` gives every run of its system its best reference anew."""
        return references.add(self.engine, own, about)

    def remove(self, row_id: int) -> str:
        """Delete a row that is not shipped; the key of its system."""
        return references.remove(self.engine, row_id)["key"]

    def match(self, body: Any) -> dict[str, Any]:
        """What is known of a system."""
        question = checked(Question, body)
        system(question)
        return references.lookup(self.engine, question, question.level) | {"formula": formula(question.hamiltonian)}

    def estimate(self, body: Any) -> dict[str, Any]:
        """What a job would take, by each method."""
        return references.plan_job(checked(ReferenceJob, body), self._memory).about

    def plan(self, body: Any) -> dict[str, Any]:
        """What `compute` stores.

        Raises:
            NQSError: the method cannot do it.
        """
        plan = references.plan_job(checked(ReferenceJob, body), self._memory)
        job = plan.job
        found = plan.about["exact" if job.method == "exact" else "dmrg"]
        if not found["feasible"]:
            raise Invalid([("method", found["reason"])])
        name = f"{'DMRG' if job.method == 'dmrg' else 'exact'}: {job.hamiltonian.name} {job.lattice.name}"
        return {
            "config": job.model_dump(mode="json"),
            "name": job.name or name,
            "n_steps": max(1, plan.n_sweeps),
            "reference": references.match(self.engine, job),
            "n_sites": plan.about["n_sites"],
            "kind": job.method,
            "system": references.system_of(job),
        }

    def compute(self, plan: dict[str, Any], *, idem_key: str | None = None) -> str:
        """Queue a job and return its id."""
        return store.submit(self.engine, **plan, idem_key=idem_key)

    def series(self, *, key: str | None, sector: str | None, level: int, run: str | None) -> dict[str, Any]:
        """DMRG energies against the bond dimension: of a system, or of a job."""
        if (key is None) == (run is None):
            raise Invalid([("key", "give either key or run")])
        return {"series": references.series_of(self.engine, key=key, sector=sector, level=level, run=run)}

    @property
    def _memory(self) -> float:
        return float(self.settings.memory_bytes or 8e9)
