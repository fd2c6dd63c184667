"""The API's listening socket: opened by the API itself, or handed down by the supervisor to all its processes.

One socket for all, not one each with SO_REUSEPORT: there, who ends resets the connections that wait in its own queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from viiwork.errors import StartupError
from viiwork.variables import LISTENER, READY

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError naming host and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer took 40 ms (measured).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"The API cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}."
        raise StartupError(message, hint="Choose another with --port or VIIWORK_API_PORT.") from error
    return listener


def handed_down(environ: Mapping[str, str]) -> socket.socket | None:
    """The socket that this process was started with, if it was."""
    number = environ.get(LISTENER, "")
    if not number:
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    return listener


def tell_ready(environ: Mapping[str, str]) -> None:
    """Say that this process answers, to the supervisor that started it: on a shared port others may answer for it."""
    number = environ.get(READY, "")
    if number:
        with suppress(OSError):
            os.write(int(number), b".")
            os.close(int(number))
