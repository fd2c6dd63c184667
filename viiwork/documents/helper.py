"""The owner's side of the reading helper (`nursery`): one process, many documents at once."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import Any

from pydantic import BaseModel

from viiwork.documents.limits import MAX_REQUEST_BYTES, MIB, Limits

COMMAND = (sys.executable, "-P", "-m", "viiwork.documents.nursery")
"""`-P`: a file in the working directory must not be imported in place of a parser."""
PASSED_ON = (
    *("PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "LANG", "LC_ALL"),
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
)
"""What of the environment the helper gets: the rest may hold secrets, and it forks what meets hostile files."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""openpyxl loads numpy, which would start a thread a core: the helper forks, and must have one only."""
_TUNED = {"tcache_count": 2000, "mmap_threshold": 4 * MIB, "trim_threshold": 16 * MIB}
KEPT_MEMORY = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in _TUNED.items())}
"""What a page took is kept for the next one, up to 16 MiB, and small pieces without sorting them.

By default the C library gives it back to the kernel after each page and gets it again, zeroed: a tenth to a third of
what it takes to read one. Other C libraries do not know the variable.
"""
GRACE_S = 30.0
"""How long over a document's wall-clock limit the helper may stay silent before it is taken for dead."""
CLOSE_S = 5.0
CHUNK_BYTES = 256 * 1024


class HelperGone(Exception):
    """Raised when the helper has died or was closed while a document was being read."""


class Ended(BaseModel):
    """How a reading ended: its child's exit status (negative: the signal), and whether the wall clock ended it."""

    id: int
    status: int
    late: bool
    alone: bool
    """The child had read nothing before."""


class Helper:
    """A running helper process."""

    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket) -> None:
        self._process = process
        self._link = link
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Ended]] = {}
        self._listener = asyncio.create_task(self._listen(), name="reading helper")

    @classmethod
    def start(cls) -> Helper:
        """Start the process. Needs a running loop.

        It takes requests at once and serves them when its parsers are loaded.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            # not in a thread: it takes 2 ms, and a cancellation could lose a process that is being started there
            process = _spawn(theirs, os.environ)
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        return not self._listener.done() and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read(
        self, path: str, *, name: str, limits: Limits, way: Sequence[int] = (), group: str = ""
    ) -> tuple[bytes, Ended]:
        """What the child wrote (one byte too many at most when it is over the limit) and how it ended.

        Documents of a group may be read by one child, one after the other; one without a group has its own.
        Raises HelperGone.
        """
        request_id = next(self._ids)
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = ended
        finished = False
        try:
            async with asyncio.timeout(limits.wall_s + GRACE_S):
                told = {"path": path, "name": name[-255:], "way": list(way), "group": group, "limits": asdict(limits)}
                request = {"id": request_id, **told}
                payload = await self._collect(request, limits.output_bytes)
                if len(payload) > limits.output_bytes:
                    await self._send({"cancel": request_id})
                result = payload, await ended
                finished = True
                return result
        except TimeoutError as error:
            self._process.kill()
            raise HelperGone from error
        finally:
            del self._waiting[request_id]
            if not finished:
                with suppress(HelperGone, BlockingIOError):
                    self._send_now({"cancel": request_id})

    async def close(self) -> None:
        """End the process: it kills its children when the link closes."""
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        self._link.close()
        await asyncio.to_thread(_wait, self._process)

    async def _collect(self, request: Mapping[str, Any], most: int) -> bytes:
        """Send the request with a pipe, and read the pipe until its end or until it is over `most` bytes."""
        source, sink = os.pipe()
        with os.fdopen(source, "rb", buffering=0) as pipe:
            try:
                await self._send(request, sink)
            finally:
                os.close(sink)
            stream = asyncio.StreamReader()
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stream), pipe
            )
            try:
                return await _up_to(stream, most)
            finally:
                transport.close()

    async def _send(self, message: Mapping[str, Any], *descriptors: int) -> None:
        while True:
            try:
                return self._send_now(message, *descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.01)  # the helper is behind: rare, its messages are small and it never blocks

    def _send_now(self, message: Mapping[str, Any], *descriptors: int) -> None:
        data = json.dumps(message).encode()
        if len(data) > MAX_REQUEST_BYTES:
            raise ValueError("the path of the document is too long")
        try:
            socket.send_fds(self._link, [data], descriptors)
        except BlockingIOError:
            raise
        except OSError as error:
            raise HelperGone from error

    async def _listen(self) -> None:
        """Hand each child's end to whoever waits for it; the helper's own end fails them all."""
        loop = asyncio.get_running_loop()
        try:
            with suppress(OSError):
                while data := await loop.sock_recv(self._link, MAX_REQUEST_BYTES):
                    ended = Ended.model_validate_json(data)
                    if (future := self._waiting.get(ended.id)) and not future.done():
                        future.set_result(ended)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(HelperGone())


async def _up_to(stream: asyncio.StreamReader, most: int) -> bytes:
    parts = bytearray()
    while len(parts) <= most and (part := await stream.read(CHUNK_BYTES)):
        parts += part
    return bytes(parts)


def _spawn(link: socket.socket, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A session of its own: Ctrl-C and hang-ups of the owner's terminal are the owner's business."""
    passed = {name: environ[name] for name in PASSED_ON if name in environ} | ONE_THREAD | KEPT_MEMORY
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell, nothing from outside
        COMMAND, stdin=link.fileno(), stdout=subprocess.DEVNULL, env=passed, start_new_session=True
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
