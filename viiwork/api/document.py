"""The OpenAPI document, completed: which errors each operation may answer, and in which shape.

FastAPI cannot know them: errors are raised far below the routes, and refusals at the door come before any. What a route
declares by itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from viiwork.api.examples import example_of
from viiwork.api.scopes import NEEDS, Need

METHODS = ("get", "put", "post", "delete", "patch")
FOREIGN = ("HTTPValidationError", "ValidationError")
"""The shapes of what FastAPI would answer to a wrong field, with 422; ours is a 400."""
WHY = {
    400: "A field, parameter or header is wrong, missing or unknown; `param` names it.",
    401: "No API key came, or none that is valid (any more). Not where keys are off, as on loopback.",
    403: "The key's scopes do not cover this; or a browser was led here by a foreign page.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The request came too slowly.",
    409: "It has another state than this needs, or the Idempotency-Key came with another body before.",
    410: "It was kept until the date in the message, or deleted.",
    413: "The body is over a limit, which the message names.",
    422: "The answer has not the shape that was asked for.",
    429: "No more is taken for now; `Retry-After` says in how many seconds to try again. Or the month is used up.",
    431: "The request's head is over a limit, which the message names.",
    500: "Something went wrong inside; the service's log has more under the request's id.",
    503: "Redis does not answer, the service is shutting down, or all its connections are at work; see `Retry-After`.",
    504: "It took longer than it may.",
    507: "Memory or disk is nearly used up; the message says what makes room.",
}
KEY = "apiKey"
ALWAYS = (403, 408, 431, 500, 503)
OF_KEYS = (401, 503)
"""Whatever asks for a key, which is looked up in Redis."""
OF_WORK = (400, 429, 503)
"""Whatever looks at Redis."""
READY, OF_READINESS = "/health/ready", (429, 503, 507)
OF_ONE = (404, 410)
OF_BODIES = (404, 409, 413, 507)
OF_ACTS = (409,)
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request sent again under the same key is done once; kept for a day.",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
}


class ErrorDetail(BaseModel):
    """What happened (`message`, with what to do about it), whose fault it is, which field, and a code for programs."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: Literal["invalid_request_error", "server_error", "requests", "tokens", "insufficient_quota"]
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """Every error has this shape."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with the errors of every operation, examples, and the header that makes a POST repeatable."""
    _, shapes = models_json_schema([(ErrorBody, "serialization")], ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(shapes["$defs"])
    for foreign in FOREIGN:
        schemas.pop(foreign, None)
    document["components"]["securitySchemes"] = {KEY: {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                _complete(item[method], path, method)
    return document


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    told = operation["responses"]
    if FOREIGN[0] in str(told.get("422", "")):
        del told["422"]
    if asks_for_key(path, method):
        operation["security"] = [{KEY: []}, {}]  # without one where keys are off
    for status in statuses(operation, path, method):
        told.setdefault(str(status), refusal(status))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if (example := example_of(content.get("schema", {}))) is not None:
            content.setdefault("example", example)
    named = {parameter.get("name") for parameter in operation.get("parameters", ())}
    if method == "post" and IDEMPOTENCY_KEY["name"] not in named:
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)


def statuses(operation: Mapping[str, Any], path: str, method: str) -> list[int]:
    """The errors that an operation may answer, by what it is."""
    found = {*ALWAYS}
    if asks_for_key(path, method):
        found |= {*OF_KEYS}
    if path.startswith("/v1/"):
        found |= {*OF_WORK}
    if path == READY:
        found |= {*OF_READINESS}
    if "{" in path:
        found |= {*OF_ONE}
    if method != "get":
        found |= {*OF_ACTS}
    if "requestBody" in operation:
        found |= {*OF_BODIES}
    return sorted(found)


def asks_for_key(path: str, method: str) -> bool:
    """Whether an address needs an API key, where those are on."""
    return NEEDS.get(f"{method.upper()} {path}") is not Need.NOTHING


def refusal(status: int) -> dict[str, Any]:
    """How an error of this status is declared."""
    shape = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    return {"description": WHY[status], "content": shape}
