"""Questions of one moment in one round trip: what many listeners ask of Redis while an earlier trip is under way.

An engine writes the next token of all its requests in the same step, so their listeners wake together. Each with a trip
of its own took the door a connection apiece and 0.1 ms of processor time more (measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from viiwork.store.connection import Connection, unavailable
from viiwork.store.scripts import Call
from viiwork.store.trip import Command, trip


class Gathering:
    """Asks for all who ask on one event loop; at most one round trip is under way."""

    def __init__(self, store: Connection) -> None:
        self._client = store.client
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """The reply to each command. Raises StoreUnavailable."""
        replies = await self.ask(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def call(self, store: Connection, calls: Sequence[Call | Command]) -> list[Any]:
        """The reply to each script and command, or its error. Send only what may be done twice."""
        replies = await self.ask([call if isinstance(call, tuple) else store.scripts.command(call) for call in calls])
        if any(isinstance(reply, NoScriptError) for reply in replies):  # a server that restarted has forgotten them
            return await store.call_many(calls)
        return replies

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The reply to each command, or its error in our words; a script that the server does not know in its own."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        self._waiting.append((commands, answer))
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send(), context=Context())  # it is no part of this request
        return [_in_our_words(reply) for reply in await answer]

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                replies = await trip(self._client, [command for commands, _ in batch for command in commands])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                replies = [error] * sum(len(commands) for commands, _ in batch)
            for commands, answer in batch:
                mine, replies = replies[: len(commands)], replies[len(commands) :]
                if not answer.done():
                    answer.set_result(mine)


def _in_our_words(reply: Any) -> Any:
    ours = isinstance(reply, RedisError | OSError) and not isinstance(reply, NoScriptError)
    return unavailable(reply) if ours else reply
