"""`delta.lua` and what is heard of it, on the double and on the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hands import Hands, field, kept_for, keys, upkeep
from tests.workers import make_job
from viiwork.errors import StoreUnavailable
from viiwork.jobs import Lane, State
from viiwork.settings import load_settings
from viiwork.store import Fence, Store, embedded
from viiwork.store.gauges import surveyed
from viiwork.store.leases import Verdict
from viiwork.store.opening import make_store
from viiwork.store.said import heard, listen
from viiwork.work import ChatInput, Message

NOBODY, OVER = -1, -2
SPOKEN = ChatInput(messages=(Message(role="user", content="Say it."),), stream=True)


async def running(store: Store, **fields: Any) -> tuple[Hands, Fence]:
    """A job in a worker's hands."""
    hands = Hands(store)
    await hands.beat()
    await store.submit([make_job(lane=Lane.INTERACTIVE, input=SPOKEN, **fields)])
    return hands, (await hands.take(Lane.INTERACTIVE)).fence


async def say(store: Store, fence: Fence, text: str, *, at: int) -> int:
    """What `delta.lua` answers."""
    return int(await store.call("delta", fence.job, fence.attempt, fence.token, at, text))


async def test_nothing_is_written_while_nobody_listens(store: Store) -> None:
    """Not a key more than before."""
    _, fence = await running(store)
    before = await keys(store)
    assert await say(store, fence, "one", at=0) == NOBODY
    assert await keys(store) == before


async def test_pieces_are_heard_in_order_and_only_once_however_often_they_are_said(store: Store) -> None:
    """Said again, overlapping, or too far ahead: the answer is always where to go on, counted in bytes."""
    _, fence = await running(store)
    await listen(store, fence.job)
    assert await say(store, fence, "née ", at=0) == 5
    assert await say(store, fence, "née ", at=0) == 5
    assert await say(store, fence, "née Dupont", at=0) == 11
    assert await say(store, fence, "!", at=12) == 11
    assert await say(store, fence, "", at=11) == 11
    new = await heard(store, fence.job)
    assert [(piece.attempt, piece.at, piece.text) for piece in new.said] == [(1, 0, "née "), (1, 5, "Dupont")]
    assert (new.state, new.attempt) == (State.RUNNING, 1)
    assert [piece.text for piece in (await heard(store, fence.job, after=new.said[0].id)).said] == ["Dupont"]


async def test_a_worker_whose_fence_is_down_is_told_to_be_silent(store: Store) -> None:
    """Another attempt holds the job, or it has ended, or there is none."""
    hands, fence = await running(store)
    await listen(store, fence.job)
    assert await say(store, Fence(fence.job, 1, "another"), "x", at=0) == OVER
    assert await say(store, Fence("job_nothing", 1, "x"), "x", at=0) == OVER
    assert await say(store, fence, "one", at=0) == 3
    await hands.commit(fence, Verdict.GIVE_BACK)
    assert await say(store, fence, "more", at=3) == OVER


async def test_a_later_attempt_begins_anew_and_clears_what_the_earlier_one_said(store: Store) -> None:
    """Its first piece is heard after the others; only its own text is kept."""
    hands, fence = await running(store)
    await listen(store, fence.job)
    await say(store, fence, "first", at=0)
    known = (await heard(store, fence.job)).said[-1].id
    await hands.commit(fence, Verdict.GIVE_BACK)
    await store.release("interactive.noop")
    later = (await hands.take(Lane.INTERACTIVE)).fence
    assert await say(store, later, "second", at=0) == 6
    assert [(piece.attempt, piece.text) for piece in (await heard(store, fence.job, after=known)).said] == [
        (2, "second")
    ]
    assert [(piece.attempt, piece.text) for piece in (await heard(store, fence.job)).said] == [(2, "second")]


async def test_text_that_got_lost_is_asked_for_again(store: Store) -> None:
    """As when the server was restarted without its last second."""
    _, fence = await running(store)
    await listen(store, fence.job)
    await say(store, fence, "lost", at=0)
    await store.client.delete(f"{store.prefix}said:{fence.job}")
    assert await say(store, fence, " more", at=4) == 0
    assert await say(store, fence, "lost more", at=0) == 9


