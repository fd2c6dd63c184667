"""The guard's end of the line to its worker: a Unix socket, one worker at a time."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from viiwork_workers.engines.guard.files import GuardFiles
from viiwork_workers.engines.guard.frames import ORDERS, Hello, Load, Order, Phase, Taken, line

LONGEST_LINE_BYTES = 4 * 1024 * 1024
FULL_BYTES = 64 * 1024
"""A worker that has so much to read yet is stopped; it is told changes alone."""
SPOKE_S = 10.0
"""A worker says something each second; one that is silent for so long may be replaced by another."""


class Door:
    """Whoever says `hello` is the worker from then on, unless another one is that speaks: two of one name would take
    the engine from each other for ever. Who was it before is shown out."""

    def __init__(self, files: GuardFiles, *, obey: Callable[[Order], None], lost: Callable[[], None]) -> None:
        self._files = files
        self._obey = obey
        self._lost = lost
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._who = ""
        self._spoke_s = 0.0
        self._told_s = 0.0

    @property
    def quiet_s(self) -> float:
        """For how long the worker was told nothing."""
        return time.monotonic() - self._told_s

    async def open(self) -> None:
        """Listen; the working directory is the socket's. Raises OSError."""
        listener = socket.socket(socket.AF_UNIX)
        with suppress(FileNotFoundError):
            os.unlink(self._files.socket.name)  # noqa: PTH108 - relative on purpose, as below
        mask = os.umask(0o177)
        try:
            listener.bind(self._files.socket.name)
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LONGEST_LINE_BYTES)

    def tell(self, report: Phase | Load) -> None:
        """Send it to the worker, if there is one."""
        if isinstance(report, Load):
            self.tell_if_heard(report)
        elif self._writer is not None and not self._writer.is_closing():
            self._write(self._writer, report)

    def tell_if_heard(self, report: Phase | Load) -> None:
        """The same, of what is said again soon."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() < FULL_BYTES:
            self._write(writer, report)

    def shut(self) -> None:
        """Nobody else comes in; the worker stays until `close`."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                os.unlink(self._files.socket.name)  # noqa: PTH108 - relative on purpose

    def close(self) -> None:
        """Show the worker out: that is how it learns that all is over."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, writer: asyncio.StreamWriter, report: Phase | Load) -> None:
        self._told_s = time.monotonic()
        writer.write(line(report))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while order := await reader.readline():
                self._hear(ORDERS.validate_json(order), writer)
        except (OSError, ValueError):  # ValueError: a line over the limit, or one that is no order
            pass
        except asyncio.CancelledError:
            pass  # the guard ends: asyncio of Python 3.11 writes a traceback for a handler that was cancelled
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
                self._lost()

    def _hear(self, order: Order, writer: asyncio.StreamWriter) -> None:
        if isinstance(order, Hello):
            former = self._writer
            if former is not None and former is not writer:
                if order.who != self._who and time.monotonic() - self._spoke_s < SPOKE_S:
                    writer.write(line(Taken(pid=_pid(former))))
                    writer.close()
                    return
                former.close()
            self._writer, self._who = writer, order.who
        if self._writer is writer:
            self._spoke_s = time.monotonic()
            self._obey(order)


def _pid(writer: asyncio.StreamWriter) -> int:
    end = writer.get_extra_info("socket")
    pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)
