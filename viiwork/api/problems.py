"""Every error as `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from viiwork.api.bodies import complaint, faults_of
from viiwork.errors import (
    Busy,
    Conflict,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    Unavailable,
    UsageError,
    ViiworkError,
)

RETRY_AFTER_S = 2
TAKEN = "x-viiwork-taken"
"""Of a file or an analysis that a limit cut: how much of it is there by now."""
HAD = "Of OpenAI's API there are chat/completions, completions, embeddings, models, files and batches."
NAMED = {404: ("not_found", "There is nothing at this address."), 405: ("method_not_allowed", "Not with this method.")}


def problem(status: int, message: str, *, code: str, param: str | None = None, kind: str = "") -> JSONResponse:
    """An error as a client sees it."""
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def answer_to(error: ViiworkError) -> JSONResponse:
    """The response that an error of ours becomes."""
    response = problem(error.http_status, str(error), code=error.code, param=error.param, kind=kind_of(error))
    if isinstance(error, Unavailable):
        wait_s = error.retry_after_s if isinstance(error, Busy) else RETRY_AFTER_S
        response.headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    if isinstance(error, Unauthorized):
        response.headers["www-authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        response.headers.update({TAKEN: str(error.taken)} if error.taken else {})
        response.headers["retry-after-ms"] = str(max(1, math.ceil(error.retry_after_s * 1000)))
    if isinstance(error, Conflict | QuotaExceeded):
        response.headers["x-should-retry"] = "false"  # SDKs retry a 409 and a 429 unless told not to
    return response


def kind_of(error: ViiworkError) -> str:
    """The `type` of a limit's refusal, as OpenAI's API has it; empty for any other."""
    if isinstance(error, RateLimited):
        return error.kind
    return error.code if isinstance(error, QuotaExceeded) else ""


def wrong_field(
    error: ValidationError | RequestValidationError, *, within: str = "", of: type[BaseModel] | None = None
) -> UsageError:
    """The first thing that is wrong with a body, named by its field; what was sent is not repeated."""
    told = faults_of(error) if isinstance(error, ValidationError) else error.errors()
    field, reason = complaint(told, within=within, of=of)
    return UsageError(f"{field}: {reason}." if field else f"The body is not valid: {reason}.", param=field or None)


def install(app: FastAPI) -> None:
    """Translate every exception that leaves a route."""

    @app.exception_handler(ViiworkError)
    async def _ours(_request: Request, error: ViiworkError) -> JSONResponse:
        return answer_to(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer_to(wrong_field(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code, message = NAMED.get(error.status_code, ("invalid_request", str(error.detail)))
        if error.status_code == 404 and request.url.path.startswith("/v1/"):
            message = f"{message} {HAD}"
        response = problem(error.status_code, message, code=code)
        response.headers.update(error.headers or {})
        if error.status_code == 405 and (taken := methods(app.openapi()["paths"], request.url.path)):
            response.headers["allow"] = ", ".join(taken)
        return response


def methods(paths: Mapping[str, Mapping[str, object]], path: str) -> list[str]:
    """All methods of an address of the document: the router names those of its first route alone."""
    own = paths.get(path)
    here = [own] if own else [item for template, item in paths.items() if re.fullmatch(_pattern(template), path)]
    return sorted({method.upper() for item in here for method in item})


def _pattern(template: str) -> str:
    return "[^/]+".join(map(re.escape, re.split(r"\{[a-z_]+\}", template)))