async def test_many_small_pieces_are_said_again_as_few(store: Store) -> None:
    """What is kept stays small; whoever has heard them goes on where it was."""
    _, fence = await running(store)
    await listen(store, fence.job)
    for at in range(1000):
        assert await say(store, fence, "x", at=at) == at + 1
    known = (await heard(store, fence.job)).said[-1].id
    assert await say(store, fence, "y", at=1000) == 0
    assert await say(store, fence, "x" * 1000 + "y", at=0) == 1001
    (again,) = (await heard(store, fence.job, after=known)).said
    assert (again.at, again.text[-2:]) == (0, "xy")


async def test_an_endless_text_is_cut_short(store: Store) -> None:
    """A mebibyte is said; the rest comes with the answer."""
    _, fence = await running(store)
    await listen(store, fence.job)
    at = 0
    while (reply := await say(store, fence, "x" * 65536, at=at)) >= 0:
        at = reply
    assert (reply, at) == (OVER, 1024 * 1024)


async def test_what_was_said_goes_by_itself_and_with_its_job(store: Store) -> None:
    """Two minutes after the last piece, or when the job's time is over; a listener's mark after seconds."""
    brief = kept_for(store, 1)
    hands, fence = await running(brief)
    await listen(store, fence.job)
    await say(store, fence, "one", at=0)
    assert 0 < await store.client.pttl(f"{store.prefix}said:{fence.job}") <= 120_000
    assert 0 < await store.client.pttl(f"{store.prefix}ears:{fence.job}") <= 12_000
    await hands.commit(fence)

    await upkeep(store).sweep()
    for _ in range(100):
        if await field(store, fence.job, "state") is None:
            break
        await upkeep(store).sweep()
    assert [key for key in await keys(store) if key.startswith(("said:", "ears:"))] == []


async def test_a_job_that_is_not_to_be_heard_says_so(store: Store) -> None:
    """`stream` stands in its status, and nowhere for what was not asked for it."""
    _, fence = await running(store)
    await store.submit([plain := make_job()])
    assert (await store.job(fence.job)).stream
    assert not (await store.job(plain.id)).stream


async def test_what_is_no_longer_kept_has_no_state(store: Store) -> None:
    """Nor anything said."""
    new = await heard(store, "job_nothing")
    assert (new.state, new.attempt, new.said) == (None, 0, ())


@pytest.mark.parametrize("text", ["\x00", "\n\r\t", "𝔘🙂", "\u2028"])
async def test_any_text_comes_through(store: Store, text: str) -> None:
    """Control characters, line separators, characters of four bytes."""
    _, fence = await running(store)
    await listen(store, fence.job)
    assert await say(store, fence, text, at=0) == len(text.encode())
    assert [piece.text for piece in (await heard(store, fence.job)).said] == [text]


async def test_the_fleet_shows_who_waits_and_for_how_long(store: Store) -> None:
    """The ten with the most unfinished jobs, and each queue's oldest."""
    for at in range(12):
        await store.submit([make_job(tenant=f"t{at:02}@lab") for _ in range(at + 1)])
    shown = await surveyed(store, await store.fleet())
    assert [(load.tenant, load.unfinished) for load in shown.tenants] == [
        (f"t{at:02}@lab", at + 1) for at in range(11, 1, -1)
    ]
    (queue,) = shown.queues
    assert queue.oldest_s >= 0
    assert (await store.fleet()).tenants == ()


async def test_a_full_server_takes_no_text_and_lets_the_answer_through(tmp_path: Path) -> None:
    """What is said is a luxury; commits are not. A listener is refused too, and still hears how the job stands."""
    settings = load_settings({"fleet": {"name": "full", "state_dir": str(tmp_path)}})
    server = embedded.start(settings)
    store = make_store(settings, server.url)
    try:
        hands, fence = await running(store)
        await listen(store, fence.job)
        await store.client.config_set("maxmemory", "1mb")
        with pytest.raises(StoreUnavailable, match="full"):
            await say(store, fence, "one", at=0)
        with pytest.raises(StoreUnavailable, match="full"):
            await listen(store, fence.job)
        assert (await heard(store, fence.job)).state is State.RUNNING
        assert await hands.commit(fence) == ("ok", "succeeded")
    finally:
        await store.close()
        server.stop()
