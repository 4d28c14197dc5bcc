"""Submit, watch and control runs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from backend import export
from backend.problems import JSON
from backend.routes.deps import (
    ERRORS,
    Apart,
    Ask,
    Body,
    IdempotencyKey,
    OptionalBody,
    Raw,
    Serve,
    body_of,
    refresh,
)
from backend.service import Service

router = APIRouter(prefix="/api/runs", responses=ERRORS)
Word = Annotated[str | None, Query(max_length=200)]
Number = Annotated[int, Query(ge=0, le=2**53)]


@router.post("", status_code=201, openapi_extra=body_of("RunConfig"))
async def submit(do: Serve, ask: Apart, body: Raw, idem_key: IdempotencyKey = None) -> JSON:
    """Queue a run; a repeated Idempotency-Key returns the first one's id."""
    return await _queue(do, ask, body, idem_key=idem_key)


async def _queue(do: Service, ask: Ask, body: Any, **options: Any) -> JSON:
    plan = await ask("plan", body)
    run = await run_in_threadpool(do.submit, plan, **options)
    await refresh(ask, "refresh_run", run["id"], run["config"], run["reference"])
    return JSON(await run_in_threadpool(do.run, run["id"]), 201)


@router.get("")
def list_runs(
    do: Serve,
    search: Word = None,
    state: Word = None,
    tag: Word = None,
    archived: Literal["false", "true", "any"] = "false",
    kind: Word = "vmc",
    sort: Word = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> JSON:
    """Runs, newest first unless `sort` says otherwise; `kind`: any, or a list of vmc, dmrg, exact, measure."""
    wanted = {"search": search, "state": state, "tag": tag, "archived": archived, "kind": kind or "any"}
    return JSON(do.runs(**wanted, sort=sort, limit=limit, offset=offset))


@router.get("/{run_id}")
def get_run(do: Serve, run_id: str) -> JSON:
    """One run."""
    return JSON(do.run(run_id))


@router.patch("/{run_id}", openapi_extra=body_of("RunPatch"))
def update(do: Serve, run_id: str, body: Body) -> JSON:
    """Rename, tag, archive or annotate a run."""
    return JSON(do.update(run_id, body))


@router.delete("/{run_id}", status_code=204)
def delete(do: Serve, run_id: str) -> Response:
    """Delete a run that is not active, with its files."""
    do.delete(run_id)
    return Response(status_code=204)


@router.post("/{run_id}/stop", status_code=202)
def stop(do: Serve, run_id: str) -> JSON:
    """Stop after the current step, with a checkpoint."""
    return JSON(do.stop(run_id), 202)


@router.post("/{run_id}/resume", status_code=202)
def resume(do: Serve, run_id: str) -> JSON:
    """Go on from the last checkpoint of a stopped or failed run."""
    return JSON(do.resume(run_id), 202)


@router.post("/{run_id}/clone", status_code=201, openapi_extra=body_of("MergePatch", required=False))
async def clone(do: Serve, ask: Apart, run_id: str, patch: OptionalBody, idem_key: IdempotencyKey = None) -> JSON:
    """Queue the same configuration, changed by a JSON merge patch."""
    config, tags = await run_in_threadpool(do.cloned, run_id, patch)
    return await _queue(do, ask, config, idem_key=idem_key, cloned_from=run_id, tags=tags)


@router.post("/{run_id}/measure", status_code=201, openapi_extra=body_of("MeasureJob"))
async def measure(do: Serve, ask: Apart, run_id: str, body: Body, idem_key: IdempotencyKey = None) -> JSON:
    """Measure a run that has ended with fresh samples, or other observables of it."""
    plan = await ask("plan", await run_in_threadpool(do.measured, run_id, body))
    return JSON(await run_in_threadpool(do.measure, run_id, plan, idem_key=idem_key), 201)


@router.get("/{run_id}/extrapolation")
def extrapolation(do: Serve, run_id: str) -> JSON:
    """The energy at zero variance, from energy against variance over the steps."""
    return JSON(do.extrapolation(run_id))


@router.get("/{run_id}/events")
def events(do: Serve, run_id: str, after: Number = 0, limit: Annotated[int, Query(ge=1, le=5000)] = 2000) -> JSON:
    """At most `limit` events after the sequence number `after`, without gaps; `last_seq` is the last of the run."""
    return JSON(do.events(run_id, after, limit))


@router.get("/{run_id}/export")
def export_run(do: Serve, run_id: str, format: Literal["json", "csv"] = "json") -> Response:
    """The whole run as one file."""
    name, kind, content = export.export(do.engine, do.run(run_id), format)
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
