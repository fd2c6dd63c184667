"""Word of changes, as it comes: one connection a process hears for everybody who listens to a job or a batch.

Redis publishes every change on a channel of that id's own. What is published is a wake-up call, and it may be lost:
whoever is woken reads the record again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from viiwork.errors import Busy

log = logging.getLogger("viiwork.watch")

MAX_LISTENERS = 1000
LOOK_AGAIN_S = 5.0
"""A listener is woken at least this often: a call may be lost, and a deadline passes without one."""
QUIET_S = 5.0
"""After so much silence the server is asked whether it is there; after as much again the connection is given up."""
PAUSE_S = 0.1
"""Between two wake-ups of one listener: a busy analysis changes a thousand times a second."""
RECONNECT_S = 1.0
MOST_WORDS = 64
T = TypeVar("T")
Words = tuple[str, ...]
"""What was published meanwhile; an empty word where something may have been missed."""


class Watch:
    """`async with watch.listen(id) as changes: async for _ in changes: …` - read the record, then go in."""

    def __init__(self, client: Redis, *, prefix: str, max_listeners: int = MAX_LISTENERS) -> None:
        self._client = client
        self._head = f"{prefix}ev:"
        self._max_listeners = max_listeners
        self._ears: dict[str, set[_Ear]] = {}
        self._heard: set[str] = set()  # channels that the server has confirmed on the connection that there is
        self._ids_changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self._ears.values()))

    @asynccontextmanager
    async def listen(self, any_id: str, *, pause_s: float = PAUSE_S) -> AsyncIterator[AsyncIterator[Words]]:
        """Wake-ups for one id, at most one every `pause_s`, with what was said; they end with the watch. Raises Busy.

        The first comes once nothing can be missed any more, so what was read before it may be out of date.
        """
        if self.listeners >= self._max_listeners:
            hint = "Ask again a little later, or without waiting for changes."
            raise Busy("Too many wait for changes here already.", hint=hint, retry_after_s=LOOK_AGAIN_S)
        channel = self._head + any_id
        ear = _Ear()
        self._join(channel, ear)
        try:
            async with aclosing(self._wake_ups(ear, pause_s)) as changes:
                yield changes
        finally:
            self._leave(channel, ear)

    async def close(self) -> None:
        """Let go of the connection; whoever still listens hears the end."""
        self.end()
        if self._serving is not None:
            await _stop(self._serving)

    def end(self) -> None:
        """Send everybody home, and let nobody wait any more."""
        self._closed = True
        for ears in self._ears.values():
            _wake(ears)

    async def _wake_ups(self, ear: _Ear, pause_s: float) -> AsyncGenerator[Words, None]:
        while not self._closed:
            await _within(LOOK_AGAIN_S, ear.wait())
            if self._closed:
                return
            ear.clear()
            yield ear.take()
            await asyncio.sleep(pause_s)

    def _join(self, channel: str, ear: _Ear) -> None:
        self._ears.setdefault(channel, set()).add(ear)
        if channel in self._heard:
            ear.set()  # no confirmation will come for this one
        self._ids_changed.set()
        if not self._closed and (self._serving is None or self._serving.done()):
            self._serving = asyncio.create_task(self._serve())

    def _leave(self, channel: str, ear: _Ear) -> None:
        self._ears[channel].discard(ear)
        if not self._ears[channel]:
            del self._ears[channel]
            self._ids_changed.set()

    async def _serve(self) -> None:
        """Hear, connecting again whenever the connection is lost."""
        told = False
        while True:
            try:
                async with _subscription(self._client) as pubsub:
                    told = False
                    await self._follow(pubsub)
            except (RedisError, OSError) as error:
                if not told:
                    log.warning("changes are not heard for now (%s)", type(error).__name__)
                told = True
            finally:
                self._heard.clear()
            await asyncio.sleep(RECONNECT_S)

    async def _follow(self, pubsub: PubSub) -> None:
        """Keep the connection subscribed to what is listened to, and hear, one at a time.

        redis-py's reads may be cancelled, but a command sent while one reconnects would break into the handshake.
        """
        subscribed: set[str] = set()
        while True:
            self._ids_changed.clear()
            wanted = set(self._ears)
            if fresh := wanted - subscribed:
                await pubsub.subscribe(*fresh)
            if stale := subscribed - wanted:
                await pubsub.unsubscribe(*stale)
            subscribed = wanted
            await _until(self._ids_changed, self._hear(pubsub))

    async def _hear(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=QUIET_S)
            if message is not None:
                asked = False
                self._hand_on(message)
            elif asked:
                raise ConnectionLost("the server has fallen silent")
            else:
                await pubsub.ping()
                asked = True

    def _hand_on(self, message: dict[str, Any]) -> None:
        kind, channel = message["type"], message["channel"]
        if kind == "subscribe":  # also after a lost connection: what was said meanwhile was missed
            self._heard.add(channel)
        elif kind == "unsubscribe":
            self._heard.discard(channel)
        if kind in ("subscribe", "message"):
            _wake(self._ears.get(channel, ()), message["data"] if kind == "message" else "")


class _Ear(asyncio.Event):
    """One listener, and what was said since it was woken last: the last words if there were too many."""

    def __init__(self) -> None:
        super().__init__()
        self.words: deque[str] = deque(maxlen=MOST_WORDS)

    def take(self) -> Words:
        words = tuple(self.words)
        self.words.clear()
        return words


class _Once(Retry):
    """Never connects again by itself: redis-py would do that in whatever task happens to read or write."""

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 0)

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],  # noqa: ARG002 - it is what would connect again
        is_retryable: Callable[[Exception], bool] | None = None,  # noqa: ARG002 - nothing is retried
        with_failure_count: bool = False,  # noqa: ARG002
    ) -> T:
        return await do()


@asynccontextmanager
async def _subscription(client: Redis) -> AsyncIterator[PubSub]:
    """A pub/sub connection of the client's, lent for as long as it lasts."""
    async with client.pubsub() as pubsub:
        await pubsub.connect()
        connection = pubsub.connection
        kept, connection.retry = connection.retry, _Once()
        try:
            yield pubsub
        finally:
            connection.retry = kept


async def _until(changed: asyncio.Event, hearing: Any) -> None:
    """Run `hearing` until something has changed; raises what it raises."""
    tasks = asyncio.create_task(hearing), asyncio.create_task(changed.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            await _stop(task)


async def _stop(task: asyncio.Task[Any]) -> None:
    while not task.done():  # a library under way may swallow one cancellation, as fakeredis does
        task.cancel()
        await asyncio.wait((task,), timeout=1)
    if not task.cancelled():
        task.exception()  # it is known, or of no interest any more


async def _within(seconds: float, waiting: Awaitable[Any]) -> None:
    try:
        await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        return


def _wake(ears: Iterable[_Ear], word: str = "") -> None:
    for ear in ears:
        ear.words.append(word)
        ear.set()
