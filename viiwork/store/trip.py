"""One round trip: commands out, replies back, on one connection of a client's pool.

redis-py's own pipeline does the same for twice the processor time (125 us against 75 for two script calls, measured):
it looks at each command for features that scripts do not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

Command = tuple[Any, ...]


async def trip(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """The reply to each command, or the error that it was answered with, in order.

    Tried again on a new connection when the first is lost, as often as the client's own retry says: send only what may
    be done twice. Raises redis' errors when that does not help.
    """
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        replies: list[Any] = await connection.retry.call_with_retry(
            lambda: _ask(connection, commands), lambda _: connection.disconnect()
        )
    finally:
        await pool.release(connection)
    return replies


async def _ask(connection: Any, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands))
    return [await _reply(connection) for _ in commands]


async def _reply(connection: Any) -> Any:
    """Any other error than the server's own "no" ends the connection, so no reply is left behind on it."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
