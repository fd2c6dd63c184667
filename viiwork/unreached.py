"""Why an address could not be reached, in a few words."""

from __future__ import annotations

import os
import socket


def why_unreached(error: BaseException) -> str:
    """`connection refused`, `no such host`: as the system said, however deep an HTTP client has wrapped that."""
    inmost: BaseException | None = error
    while inmost is not None:
        if isinstance(inmost, socket.gaierror):
            return "no such host"
        if isinstance(inmost, OSError) and inmost.errno is not None:
            return os.strerror(inmost.errno).lower()
        inmost = inmost.__cause__ or inmost.__context__
    return "no answer in time" if "Timeout" in type(error).__name__ else "no connection"
