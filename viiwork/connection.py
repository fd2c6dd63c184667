"""One service over HTTP: lost connections are tried again, and every failure becomes an error of ours."""

from __future__ import annotations

import ipaddress
import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from viiwork.errors import (
    Busy,
    Conflict,
    Full,
    Gone,
    ModelNotServed,
    NotFound,
    TooLarge,
    Unavailable,
    UsageError,
    ViiworkError,
)
from viiwork.eventstream import Event, events_of

DEFAULT_URL = "http://127.0.0.1:8400"
CONNECT_TIMEOUT_S = 5.0
EVENTS_TIMEOUT = httpx.Timeout(45.0, connect=CONNECT_TIMEOUT_S)
"""A stream of events is never silent for longer than 15 s while its service lives."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
BUSY_PATIENCE_S = 120.0
"""How long a service that takes no more work for now is asked again before that becomes an error."""
DURABILITY = "x-viiwork-durability"
BY_STATUS: Mapping[int, type[ViiworkError]] = {
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    503: Unavailable,
    507: Full,
}

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
OnRemark = Callable[[str], None]
"""Hears what a person should know while something goes well: why it waits, what a power cut may cost."""


class Connection:
    """Sends requests to `url`; lost connections are tried again `retries` times, with growing pauses.

    Whoever sends a POST through it gives an Idempotency-Key, so that nothing is done twice.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        retries: int,
        timeout_s: float,
        on_remark: OnRemark = lambda _text: None,
        busy_patience_s: float = BUSY_PATIENCE_S,
    ) -> None:
        self.url = checked_url(url)
        self._shown = without_login(self.url)
        self._retries = retries
        self._on_remark, self._busy_patience_s = on_remark, busy_patience_s
        self._remarked: set[str] = set()
        self._http = httpx.Client(
            base_url=self.url,
            headers=dict(headers),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            trust_env=not is_loopback(self.url),  # a proxy must not be asked for this computer's own service
            verify=self.url.startswith("https:"),  # reading the certificate store takes 20 ms; plain HTTP needs none
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        model: type[M],
        method: str,
        path: str,
        *,
        body: Callable[[], Iterator[bytes]] | None = None,
        **request: Any,
    ) -> M:
        """The answer to one request as `model`; `body` makes a fresh stream for each try."""

        def send() -> httpx.Response:
            return self._http.request(method, path, content=None if body is None else body(), **request)

        response = self._patiently(send)
        self._check(response)
        if (said := response.headers.get(DURABILITY, "synced")) != "synced":
            self._remark_once(f"The service does not wait for its disk: {said}.")
        return self.parsed(model, response.content)

    def lines(self, path: str, *, after: int, limit: int | None) -> Iterator[bytes]:
        """The lines of a stream that can be taken up anywhere; where it breaks it goes on by itself."""
        had, failures = 0, 0
        while limit is None or had < limit:
            params = {"after": after + had} | ({} if limit is None else {"limit": limit - had})
            try:
                for line in self._stream(path, params=params):
                    yield line
                    had, failures = had + 1, 0
            except httpx.TransportError as error:
                if failures >= self._retries:
                    raise self._lost(error) from error
                time.sleep(pause_s(failures))
                failures += 1
            else:
                return

    def events(self, path: str) -> Generator[Event, None, None]:
        """A stream's events; when it breaks off or ends it is asked for again, so the caller says which is the last.

        The service is told the last event that had come, so that it can say what is void.
        """
        failures, last = 0, ""
        while True:
            lost: Exception = httpx.ReadError("The stream has ended.")
            try:
                headers = {"last-event-id": last} if last else {}
                for event in events_of(self._stream(path, timeout=EVENTS_TIMEOUT, headers=headers)):
                    failures, last = 0, event.id or last
                    yield event
            except (httpx.TransportError, Unavailable) as error:
                lost = error
            if failures >= self._retries:
                raise self._lost(lost) if isinstance(lost, httpx.TransportError) else lost from None
            time.sleep(pause_s(failures))
            failures += 1

    def parsed(self, model: type[M], content: bytes) -> M:
        """`content` as `model`. Raises Unavailable for what no VIIWork service says."""
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise stranger(self._shown) from error

    def _patiently(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer; a service that is busy is asked again when it says so, and once more when patience ends."""
        until_s = time.monotonic() + self._busy_patience_s
        while True:
            response = self._persistently(send)
            left_s = until_s - time.monotonic()
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or left_s <= 0:
                return response
            wait_s = min(retry_after_s(response.headers), left_s)
            error = error_of(response.status_code, response.content, url=self._shown)
            self._on_remark(f"{error.message} Trying again in {wait_s:.0f} s.")
            time.sleep(wait_s)

    def _remark_once(self, text: str) -> None:
        if text not in self._remarked:
            self._remarked.add(text)
            self._on_remark(text)

    def _persistently(self, send: Callable[[], T]) -> T:
        for failures in range(self._retries):
            try:
                return send()
            except httpx.TransportError:
                time.sleep(pause_s(failures))
        try:
            return send()
        except httpx.TransportError as error:
            raise self._lost(error) from error

    def _stream(self, path: str, **request: Any) -> Iterator[bytes]:
        with self._http.stream("GET", path, **request) as response:
            if response.is_error:
                response.read()
                self._check(response)
            yield from split_lines(response.iter_bytes())

    def _check(self, response: httpx.Response) -> None:
        if not response.is_success:
            wait_s = retry_after_s(response.headers)
            raise error_of(response.status_code, response.content, url=self._shown, wait_s=wait_s)

    def _lost(self, error: httpx.TransportError) -> Unavailable:
        hint = "Start one with `viiwork up`, or name another with --server or VIIWORK_URL."
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Unavailable(f"No VIIWork service answers at {self._shown}.", hint=hint)
        return Unavailable(f"The connection to {self._shown} broke off.", hint="Is the service still up?")


def error_of(status: int, content: bytes, *, url: str, wait_s: float = 0.0) -> ViiworkError:
    """The error that a response stands for."""
    try:
        error = json.loads(content)["error"]
        message, code, param = str(error["message"]), str(error["code"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        return stranger(url, status=status)
    if code == Busy.code:
        return Busy(message, retry_after_s=wait_s, param=param)
    kind = ModelNotServed if code == ModelNotServed.code else BY_STATUS.get(status)
    return (kind or (UsageError if status < 500 else ViiworkError))(message, code=code, param=param)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds that `Retry-After` asks for; at least 1, and 1 where it says nothing that can be understood."""
    try:
        asked_s = float(headers.get("retry-after", "1"))
    except ValueError:  # a date, which our services do not send
        return 1.0
    return max(1.0, asked_s) if math.isfinite(asked_s) else 1.0


def stranger(url: str, *, status: int | None = None) -> Unavailable:
    """What answers is something else."""
    answer = f" (HTTP {status})" if status else ""
    return Unavailable(
        f"What answers at {url} is not a VIIWork service{answer}.", hint="Check --server or VIIWORK_URL."
    )


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines parted by \\n alone: JSON may hold other line separators, at which `str.splitlines` would cut."""
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        yield from lines
    if pending:
        yield pending


def pause_s(failures: int) -> float:
    """How long to wait after the `failures`-th lost connection (from 0)."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures))


def checked_url(url: str) -> str:
    """The URL without a slash at its end. Raises UsageError."""
    try:
        parsed = httpx.URL(url)
        urlsplit(url)  # finds an unclosed bracket, which httpx takes for a host
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(
            "The server's address is not a URL.", hint=f"Such as {DEFAULT_URL}.", param="server"
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        message = "The server's address must start with http:// or https://."
        raise UsageError(message, hint=f"Such as {DEFAULT_URL}.", param="server")
    return url.rstrip("/")


def without_login(url: str) -> str:
    """The URL as it may be shown: a proxy's user and password may stand in it."""
    return str(httpx.URL(url).copy_with(userinfo=b"")).rstrip("/") if httpx.URL(url).userinfo else url


def is_loopback(url: str) -> bool:
    """Whether a URL points at this computer."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
