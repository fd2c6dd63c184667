"""What came of a job that did not succeed, as the error that a client of the OpenAI API expects. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from viiwork.api.problems import kind_of
from viiwork.errors import QuotaExceeded, UsageError, ViiworkError
from viiwork.jobs import Fault, State

TOO_LONG = "context_length_exceeded"
CODES = {"context_length": TOO_LONG}
"""Where the API has a word of its own."""
STATUSES = {
    "timeout": 504,
    "expired": 504,
    "cancelled": 409,
    "dead": 500,
    "internal": 500,
    "unreadable_result": 500,
    "invalid_output": 422,
    "not_found": 404,
    "model_not_found": 404,
    "too_large": 413,
    "input_lost": 500,
}
"""By the code of the fault; any other is the request's own and a 400."""
ANALYZE = "POST /v1/analyses takes documents of any length: it cuts them to parts that fit"
ENDED = {
    State.CANCELLED: Fault(code="cancelled", message="This request was cancelled."),
    State.EXPIRED: Fault(code="expired", message="The deadline passed before an answer was there."),
    State.DEAD: Fault(code="dead", message="Every attempt at this request failed."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the API: its HTTP status, what it says, and whether the same request may be sent again."""

    status: int
    message: str
    code: str
    param: str | None = None
    again: bool = False
    kind: str = ""
    """Its `type`, where that is not told by the status."""

    @property
    def error(self) -> dict[str, Any]:
        """`{"message", "type", "param", "code"}`."""
        kind = self.kind or ("server_error" if self.status >= 500 else "invalid_request_error")
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}


def failure_of(state: State, fault: Fault | None, *, prompt: str) -> Failure:
    """Why a job that has ended has no answer. It was tried again as often as helps, so it is said to be final.

    `prompt` is the field that its prompt came in.
    """
    told = fault or ENDED.get(state) or Fault(code="internal", message="There is no answer.")
    message = f"{told.message} {told.hint}".strip()
    code = CODES.get(told.code, told.code)
    if code == TOO_LONG:
        message = f"{message} {ANALYZE}."
    status = STATUSES.get(told.code, 500 if state is State.DEAD else 400)
    param = prompt if code == TOO_LONG else None
    return Failure(status, message, code, param)


def failure_from(error: ViiworkError) -> Failure:
    """The same of what was refused at the door."""
    code = CODES.get(error.code, error.code)
    message = f"{error.message} {ANALYZE}." if code == TOO_LONG else str(error)
    again = not isinstance(error, UsageError | QuotaExceeded)
    return Failure(error.http_status, message, code, error.param, again=again, kind=kind_of(error))
