"""The OpenAPI document says of each operation which errors it may answer."""

from __future__ import annotations

from typing import Any

import pytest

from viiwork.api.app import create_app
from viiwork.api.document import METHODS, WHY, statuses
from viiwork.api.problems import methods
from viiwork.settings import Settings

NONE: dict[str, Any] = {}
BODY: dict[str, Any] = {"requestBody": {}}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = create_app(Settings())
    first = app.openapi()
    assert app.openapi() == first  # FastAPI keeps it, and it is completed at each request
    return first


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item
    ]


def test_every_operation_tells_its_errors_in_our_shape(document: dict[str, Any]) -> None:
    """And none tells of FastAPI's own 422."""
    for path, _method, operation in operations(document):
        told = {status: answer for status, answer in operation["responses"].items() if status.startswith(("4", "5"))}
        assert {"403", "500"} <= set(told), path
        for answer in told.values():
            assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_success_has_a_shape(document: dict[str, Any]) -> None:
    """Else nothing would hold the answer against anything."""
    for path, _method, operation in operations(document):
        for status, answer in operation["responses"].items():
            for content in answer.get("content", {}).values() if status.startswith("2") else ():
                assert content.get("schema") or content.get("itemSchema"), (path, status)


def test_every_post_can_be_repeated_under_a_key(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = [parameter["name"] for parameter in operation.get("parameters", ())]
        assert names.count("Idempotency-Key") == (method == "post"), path


@pytest.mark.parametrize(
    ("path", "method", "operation", "has", "lacks"),
    [
        ("/v1/jobs/{job_id}", "get", NONE, {400, 404, 410, 429, 503}, {409, 413, 507}),
        ("/v1/jobs", "post", BODY, {404, 409, 413, 429, 507}, {410}),
        ("/v1/fleet", "get", NONE, {400, 503}, {404, 409}),
        ("/health/ready", "get", NONE, {429, 503, 507}, {400, 404}),
        ("/health/live", "get", NONE, {403, 431, 500, 503}, {400, 429, 507}),
    ],
)
def test_which_errors_an_operation_has(
    path: str, method: str, operation: dict[str, Any], has: set[int], lacks: set[int]
) -> None:
    found = set(statuses(operation, path, method))
    assert has <= found <= set(WHY) and not lacks & found


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/v1/analyses", ["GET", "POST"]),
        ("/v1/dead/retry", ["POST"]),
        ("/v1/dead/job_1", ["DELETE", "GET"]),
        ("/v1/dead/job_1/more", []),
    ],
)
def test_all_methods_of_an_address_are_told(document: dict[str, Any], path: str, taken: list[str]) -> None:
    """In `Allow`, beside a 405: the router knows of its first route alone."""
    assert methods(document["paths"], path) == taken
