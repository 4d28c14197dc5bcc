"""The API as typed coroutines. The only way from the user interface to the data."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict, cast

import httpx


class Reference(TypedDict, total=False):
    """Energy in total units of H; `bound`: exact, estimate or upper."""

    energy: float
    method: str
    bound: str
    uncertainty: float | None
    source: str
    label: str
    sentence: str


class Run(TypedDict, total=False):
    """One run as the API returns it; energies are totals, times are unix seconds, `eta_seconds` may be absent."""

    id: Required[str]
    name: str
    state: str
    desired: str
    phase: str | None
    step: int
    n_steps: int
    n_sites: int
    energy: float | None
    energy_error: float | None
    energy_per_site: float | None
    relative_error: float | None
    absolute_error: float | None
    variance: float | None
    v_score: float | None
    acceptance: float | None
    r_hat: float | None
    ess: float | None
    jsd: float | None
    n_samples: int | None
    attempt: int
    device: str | None
    host: str | None
    tags: list[str]
    archived: bool
    notes: str
    config: dict[str, Any]
    reference: Reference | None
    result: dict[str, Any] | None
    error: str | None
    warnings: int
    created: float
    started: float | None
    ended: float | None
    last_seq: int
    checkpoint_step: int
    eta_seconds: float | None
    step_seconds: float | None
    cloned_from: str | None
    system_key: str | None
    system_sector: str | None
    kind: str
    parent: str | None
    system_key: str | None
    system_sector: str | None
    verdict: dict[str, str] | None
    health: dict[str, Any] | None
    measurements: list[dict[str, Any]]


class ReferenceRow(TypedDict, total=False):
    """One known energy of a canonical system; energies are totals in units of its leading coupling.

    `origin`: shipped, computed or user. `bound`: exact, estimate or upper. `energy_run` stands in answers about one
    system: the same energy in the units of that system.
    """

    id: Required[int]
    origin: str
    run_id: str | None
    created: float
    key: Required[str]
    hamiltonian: str
    lattice: str
    extent: list[int]
    boundary: str
    n_sites: int
    couplings: dict[str, float]
    sector: str
    level: int
    method: str
    bound: str
    energy: float
    energy_per_site: float
    uncertainty: float | None
    uncertainty_kind: str | None
    variance: float | None
    bond_dimension: int | None
    truncation_error: float | None
    labels: dict[str, Any] | None
    detail: str | None
    source: str | None
    url: str | None
    licence: str | None
    note: str | None
    energy_run: float


class ReferencePage(TypedDict):
    """A page of the table, the number of all rows that pass the filters, and what can be filtered by."""

    references: list[ReferenceRow]
    total: int
    facets: dict[str, list[str]]


class ApiError(Exception):
    """The API refused: its own sentence, and the fields that it names."""

    def __init__(self, status: int, detail: str, problems: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = problems


class Unreachable(ApiError):
    """The API does not answer; nothing is known about what was asked."""

    def __init__(self, detail: str) -> None:
        super().__init__(0, detail)


def _refusal(response: httpx.Response) -> ApiError:
    """The error of an answer with status >= 400; a body that is no JSON object becomes one plain sentence."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("detail"), str):
        return ApiError(response.status_code, f"The server answered {response.status_code} {response.reason_phrase}.")
    errors = [e for e in body.get("errors") or [] if isinstance(e, dict)]
    problems = tuple((str(e.get("where", "")), str(e.get("problem", ""))) for e in errors)
    return ApiError(response.status_code, body["detail"], problems)


