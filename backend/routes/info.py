"""What the server is, what can be chosen, and which energies are known."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from backend.problems import JSON
from backend.routes.deps import ERRORS, Apart, Raw, Serve, body_of

router = APIRouter(default_response_class=JSON)
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0072B2"/>'
    '<path d="M11 25V8m0-1 5 6m-5-6-5 6M21 7v17m0 1 5-6m-5 6-5-6" fill="none" stroke="#fff" stroke-width="2.6" '
    'stroke-linecap="round"/></svg>'
)


@router.get("/favicon.ico", include_in_schema=False)
def favicon() -> Response:
    """An up and a down spin."""
    return Response(ICON, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


@router.get("/api/health", responses=ERRORS)
def health(do: Serve) -> JSON:
    """Whether the server and the agent are alive, the device, and how many runs there are."""
    return JSON(do.health())


@router.get("/api/catalog", responses=ERRORS)
def catalog(do: Serve) -> JSON:
    """Every component with the JSON schema of its parameters, and the presets."""
    return JSON(do.catalog)


@router.get("/api/weights", responses=ERRORS)
def weights(do: Serve) -> JSON:
    """The files of published weights that a run can start from."""
    return JSON(do.weights())


@router.post("/api/validate", responses=ERRORS, openapi_extra=body_of("RunConfig"))
async def validate(ask: Apart, body: Raw) -> JSON:
    """What a configuration would run, cost and compare with; nothing is started."""
    return JSON(await ask("validate", body))


@router.post("/api/lattice", responses=ERRORS, openapi_extra=body_of("Spec"))
async def lattice(ask: Apart, body: Raw, momentum: Annotated[str | None, Query(max_length=40)] = None) -> JSON:
    """Sites, bonds, symmetries and Brillouin zone of a lattice; `little` group of a momentum such as M or 1,0."""
    return JSON(await ask("lattice", body, momentum))
