"""A TCP proxy before Redis that can fall silent, drop what passes through it, and be slow."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 65_536
T = TypeVar("T")


class Proxy:
    """Stands between some processes and the server at `url`; runs on a thread of its own.

    While it is silent it takes connections and bytes and passes nothing on, as a network does that loses every packet:
    what was under way arrives late, unless one side gives the connection up first. With `tls` it ends TLS, as a server
    that has been built with it would.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = urlsplit(url)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._delay_s = 0.0
        self._thread.start()
        self._server = self._do(self._listen())

    @property
    def url(self) -> str:
        """For redis-py, with the server's password: never print it."""
        port = self._server.sockets[0].getsockname()[1]
        return f"{'rediss' if self._tls else 'redis'}://:{self._target.password or ''}@127.0.0.1:{port}/0"

    def silence(self) -> None:
        """Pass nothing on until `speak`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def speak(self) -> None:
        """Pass everything on again, what waited first."""
        self._loop.call_soon_threadsafe(self._open.set)

    def delay(self, seconds: float) -> None:
        """Hold everything that passes back for so long, in either direction."""
        self._delay_s = seconds

    def drop(self) -> None:
        """Reset every connection that there is."""
        self._do(self._drop())

    def close(self) -> None:
        """End the proxy and what passes through it."""
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)
        self._loop.close()

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    async def _listen(self) -> asyncio.Server:
        self._open.set()
        return await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)

    async def _drop(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _shut(self) -> None:
        self._server.close()
        self._open.set()
        await self._drop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            far_reader, far_writer = await self._reach()
            self._writers.add(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            self._writers.discard(far_writer)
        writer.transport.abort()
        self._writers.discard(writer)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(self._target.path))
        return await asyncio.open_connection(self._target.hostname, self._target.port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self._delay_s)
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