class Client:
    """One connection pool to one API.

    Raises (every method):
        Unreachable: no answer. ApiError: the API refused.
    """

    def __init__(
        self, base_url: str, token: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=20, transport=transport, trust_env=False, follow_redirects=False
        )

    @classmethod
    def from_environment(cls) -> "Client":
        """SPINSCOPE_API (default http://127.0.0.1:8000) and SPINSCOPE_TOKEN."""
        return cls(os.environ.get("SPINSCOPE_API", "http://127.0.0.1:8000"), os.environ.get("SPINSCOPE_TOKEN") or None)

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        params = {k: v for k, v in (query or {}).items() if v is not None}
        try:
            response = await self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise Unreachable(f"The server does not answer ({type(error).__name__}).") from error
        if response.status_code in (502, 503, 504):
            raise Unreachable(f"The server is not ready ({response.status_code}).")
        if response.is_error:
            raise _refusal(response)
        return response.json() if response.content else None

    async def health(self) -> dict[str, Any]:
        return await self._call("GET", "/api/health")

    async def catalog(self) -> dict[str, Any]:
        return await self._call("GET", "/api/catalog")

    async def validate(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The full configuration, sizes, reference and warnings of `config`, without starting anything."""
        return await self._call("POST", "/api/validate", body=config)

    async def weights(self) -> list[str]:
        """Names of the files of published weights in the data folder."""
        return [str(entry["file"]) for entry in (await self._call("GET", "/api/weights"))["files"]]

    async def list_runs(self, *, archived: str = "any", limit: int = 500, offset: int = 0) -> tuple[list[Run], int]:
        page = await self._call("GET", "/api/runs", query={"archived": archived, "limit": limit, "offset": offset})
        return cast(list[Run], page["runs"]), int(page["total"])

    async def get_run(self, run: str) -> Run:
        return await self._call("GET", f"/api/runs/{run}")

    async def submit(self, config: Mapping[str, Any]) -> Run:
        return await self._call("POST", "/api/runs", body=config)

    async def update(self, run: str, **fields: Any) -> Run:
        """Change `name`, `tags` or `archived`."""
        return await self._call("PATCH", f"/api/runs/{run}", body=fields)

    async def delete(self, run: str) -> None:
        await self._call("DELETE", f"/api/runs/{run}")

    async def stop(self, run: str) -> Run:
        return await self._call("POST", f"/api/runs/{run}/stop")

    async def resume(self, run: str) -> Run:
        return await self._call("POST", f"/api/runs/{run}/resume")

    async def clone(self, run: str, patch: Mapping[str, Any] | None = None) -> Run:
        """A new run with the same configuration, changed by a JSON merge patch."""
        return await self._call("POST", f"/api/runs/{run}/clone", body=dict(patch or {}))

    async def events(self, run: str, after: int = 0, limit: int | None = None) -> tuple[list[dict[str, Any]], int]:
        page = await self._call("GET", f"/api/runs/{run}/events", query={"after": after, "limit": limit})
        return page["events"], int(page["last_seq"])

    async def lattice(self, spec: Mapping[str, Any], momentum: Sequence[int] | str | None = None) -> dict[str, Any]:
        """Sites, bonds, momenta and point group of a lattice (`name`, `params`); `little`: that of a momentum."""
        words = ",".join(map(str, momentum)) if isinstance(momentum, (list, tuple)) else momentum
        return await self._call("POST", "/api/lattice", body=spec, query={"momentum": words})

    async def measure(self, run: str, samples: int, observables: Sequence[str] | None = None) -> Run:
        """Queue a measurement of a run that has ended, with fresh samples; None: the observables that apply."""
        body = {"samples": samples, "observables": list(observables) if observables else None}
        return await self._call("POST", f"/api/runs/{run}/measure", body=body)

    async def extrapolation(self, run: str) -> dict[str, Any]:
        """Energy against variance over the steps of a run, and the energy at zero variance; totals."""
        return await self._call("GET", f"/api/runs/{run}/extrapolation")

    async def references(self, **query: Any) -> ReferencePage:
        """Reference energies: `search`, `hamiltonian`, `lattice`, `method`, `bound`, `origin`, `key`, `sort`, pages."""
        return await self._call("GET", "/api/references", query=query)

    async def add_reference(self, body: Mapping[str, Any]) -> ReferenceRow:
        """An energy that a user knows: total, in the units of the Hamiltonian in `body`."""
        return await self._call("POST", "/api/references", body=body)

    async def delete_reference(self, row: int) -> None:
        await self._call("DELETE", f"/api/references/{row}")

    async def match_reference(self, system: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of a system: exact matches, nearest systems, a rigorous bracket."""
        return await self._call("POST", "/api/references/match", body=system)

    async def estimate_reference(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """What computing a reference would take, by exact diagonalisation and by DMRG."""
        return await self._call("POST", "/api/references/estimate", body=job)

    async def compute_reference(self, job: Mapping[str, Any]) -> Run:
        """Queue the computation; it is a run of kind dmrg or exact."""
        return await self._call("POST", "/api/references/compute", body=job)

    async def reference_series(self, **query: Any) -> list[dict[str, Any]]:
        """DMRG energies against bond dimension with their fits, of a level (`key`, `sector`, `level`) or a `run`."""
        return (await self._call("GET", "/api/references/series", query=query))["series"]

    async def reference_jobs(self, limit: int = 100) -> list[Run]:
        """Computations of references, newest first."""
        query = {"kind": "dmrg,exact", "archived": "any", "limit": limit}
        return cast(list[Run], (await self._call("GET", "/api/runs", query=query))["runs"])

    async def warnings(self, run: Run, look_back: int = 2000) -> list[str]:
        """What the run warned of among its newest `look_back` records, each sentence once."""
        events, _ = await self.events(run["id"], max(0, (run.get("last_seq") or 0) - look_back))
        said = [str(e.get("message") or e.get("code")) for e in events if e.get("kind") == "warning"]
        return list(dict.fromkeys(said))


def export_url(run: str, kind: str) -> str:
    """Where the browser itself downloads a run; the same origin as the page."""
    return f"/api/runs/{run}/export?format={kind}"
