"""A point-in-time copy of a whole server's data, taken by the replication handshake.

The server forks and sends what it held at that moment, while it goes on serving. Works on any server that lets us ask
(`SYNC`), over a socket, TCP or TLS; nothing is written on the server's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from redis.asyncio import Connection as RedisConnection
from redis.asyncio import Redis
from redis.exceptions import RedisError

from viiwork.errors import StoreUnavailable
from viiwork.store.server_check import explain

SILENCE_S = 60.0
"""The server says at least a line break a second while it prepares."""
CHUNK = 256 * 1024
MARK_BYTES = 40
HANDSHAKE = (("REPLCONF", "capa", "eof"), ("REPLCONF", "rdb-only", "1"))
"""Send it straight from memory, and nothing of what comes afterwards."""


async def stream_rdb(client: Redis, *, url: str = "") -> AsyncIterator[bytes]:
    """The server's data in the format of its snapshots, piece by piece. Raises StoreUnavailable."""
    try:
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call] # redis-py leaves it so
        try:
            async for piece in _pieces(connection):
                yield piece
        finally:
            await connection.disconnect()
            await client.connection_pool.release(connection)
    except (RedisError, OSError, EOFError, TimeoutError) as error:
        raise explain(error, url) from error


async def _pieces(connection: RedisConnection) -> AsyncIterator[bytes]:
    for command in HANDSHAKE:
        await connection.send_command(*command)
        await connection.read_response()
    await connection.send_command("SYNC")
    # What follows is no reply of the protocol, so redis-py cannot read it. Its stream is private: a test holds it.
    stream = connection._reader
    if not isinstance(stream, asyncio.StreamReader):
        raise StoreUnavailable("This version of redis-py gives no access to its stream.")
    head = await _head(stream)
    if head.startswith(b"EOF:"):
        async for piece in _until(stream, head[4:]):
            yield piece
    else:
        async for piece in _exactly(stream, int(head)):
            yield piece


async def _head(stream: asyncio.StreamReader) -> bytes:
    """What stands behind the `$`: a length, or `EOF:` and the mark that will end the data."""
    while True:
        line = (await asyncio.wait_for(stream.readline(), SILENCE_S)).strip()
        if line.startswith(b"$"):
            return line[1:]
        if line.startswith(b"-"):
            reason = line[1:].decode("utf-8", "replace")
            raise StoreUnavailable(
                f"Redis gives no copy of its data: {reason}.",
                hint="Its user needs the right to SYNC; see docs/redis.md.",
            )
        if not line and stream.at_eof():
            raise EOFError


async def _until(stream: asyncio.StreamReader, mark: bytes) -> AsyncIterator[bytes]:
    held = b""
    while True:
        held += await _some(stream, CHUNK)
        if held.endswith(mark):
            yield held[:-MARK_BYTES]
            return
        yield held[:-MARK_BYTES]
        held = held[-MARK_BYTES:]


async def _exactly(stream: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await _some(stream, min(CHUNK, size))
        size -= len(piece)
        yield piece


async def _some(stream: asyncio.StreamReader, most: int) -> bytes:
    piece = await asyncio.wait_for(stream.read(most), SILENCE_S)
    if not piece:
        raise EOFError
    return piece
