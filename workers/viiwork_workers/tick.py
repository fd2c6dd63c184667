"""Script calls of one moment in one round trip: what many jobs ask of Redis while an earlier trip is under way."""

from __future__ import annotations

import asyncio
from typing import Any

from viiwork.store import Store
from viiwork.store.scripts import Call
from viiwork.store.steering import READ_AHEAD


class Tick:
    """Gathers calls on one event loop; at most one round trip is under way, so a busy loop sends large ones.

    After every claim and commit the queue is released to again, in the same trip: `release` names it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Call, asyncio.Future[Any]]] = []
        self._queues: set[str] = set()
        self._sender: asyncio.Task[None] | None = None

    async def call(self, call: Call, *, release: str = "") -> Any:
        """The script's reply. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((call, answer))
        if release:
            self._queues.add(release)
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            queues, self._queues = self._queues, set()
            release = [Call("release", (self._store.envelope, READ_AHEAD, *queues))] if queues else []
            try:
                replies: list[Any] = await self._store.call_many([*(call for call, _ in batch), *release])
            except Exception as error:  # noqa: BLE001 - whatever it is, the jobs that wait must hear of it
                replies = [error] * len(batch)
            for (_, answer), reply in zip(batch, replies, strict=False):  # the release's reply is nobody's
                _settle(answer, reply)


def _settle(answer: asyncio.Future[Any], reply: Any) -> None:
    if answer.done():
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
