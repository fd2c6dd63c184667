"""uvicorn's server as this service runs it: bounded connections, and two ways to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from functools import partial
from types import FrameType
from typing import Any, TypeVar

import uvicorn

from viiwork.api.connection import Bounds, Connection
from viiwork.listening import tell_ready
from viiwork.settings import ApiSection

GRACEFUL_S = 5
LOOK_S = 0.1
SPARE_FILES = 256
"""Beside its connections: Redis, uploads and what they spool, modules, logs."""


class Server(uvicorn.Server):
    """SIGTERM ends it within seconds. SIGHUP says that another process follows: it finishes what it has in hand."""

    def __init__(self, config: uvicorn.Config, *, drain_s: float = 0.0) -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self._followed = self._hurry = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """And tell whoever waits for it."""
        await super().startup(sockets)
        tell_ready(os.environ)

    def make_way(self) -> None:
        """Take no new connection; go on for up to `drain_s`."""
        self._followed = self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's name for what a signal does."""
        self._hurry = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish, if others answer meanwhile.

        Then the streams of events end before what is under way is waited for: they would keep it waiting in vain.
        """
        if self._followed:
            await self._finish(sockets or [])
        self.config.app.state.watch.end()  # type: ignore[union-attr] # it is a FastAPI application
        await super().shutdown(sockets)

    async def _finish(self, sockets: list[socket.socket]) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        for connection in self.server_state.connections:
            connection.move_on()  # type: ignore[union-attr] # they are ours
        until_s = time.monotonic() + self._drain_s
        while self.server_state.connections and not self._hurry and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)  # uvicorn's set of connections tells nobody when it is empty


S = TypeVar("S", bound=Server)


def make_server(app: Any, limits: ApiSection, *, kind: type[S], graceful_s: int = GRACEFUL_S) -> S:
    """The server of this application."""
    bounds = Bounds(room_for(limits.max_connections), limits.max_header_bytes, limits.slow_s)
    config = uvicorn.Config(
        app,
        http=partial(Connection, bounds=bounds),  # type: ignore[arg-type] # it is called, no more
        ws="none",
        access_log=False,  # addresses and query strings are nobody's business
        server_header=False,
        log_config=None,  # its lines go where ours do
        log_level="warning",
        proxy_headers=bool(limits.forwarded_allow_ips),  # else nobody may claim another client's address
        forwarded_allow_ips=list(limits.forwarded_allow_ips),
        timeout_keep_alive=limits.idle_s,  # type: ignore[arg-type] # it is handed to the loop as it is
        timeout_graceful_shutdown=graceful_s,
    )
    return kind(config, drain_s=limits.drain_s)


def hear_signals(server: Server) -> None:
    """SIGHUP; and once it has shut down, uvicorn raises those again that it caught: there is nothing left to end."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.make_way)


def room_for(connections: int) -> int:
    """As many of them as this process may have files open, raising that limit as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        soft = min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - SPARE_FILES))
