"""Ports are settled before anything starts, so that a port in use is one line and not a half-started fleet."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack

from viiwork.errors import StartupError
from viiwork.settings import Section, Settings


def settle_ports(settings: Settings) -> Settings:
    """The settings with every port 0 replaced by a free one.

    Raises StartupError when a port is in use or a host is none of this machine's.
    """
    with ExitStack() as held:
        api = _claim(held, settings.api.host, settings.api.port, flag="--port")
        update: dict[str, Section] = {"api": settings.api.model_copy(update={"port": api})}
        if settings.flower.enabled:
            flower = _claim(held, settings.flower.host, settings.flower.port, flag="--flower-port")
            update["flower"] = settings.flower.model_copy(update={"port": flower})
        return settings.model_copy(update=update)


def _claim(held: ExitStack, host: str, port: int, *, flag: str) -> int:
    """Bind it and keep it bound, so that the next free port is another one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        probe = held.enter_context(socket.socket(family, kind, protocol))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself will do
        probe.bind(address)
        probe.listen(1)
    except OSError as error:
        raise _failure(error, host, port, flag) from error
    return int(probe.getsockname()[1])


def _failure(error: OSError, host: str, port: int, flag: str) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return StartupError(
            f"port {port} on {host} is in use by another program.",
            hint=f"Stop what uses it or give another with {flag} (0 takes a free one).",
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return StartupError(f"'{host}' is no address of this machine.", hint="Use 127.0.0.1 or 0.0.0.0.")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StartupError(f"port {port} on {host} cannot be used: {reason}.", hint=f"Give another with {flag}.")
