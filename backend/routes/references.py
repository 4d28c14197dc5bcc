"""The table of reference energies: search it, add to it, compute what is missing."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from backend.problems import JSON
from backend.routes.deps import ERRORS, Apart, IdempotencyKey, Raw, Serve, body_of, refresh

router = APIRouter(prefix="/api/references", default_response_class=JSON, responses=ERRORS)
Word = Annotated[str | None, Query(max_length=200)]
Level = Annotated[int, Query(ge=0, le=1000)]


@router.get("")
def search(
    do: Serve,
    hamiltonian: Word = None,
    lattice: Word = None,
    key: Word = None,
    sector: Word = None,
    method: Word = None,
    bound: Word = None,
    origin: Word = None,
    search: Word = None,
    sort: Word = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> JSON:
    """Reference energies with their method, uncertainty and source; several values of a filter are joined by '|'."""
    wanted = {
        "hamiltonian": hamiltonian, "lattice": lattice, "key": key, "sector": sector, "method": method, "bound": bound,
        "origin": origin,
    }  # fmt: skip
    return JSON(do.references.search(**wanted, search=search, sort=sort, limit=limit, offset=offset))


@router.post("", status_code=201, openapi_extra=body_of("OwnReference"))
async def add(do: Serve, ask: Apart, body: Raw) -> JSON:
    """Add an energy of your own; its source is mandatory."""
    own, about = await ask("check_own", body)
    row = await run_in_threadpool(do.references.add, own, about)
    await refresh(ask, "refresh", about[0])
    return JSON(row, 201)


@router.delete("/{row_id}", status_code=204)
async def remove(do: Serve, ask: Apart, row_id: Annotated[int, Path(ge=0, le=2**53)]) -> Response:
    """Delete a row that is not shipped."""
    await refresh(ask, "refresh", await run_in_threadpool(do.references.remove, row_id))
    return Response(status_code=204)


@router.post("/match", openapi_extra=body_of("Question"))
async def match(ask: Apart, body: Raw) -> JSON:
    """What is known of a system; else the nearest entries, and bounds from concavity."""
    return JSON(await ask("match", body))


@router.post("/estimate", openapi_extra=body_of("ReferenceJob"))
async def estimate(ask: Apart, body: Raw) -> JSON:
    """Time and memory that a computation would take."""
    return JSON(await ask("estimate", body))


@router.post("/compute", status_code=201, openapi_extra=body_of("ReferenceJob"))
async def compute(do: Serve, ask: Apart, body: Raw, idem_key: IdempotencyKey = None) -> JSON:
    """Queue a computation; it is a run of kind dmrg or exact."""
    plan = await ask("plan_reference", body)
    run = await run_in_threadpool(do.references.compute, plan, idem_key=idem_key)
    return JSON(await run_in_threadpool(do.run, run), 201)


@router.get("/series")
def series(do: Serve, key: Word = None, sector: Word = None, level: Level = 0, run: Word = None) -> JSON:
    """DMRG energies against the bond dimension with their fits: of a system, or of a job."""
    return JSON(do.references.series(key=key, sector=sector, level=level, run=run))
