"""Where a service is, and what its answers and silences mean: every failure becomes an error of ours. Pure."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from viiwork.errors import (
    Busy,
    Conflict,
    Forbidden,
    Full,
    Gone,
    ModelNotServed,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TooLarge,
    Unauthorized,
    Unavailable,
    UsageError,
    ViiworkError,
)

DEFAULT_URL = "http://127.0.0.1:8400"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
BY_STATUS: Mapping[int, type[ViiworkError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    503: Unavailable,
    507: Full,
}


def error_of(status: int, content: bytes, *, url: str, wait_s: float = 0.0) -> ViiworkError:
    """The error that a response stands for."""
    try:
        error = json.loads(content)["error"]
        message, code, param = str(error["message"]), str(error["code"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        return stranger(url, status=status)
    if code == RateLimited.code:
        return RateLimited(message, retry_after_s=wait_s, param=param, kind=str(error.get("type")))
    if code == QuotaExceeded.code:
        return QuotaExceeded(message, param=param)
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


class LineSplitter:
    """Lines parted by \\n alone: JSON may hold other line separators, at which `str.splitlines` would cut."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole now."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return lines

    def end(self) -> list[bytes]:
        """What stands after the last line break."""
        rest, self._pending = self._pending, b""
        return [rest] if rest else []


def lost(error: httpx.TransportError, url: str) -> Unavailable:
    """What a connection that failed for good means."""
    hint = "Start one with `viiwork up`, or name another with --server or VIIWORK_URL."
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unavailable(f"No VIIWork service answers at {url}.", hint=hint)
    return Unavailable(f"The connection to {url} broke off.", hint="Is the service still up?")


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
