"""A server whose clock is put back leaves moments in the future: nobody may wait for them."""

from __future__ import annotations

import time

import pytest

from tests.hands import Hands, ready_hints, state, upkeep
from tests.workers import make_job
from viiwork.jobs import State
from viiwork.store import Store
from viiwork_workers.lease import Contact, may_reap

HOUR_MS = 3_600_000


async def ahead(store: Store, key: str) -> None:
    """What a clock that was an hour ahead has written into a sorted set."""
    name = f"{store.prefix}{key}"
    for member in await store.client.zrange(name, 0, -1):
        await store.client.zincrby(name, HOUR_MS, str(member))


async def test_a_worker_that_died_before_the_clock_was_put_back_is_reaped(store: Store) -> None:
    """Its last beat counts from the moment in which somebody sees that it lies in the future."""
    hands = Hands(store)
    await hands.beat()
    await store.submit([make_job()])
    claim = await hands.take()
    await ahead(store, "incs")
    silent = upkeep(store, lease_ttl_s=0.0)
    await silent.reap()
    assert await state(store, claim.fence.job) is State.WAITING
    assert await store.client.zcard(f"{store.prefix}incs") == 0


async def test_a_hint_that_vanished_before_the_clock_was_put_back_is_published_again(store: Store) -> None:
    """The job waited in the ready queue, and nobody has it."""
    hands = Hands(store)
    await hands.beat()
    await store.submit([make_job()])
    assert await hands.pop() is not None
    await ahead(store, "released:batch.noop")
    keeping = upkeep(store, hint_grace_s=0.0)
    await keeping.mend()
    await keeping.mend()
    assert len(await ready_hints(store)) == 1


async def test_a_claim_whose_reply_was_lost_before_the_clock_was_put_back_is_given_back(store: Store) -> None:
    """Nobody holds the job, and the next beats say so."""
    hands = Hands(store)
    await hands.beat()
    await store.submit([make_job()])
    claim = await hands.take()
    await ahead(store, f"inc:{hands.card.incarnation}:running")
    await hands.beat(claim.fence)
    since = await store.client.zscore(f"{store.prefix}inc:{hands.card.incarnation}:running", claim.fence.job)
    assert since is not None
    assert float(since) < await upkeep(store).server_ms() + 1000


async def test_nobody_is_called_dead_by_a_clock_that_jumped_since_the_last_beat(store: Store) -> None:
    """A machine that slept, for one: upkeep may have its turn before the beat has."""
    keeping, contact = upkeep(store), Contact(needed_s=0.0)
    assert await may_reap(contact, keeping)
    contact = Contact(needed_s=5.0)
    then_s = await keeping.server_ms() / 1000 - HOUR_MS / 1000
    for ago_s in range(10, -1, -1):
        contact.seen(here_s=time.monotonic() - ago_s, server_s=then_s - ago_s)
    assert contact.long_enough(here_s=time.monotonic())
    assert not await may_reap(contact, keeping)


async def test_who_was_frozen_between_its_look_and_the_reaping_calls_nobody_dead(store: Store) -> None:
    """The others were frozen too, and have not beaten yet; judged is how they stood at the look."""
    keeping, hands = upkeep(store, lease_ttl_s=2.0), Hands(store)
    await store.submit([make_job()])
    await hands.beat()
    await hands.take()
    now_ms = await keeping.server_ms()
    await store.client.zadd(f"{store.prefix}incs", {hands.card.incarnation: now_ms - 6000})
    assert await keeping.reap(at_ms=now_ms - 5000) == 0
    assert await keeping.reap(at_ms=now_ms) == 1


async def test_a_worker_that_has_just_come_goes_by_what_the_others_have_seen(store: Store) -> None:
    """Where all are replaced one by one, none of them knows Redis for a lease."""
    keeping = upkeep(store, lease_ttl_s=5.0)
    assert not await may_reap(Contact(needed_s=5.0), keeping)
    await store.client.hincrby(f"{store.prefix}contact", "since_ms", -6000)
    assert await may_reap(Contact(needed_s=5.0), keeping)


@pytest.mark.parametrize("away_ms", [1300, HOUR_MS, -HOUR_MS])
async def test_a_gap_in_the_fleets_upkeep_starts_the_count_again(store: Store, away_ms: int) -> None:
    """Redis was away, all were frozen, or its clock jumped."""
    keeping = upkeep(store, lease_ttl_s=5.0)
    await keeping.unbroken_ms()
    await store.client.hincrby(f"{store.prefix}contact", "since_ms", -6000)
    assert await keeping.unbroken_ms() >= 6000
    await store.client.hincrby(f"{store.prefix}contact", "last_ms", -away_ms)
    assert await keeping.unbroken_ms() == 0
