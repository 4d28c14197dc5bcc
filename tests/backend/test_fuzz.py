"""Random requests from the API's own description: never a server error, never an answer that is not described."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from backend.main import create_app
from backend.settings import Settings
from tests.backend.serving import free_port, serving

schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    chosen = Settings(data_dir=tmp_path_factory.mktemp("data"), ui_port=free_port())
    with serving(create_app(chosen)) as port:
        yield f"http://127.0.0.1:{port}"


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=slow, derandomize=True)
def test_random_requests(case: schemathesis.Case, address: str) -> None:
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    case.call_and_validate(base_url=address, checks=checks)
