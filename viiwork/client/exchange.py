"""Requests to one service, as steps: lost connections are tried again, and every failure becomes an error of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from viiwork.client.steps import Body, Pause, Steps, sent
from viiwork.connection import error_of, lost, pause_s, retry_after_s, stranger
from viiwork.errors import Busy, Full

CONNECT_TIMEOUT_S = 5.0
BUSY_PATIENCE_S = 120.0
"""How long a service that takes no more work for now is asked again before that becomes an error."""
AWAY_PATIENCE_S = 60.0
"""How long one that is away for a while (a restart, its Redis) is waited for."""
DURABILITY = "x-viiwork-durability"
TAKEN = "x-viiwork-taken"
"""How much of a file or an analysis is there, of one that the sender's limit cut."""

M = TypeVar("M", bound=BaseModel)
OnRemark = Callable[[str], None]
"""Hears what a person should know while something goes well: why it waits, what a power cut may cost."""


class Exchange:
    """What is asked of the service at `url` (as it may be shown); a lost connection is tried again `retries` times.

    Whoever sends a POST through it gives an Idempotency-Key, so that nothing is done twice.
    """

    def __init__(
        self, url: str, *, retries: int, on_remark: OnRemark, busy_patience_s: float, away_patience_s: float
    ) -> None:
        self.url, self.retries = url, retries
        self.remark = on_remark
        self._busy_patience_s, self._away_patience_s = busy_patience_s, away_patience_s
        self._remarked: set[str] = set()

    def ask(self, model: type[M], method: str, path: str, *, body: Body | None = None, **request: Any) -> Steps[M]:
        """The answer to one request as `model`; `body` makes a fresh stream for each try."""
        response = yield from self._patiently(lambda: sent(method, path, body=body, **request))
        self.check(response)
        if (said := response.headers.get(DURABILITY, "synced")) != "synced":
            self._remark_once(f"The service does not wait for its disk: {said}.")
        return self.parsed(model, response.content)

    def away(self) -> Away:
        """For whoever follows something for long."""
        return Away(self._away_patience_s)

    def parsed(self, model: type[M], content: bytes) -> M:
        """`content` as `model`. Raises Unavailable for what no VIIWork service says."""
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise stranger(self.url) from error

    def check(self, response: httpx.Response) -> None:
        """Raises the error that a response stands for."""
        if not response.is_success:
            wait_s = retry_after_s(response.headers)
            raise error_of(response.status_code, response.content, url=self.url, wait_s=wait_s)

    def _patiently(self, send: Callable[[], Steps[httpx.Response]]) -> Steps[httpx.Response]:
        """The answer; a service that has no room or is away is asked again when it says so, till patience ends."""
        began_s, taken = time.monotonic(), 0
        while True:
            response = yield from self._persistently(send)
            if (by_now := _number(response.headers.get(TAKEN, ""))) > taken:  # a limit lets it in bit by bit
                began_s, taken = time.monotonic(), by_now
            left_s = began_s + self._patience_s(response) - time.monotonic()
            if left_s <= 0:
                return response
            wait_s = min(retry_after_s(response.headers), left_s)
            error = error_of(response.status_code, response.content, url=self.url)
            self.remark(f"{error.message} Trying again in {wait_s:.0f} s.")
            yield Pause(wait_s)

    def _patience_s(self, response: httpx.Response) -> float:
        """How long what is answered so is sent again, counted from the first time."""
        if response.headers.get("x-should-retry") == "false":
            return 0.0
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return self._busy_patience_s
        away = response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in response.headers
        return self._away_patience_s if away else 0.0

    def _persistently(self, send: Callable[[], Steps[httpx.Response]]) -> Steps[httpx.Response]:
        for failures in range(self.retries):
            try:
                return (yield from send())
            except httpx.TransportError:
                yield Pause(pause_s(failures))
        try:
            return (yield from send())
        except httpx.TransportError as error:
            raise lost(error, self.url) from error

    def _remark_once(self, text: str) -> None:
        if text not in self._remarked:
            self._remarked.add(text)
            self.remark(text)


def _number(said: str) -> int:
    return int(said) if said.isdecimal() else 0


class Away:
    """How long a service that has answered before is waited for when it answers no more."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._met = False
        self._since_s: float | None = None

    def met(self) -> None:
        """It has answered."""
        self._met, self._since_s = True, None

    def bears(self, error: Exception) -> bool:
        """Whether to go on asking in spite of this; one that answers that it has no room is not away."""
        if not self._met or isinstance(error, Busy | Full):
            return False
        if self._since_s is None:
            self._since_s = time.monotonic()
        return time.monotonic() < self._since_s + self._patience_s
