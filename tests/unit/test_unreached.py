"""Why an address could not be reached: in the system's words, whatever client was used."""

from __future__ import annotations

import errno
import socket

import httpx
import pytest

from viiwork.unreached import why_unreached


def wrapped(cause: BaseException) -> httpx.ConnectError:
    """As httpx has it: the system's error two levels down."""
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "connection refused"),
        (wrapped(OSError(errno.EHOSTUNREACH, "unreachable")), "no route to host"),
        (wrapped(socket.gaierror(socket.EAI_NONAME, "unknown")), "no such host"),
        (httpx.ReadTimeout(""), "no answer in time"),
        (TimeoutError(), "no answer in time"),
        (httpx.RemoteProtocolError("what is that"), "no connection"),
    ],
)
def test_the_inmost_error_is_told(error: BaseException, told: str) -> None:
    assert why_unreached(error) == told
