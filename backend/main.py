"""The API process: application factory and `python -m backend.main`."""

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import jax
import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from backend import judging, private, problems, references, store
from backend.feed import Hub
from backend.guard import Guard, cookie_name, is_loopback
from backend.patience import PatientProtocol
from backend.proxy import Proxy
from backend.reference_service import Question
from backend.routes import info, live, runs
from backend.routes import references as reference_routes
from backend.sandbox import Sandbox
from backend.serve import open_database
from backend.service import RunPatch, Service
from backend.settings import Settings
from backend.strict import dumps
from nqs_core.config import MeasureJob, OwnReference, ReferenceJob, RunConfig
from nqs_core.errors import NQSError
from nqs_core.events import EVENT, Real

UI_PORT = 8001  # where the UI process listens if nothing else is said
LISTEN_FD = "SPINSCOPE_LISTEN_FD"  # the supervisor's listening socket, so that a restart loses no connection

log = logging.getLogger(__name__)


def create_app(settings: Settings, *, warm: bool = False) -> FastAPI:
    """The whole application: API, feed, and the proxy to the UI process, behind the guard.

    Args:
        settings: of this deployment.
        warm: start the child process that checks configurations now, not with the first of them.
    """
    jax.config.update("jax_platforms", "cpu")  # the device belongs to the runners
    app = FastAPI(
        title="Spinscope", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None, lifespan=_lifespan,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.settings, app.state.warm = settings, warm
    problems.install(app)
    for routes in (info, runs, reference_routes, live):
        app.include_router(routes.router)
    app.router.default = _otherwise
    app.openapi = lambda: _openapi(app)
    app.add_middleware(
        Guard,
        allowed_hosts=(*settings.allowed_hosts, *(() if settings.host in ("0.0.0.0", "::", "") else (settings.host,))),
        any_address=not is_loopback(settings.host),
        token=settings.token or None,
        port=settings.port,
    )
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    engine = await asyncio.to_thread(store.open_engine, settings.db_url)
    try:
        await asyncio.to_thread(references.start, engine)
        await asyncio.to_thread(store.lead_all, engine)
        await asyncio.to_thread(judging.start, engine)
    except (store.DamagedError, store.DiskFullError) as error:  # what can be read is shown, and runs can be deleted
        log.error("%s", error)
    boot = uuid.uuid4().hex
    app.state.service = Service(settings, engine, boot)
    app.state.hub = Hub(engine, boot)
    address, cookie = f"127.0.0.1:{settings.ui_port or UI_PORT}", cookie_name(settings.port)
    app.state.proxy = Proxy(address, secret=settings.ui_secret, kept_cookie=cookie)
    app.state.sandbox = Sandbox(settings)
    tailer = asyncio.create_task(app.state.hub.run())
    warm_up = asyncio.create_task(_warm_up(app)) if app.state.warm else None
    try:
        yield
    finally:
        tailer.cancel()
        await app.state.sandbox.close()
        await asyncio.gather(tailer, *filter(None, [warm_up]), return_exceptions=True)
        await app.state.proxy.close()
        engine.dispose()


async def _warm_up(app: FastAPI) -> None:
    """Check a first configuration, so that the form's first check is quick."""
    try:
        raw = dumps(app.state.service.catalog["presets"][0]["config"])
        await app.state.sandbox.ask(asyncio.get_running_loop().create_future(), "validate", raw)
    except Exception:
        log.exception("the first check failed")


async def _otherwise(scope: Scope, receive: Receive, send: Send) -> None:
    """What no route matches: unknown API addresses are errors, everything else belongs to the UI process."""
    if scope["type"] == "http" and (scope["path"] + "/").startswith("/api/"):
        await JSONResponse({"detail": "there is nothing at this address; see /api/openapi.json"}, 404)(
            scope, receive, send
        )
        return
    await scope["app"].state.proxy(scope, receive, send)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=version("spinscope"), routes=app.routes)
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in (RunConfig, RunPatch, OwnReference, ReferenceJob, Question, MeasureJob):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            known |= described.pop("$defs", {})
            known[model.__name__] = described
        told = EVENT.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        known |= told.pop("$defs", {}) | {"Event": told, "Real": TypeAdapter(Real).json_schema(mode="serialization")}
        known["MergePatch"] = {"type": "object"}
        settings: Settings = app.state.settings
        limits = {"cpuSeconds": settings.check_seconds, "memoryBytes": settings.check_memory_bytes}
        for name in (RunConfig, ReferenceJob, OwnReference, Question):
            known[name.__name__]["x-limits"] = limits  # of building and checking what it describes
        where = {"type": "object", "properties": {"where": {"type": "string"}, "problem": {"type": "string"}}}
        known["Error"] = {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string"}, "errors": {"type": "array", "items": where}},
        }
        app.openapi_schema = schema
    return app.openapi_schema


def server_config(app: FastAPI, **more: Any) -> uvicorn.Config:
    """How the application is served; frames are small and many, so no compression of websocket messages."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        **more,
    )


def main() -> None:
    """Serve until SIGTERM, on the supervisor's socket if there is one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs the address of every page that is passed on
    try:
        settings = Settings.from_env()
    except ValueError as error:
        raise SystemExit(f"spinscope: {error}") from None
    private.tighten(settings)
    try:
        open_database(settings.db_url).dispose()
    except NQSError as error:
        raise SystemExit(f"spinscope: {error}") from None
    if not is_loopback(settings.host) and not settings.token:
        raise SystemExit(f"spinscope: {settings.host} can be reached by others: choose a token in SPINSCOPE_TOKEN")
    config = server_config(create_app(settings, warm=True), host=settings.host, port=settings.port)
    inherited = os.environ.get(LISTEN_FD)
    sockets = [socket.socket(fileno=int(inherited))] if inherited else None
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
