"""A worker's voice: what it says, to whom, and that nothing holds it or its job up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.hands import Hands, keys
from tests.workers import eventually, make_job
from viiwork.errors import StoreUnavailable
from viiwork.jobs import Lane
from viiwork.store import Fence, Store
from viiwork.store.leases import Verdict
from viiwork.store.said import heard, listen
from viiwork.store.scripts import Call
from viiwork.work import ChatInput, Message
from viiwork_workers.tick import Tick
from viiwork_workers.voice import GROUP_S, PIECE_BYTES, Voice

SPOKEN = ChatInput(messages=(Message(role="user", content="Say it."),), stream=True)


class Counted:
    """A store that counts the calls of `delta`, and answers none of them while it is away."""

    def __init__(self, store: Store) -> None:
        self.envelope = store.envelope
        self.trips: list[list[Call]] = []
        self.away = False
        self._store = store

    @property
    def calls(self) -> list[Call]:
        return [call for trip in self.trips for call in trip]

    async def call_many(self, calls: Sequence[Call]) -> list[Any]:
        self.trips.append(list(calls))
        if self.away:
            raise StoreUnavailable("Redis does not answer.")
        return await self._store.call_many(calls)


async def claimed(store: Store, *, count: int = 1) -> list[Fence]:
    """Jobs in a worker's hands."""
    hands = Hands(store, slots=2 * count)
    await hands.beat()
    await store.submit([make_job(lane=Lane.INTERACTIVE, input=SPOKEN) for _ in range(count)])
    return [(await hands.take(Lane.INTERACTIVE)).fence for _ in range(count)]


def voice_of(counted: Counted, fence: Fence, tick: Tick | None = None) -> Voice:
    return Voice(tick or Tick(counted), fence)  # type: ignore[arg-type] # it has what a tick asks of a store


async def text_of(store: Store, fence: Fence) -> str:
    return "".join(piece.text for piece in (await heard(store, fence.job)).said)


async def comes(store: Store, fence: Fence, text: str) -> None:
    async def there() -> bool:
        return await text_of(store, fence) == text

    await eventually(there, what=f"{len(text)} characters are said")


async def test_the_first_piece_goes_at_once_and_what_follows_in_groups(fake_store: Store) -> None:
    """Fifty words in the same moment are two calls."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    counted = Counted(fake_store)
    voice = voice_of(counted, fence)
    for word in range(50):
        voice.say(f"{word} ")
        if word == 0:
            await comes(fake_store, fence, "0 ")
    await comes(fake_store, fence, "".join(f"{word} " for word in range(50)))
    assert len(counted.calls) == 2


async def test_jobs_of_one_worker_share_their_round_trips(fake_store: Store) -> None:
    """What twenty of them say in the same moment is one trip, and nothing is released with it."""
    fences = await claimed(fake_store, count=20)
    counted = Counted(fake_store)
    tick = Tick(counted)  # type: ignore[arg-type] # it has what a tick asks of a store
    for fence in fences:
        await listen(fake_store, fence.job)
    for fence in fences:
        voice_of(counted, fence, tick).say("word")
    for fence in fences:
        await comes(fake_store, fence, "word")
    assert len(counted.trips) == 1
    assert {call.script for call in counted.calls} == {"delta"}


async def test_nobody_is_told_anything_until_somebody_listens_and_then_all(fake_store: Store) -> None:
    """The text is not even sent a second time while it is only asked."""
    (fence,) = await claimed(fake_store)
    counted = Counted(fake_store)
    voice = voice_of(counted, fence)
    before = await keys(fake_store)
    voice.say("one ")

    async def asked_again() -> bool:
        return len(counted.calls) >= 3

    await eventually(asked_again, what="it asks again")
    assert await keys(fake_store) == before
    assert [call.args[-1] for call in counted.calls[1:3]] == [b"", b""]
    voice.say("two")
    await listen(fake_store, fence.job)
    await comes(fake_store, fence, "one two")


async def test_a_long_text_is_said_in_pieces_cut_between_characters(fake_store: Store) -> None:
    """Each as long as one call may be."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    text = "a" + "€🙂" * 10_000
    voice = voice_of(counted := Counted(fake_store), fence)
    voice.say(text)
    await comes(fake_store, fence, text)
    assert len(counted.calls) == -(-len(text.encode()) // (PIECE_BYTES - 3))
    assert all(len(call.args[-1]) <= PIECE_BYTES for call in counted.calls if isinstance(call.args[-1], bytes))


async def test_what_redis_lost_is_said_again(fake_store: Store) -> None:
    """From the beginning of the attempt."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    voice = voice_of(Counted(fake_store), fence)
    voice.say("lost ")
    await comes(fake_store, fence, "lost ")
    await fake_store.client.delete(f"{fake_store.prefix}said:{fence.job}")
    voice.say("and found")
    await comes(fake_store, fence, "lost and found")


async def test_a_redis_that_is_away_only_delays_the_text(fake_store: Store) -> None:
    """Nothing is raised, and nothing is forgotten."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    counted = Counted(fake_store)
    counted.away = True
    voice = voice_of(counted, fence)
    voice.say("one ")
    await asyncio.sleep(2 * GROUP_S)
    voice.say("two")
    counted.away = False
    await comes(fake_store, fence, "one two")


async def test_it_falls_silent_when_the_fence_is_down(fake_store: Store) -> None:
    """One call that says so, and no more, however much the engine still writes."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    await Hands(fake_store).commit(fence, Verdict.GIVE_BACK)
    counted = Counted(fake_store)
    voice = voice_of(counted, fence)

    async def told() -> bool:
        return len(counted.calls) == 1

    voice.say("late")
    await eventually(told, what="it is told to be silent")
    await asyncio.sleep(0)
    voice.say(" and later")
    await asyncio.sleep(2 * GROUP_S)
    assert len(counted.calls) == 1
    assert await text_of(fake_store, fence) == ""


async def test_after_the_end_nothing_more_is_said(fake_store: Store) -> None:
    """Also of what was waiting for its group; the answer has it."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    voice = voice_of(counted := Counted(fake_store), fence)
    voice.say("one ")
    await comes(fake_store, fence, "one ")
    voice.say("two")
    voice.finish()
    voice.say("three")
    await asyncio.sleep(2 * GROUP_S)
    assert len(counted.calls) == 1
    voice.finish()


async def test_a_lone_surrogate_does_no_harm(fake_store: Store) -> None:
    """It cannot be written down; the answer with it could not be committed either."""
    (fence,) = await claimed(fake_store)
    await listen(fake_store, fence.job)
    voice_of(Counted(fake_store), fence).say("a\ud800b")
    await comes(fake_store, fence, "a?b")
