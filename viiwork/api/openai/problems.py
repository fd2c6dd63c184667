"""Errors as responses of the OpenAI API."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from viiwork.api.openai.faults import Failure, failure_from
from viiwork.api.problems import answer_to
from viiwork.errors import ViiworkError


def refusal(why: ViiworkError | Failure, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response to a request that cannot be answered, with what the SDKs go by when they try again."""
    if isinstance(why, ViiworkError):
        told = {name: value for name, value in answer_to(why).headers.items() if name not in OF_BODY}
        failure = failure_from(why)
    else:
        told, failure = {"x-should-retry": "true" if why.again else "false"}, why
    return JSONResponse({"error": failure.error}, failure.status, headers=dict(headers or {}) | told)


OF_BODY = ("content-length", "content-type")
