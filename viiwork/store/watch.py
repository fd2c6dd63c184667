"""Word of changes, as it comes: one connection a process hears for everybody who listens to a job or a batch.

Redis publishes every change on a channel of that id's own. What is published is a wake-up call, and it may be lost:
whoever is woken reads the record again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import Context
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from viiwork.errors import Busy
from viiwork.store.ears import Ear, Listener, Mark, Words

log = logging.getLogger("viiwork.watch")

MAX_LISTENERS = 1000
LOOK_AGAIN_S = 5.0
"""A listener is woken at least this often: a call may be lost, and a deadline passes without one."""
QUIET_S = 5.0
"""After so much silence the server is asked whether it is there; after as much again the connection is given up."""
PAUSE_S = 0.1
"""Between two wake-ups of one listener: a busy analysis changes a thousand times a second."""
RECONNECT_S = 1.0
T = TypeVar("T")


class Watch:
    """`async with watch.listen(id) as changes: async for _ in changes: …` - read the record, then go in."""

    def __init__(self, client: Redis, *, prefix: str, max_listeners: int = MAX_LISTENERS) -> None:
        self.mark = Mark()
        """Of the jobs that this process submits to wait for them itself."""
        self._client = client
        self._head = f"{prefix}ev:"
        self._own = self.mark.pattern(self._head)
        self._max_listeners = max_listeners
        self._ears: dict[str, set[Listener]] = {}
        self._heard: set[str] = set()  # channels, and the pattern of own jobs, that the server has confirmed by now
        self._ids_changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self.closed = False
        """This process is shutting down: nobody is told anything any more."""

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return sum(map(len, self._ears.values()))

    @asynccontextmanager
    async def listen(self, any_id: str, *, pause_s: float = PAUSE_S) -> AsyncIterator[AsyncIterator[Words]]:
        """Wake-ups for one id, at most one every `pause_s`, with what was said; they end with the watch. Raises Busy.

        The first comes once nothing can be missed any more, so what was read before it may be out of date.
        """
        ear = Ear(any_id)
        with self.told(ear, any_id):
            if self._hears(any_id):
                ear.hear(any_id, "")  # no confirmation will come for this one
            async with aclosing(self._wake_ups(ear, any_id, pause_s)) as changes:
                yield changes

    @contextmanager
    def told(self, listener: Listener, *ids: str) -> Iterator[None]:
        """`listener` hears what is said of these ids: of own jobs from now on, of others from an empty word on.

        Raises Busy.
        """
        if self.listeners >= self._max_listeners:
            hint = "Ask again a little later, or without waiting for changes."
            raise Busy("Too many wait for changes here already.", hint=hint, retry_after_s=LOOK_AGAIN_S)
        self._join(listener, ids)
        try:
            yield
        finally:
            self._leave(listener, ids)

    async def close(self) -> None:
        """Let go of the connection; whoever still listens hears the end."""
        self.end()
        if self._serving is not None:
            await _stop(self._serving)

    def end(self) -> None:
        """Send everybody home, and let nobody wait any more."""
        self.closed = True
        for any_id in list(self._ears):
            self._tell(any_id)

    async def _wake_ups(self, ear: Ear, any_id: str, pause_s: float) -> AsyncGenerator[Words, None]:
        while not self.closed:
            await ear.wait(LOOK_AGAIN_S)
            if self.closed:
                return
            yield ear.take(any_id)
            await asyncio.sleep(pause_s)

    def _join(self, listener: Listener, ids: Iterable[str]) -> None:
        for any_id in ids:
            self._ears.setdefault(any_id, set()).add(listener)
            if not self.mark.is_on(any_id):
                self._ids_changed.set()
        if not self.closed and (self._serving is None or self._serving.done()):
            # for everybody: what it logs is not of the request that came first
            self._serving = asyncio.create_task(self._serve(), context=Context())

    def _leave(self, listener: Listener, ids: Iterable[str]) -> None:
        for any_id in ids:
            self._ears[any_id].discard(listener)
            if not self._ears[any_id]:
                del self._ears[any_id]
                if not self.mark.is_on(any_id):
                    self._ids_changed.set()

    def _hears(self, any_id: str) -> bool:
        """Whether the server has confirmed that what is said of this id is heard."""
        own = self.mark.is_on(any_id)
        return (self._own if own else self._head + any_id) in self._heard

    def _tell(self, any_id: str, word: str = "") -> None:
        for listener in tuple(self._ears.get(any_id, ())):
            listener.hear(any_id, word)

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
        await pubsub.psubscribe(self._own)
        while True:
            self._ids_changed.clear()
            wanted = {self._head + any_id for any_id in self._ears if not self.mark.is_on(any_id)}
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
        if kind in ("message", "pmessage"):
            self._tell(channel[len(self._head) :], message["data"])
        elif kind == "subscribe":  # also after a lost connection: what was said meanwhile was missed
            self._heard.add(channel)
            self._tell(channel[len(self._head) :])
        elif kind == "unsubscribe":
            self._heard.discard(channel)
        elif kind == "psubscribe":
            self._heard.add(channel)
            for any_id in filter(self.mark.is_on, tuple(self._ears)):
                self._tell(any_id)


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
