"""Who is blamed when an engine or a worker dies: the suspect rule, and the quarantine of a card."""

from __future__ import annotations

import pytest

from tests.hands import Hands, depths, keys, ready_hints, recount, sealed_batch, state, upkeep
from tests.workers import make_job
from viiwork.deliveries import DeliveryState, Endpoint
from viiwork.jobs import State
from viiwork.store import Store, callbacks, endpoints
from viiwork.store.endpoints import SealedPair
from viiwork.store.leases import Claim, Stale, Verdict

QUEUE = "batch.noop"


async def crew(store: Store, count: int) -> list[Hands]:
    """Workers that have joined."""
    workers = [Hands(store, f"gpu{n}", slots=8) for n in range(count)]
    for worker in workers:
        await worker.beat()
    return workers


async def reborn(store: Store, worker: Hands) -> Hands:
    """The same card's next life: what the last one held is taken back."""
    await upkeep(store).reap(worker.card.incarnation)
    fresh = Hands(store, worker.card.name.partition("@")[0], slots=8)
    await fresh.beat()
    await store.release(QUEUE)
    return fresh


async def suspects_out(store: Store) -> set[str]:
    return set(await store.client.smembers(f"{store.prefix}suspects.out:{QUEUE}"))


async def bring_back_what_pauses(store: Store) -> None:
    """Let every pause be over."""
    key = f"{store.prefix}delayed"
    for job in await store.client.zrange(key, 0, -1):
        await store.client.zadd(key, {job: 0})
    await upkeep(store).mend()


async def test_all_that_was_in_flight_when_a_worker_died_comes_back_as_suspects(store: Store) -> None:
    (worker,) = await crew(store, 1)
    await store.submit([make_job() for _ in range(4)])
    held = [(await worker.take()).fence.job for _ in range(3)]
    await reborn(store, worker)
    assert {job for job in held if (await store.job(job)).suspect} == set(held)
    assert [a.end for a in (await store.job(held[0])).history] == ["crashed"]
    assert await depths(store) == await recount(store)


async def test_only_as_many_suspects_are_released_as_there_are_workers(store: Store) -> None:
    first, _ = await crew(store, 2)
    await store.submit([make_job() for _ in range(6)])
    for _ in range(6):
        await first.take()
        await store.release(QUEUE)
    await reborn(store, first)
    assert len(await suspects_out(store)) == 2
    assert len(await ready_hints(store)) == 2


async def test_a_worker_holds_one_suspect_at_a_time(store: Store) -> None:
    """The second waits for a moment, uncharged, and is offered again."""
    first, second = await crew(store, 2)
    await store.submit([make_job() for _ in range(2)])
    held = [(await first.take()).fence.job for _ in range(2)]
    await upkeep(store).reap(first.card.incarnation)
    await Hands(store, "gpu0").beat()
    await store.release(QUEUE)
    one, other = await second.pop(), await second.pop()
    assert one is not None
    assert other is not None
    claim = await second.claim(one)
    assert isinstance(claim, Claim)
    assert claim.suspect
    assert await second.claim(other) == Stale("suspect")
    assert await state(store, other.job) is State.WAITING
    await second.commit(claim.fence)
    assert not (await store.job(one.job)).suspect, "what succeeds is cleared"
    await bring_back_what_pauses(store)
    assert (await second.take()).fence.job == other.job
    assert {one.job, other.job} == set(held)


async def test_a_job_is_dead_after_two_deaths_on_two_cards_as_the_only_suspect(store: Store) -> None:
    """Those that were in flight beside it are not."""
    workers = await crew(store, 2)
    poison = make_job()
    await store.submit([poison])
    await workers[0].take()
    workers[0] = await reborn(store, workers[0])
    innocents: set[str] = set()
    for at in (0, 1):
        assert await state(store, poison.id) is not State.DEAD
        fresh = [make_job() for _ in range(2)]
        innocents |= {job.id for job in fresh}
        await store.submit(fresh)
        while hint := await workers[at].pop():
            await workers[at].claim(hint)
        assert poison.id in await store.client.zrange(
            f"{store.prefix}inc:{workers[at].card.incarnation}:running", 0, -1
        )
        workers[at] = await reborn(store, workers[at])
    assert await state(store, poison.id) is State.DEAD
    status = await store.job(poison.id)
    assert [a.worker for a in status.history] == ["gpu0@here", "gpu0@here", "gpu1@here"]
    assert [job.id for job in await store.dead()] == [poison.id]
    assert not {job for job in innocents if await state(store, job) is State.DEAD}


async def test_a_card_that_a_suspect_died_on_does_not_get_it_again_while_another_lives(store: Store) -> None:
    first, _ = await crew(store, 2)
    job = make_job()
    await store.submit([job])
    for _ in range(2):
        await first.take()
        first = await reborn(store, first)
    hint = await first.pop()
    assert hint is not None
    assert await first.claim(hint) == Stale("suspect")
    await upkeep(store).reap(first.card.incarnation, crashed=False)
    assert await state(store, job.id) is State.WAITING


async def test_with_a_single_card_two_deaths_there_are_enough(store: Store) -> None:
    (worker,) = await crew(store, 1)
    job = make_job()
    await store.submit([job])
    for _ in range(3):
        assert await state(store, job.id) is not State.DEAD
        await worker.take()
        worker = await reborn(store, worker)
    assert await state(store, job.id) is State.DEAD


async def test_an_engine_that_died_under_a_living_worker_makes_suspects_too(store: Store) -> None:
    (worker,) = await crew(store, 1)
    await store.submit([make_job()])
    fence = (await worker.take()).fence
    assert await worker.commit(fence, Verdict.CRASHED) == ("ok", "waiting")
    assert (await store.job(fence.job)).suspect
    assert await worker.commit(fence, Verdict.CRASHED) == ("ok", "waiting"), "the same word twice is one"
    assert (await store.stats())["crashed"] == {QUEUE: 1}


async def test_who_was_stopped_on_purpose_makes_no_suspects(store: Store) -> None:
    (worker,) = await crew(store, 1)
    await store.submit([make_job()])
    job = (await worker.take()).fence.job
    await upkeep(store).reap(worker.card.incarnation, crashed=False)
    assert not (await store.job(job)).suspect


async def test_a_card_under_which_two_jobs_died_that_succeed_elsewhere_is_quarantined(store: Store) -> None:
    """And its worker is told by its next beat, and whoever watches the fleet, in the same commit."""
    watcher = Endpoint(id="ep_1", url="https://a.example/", tenant="anna@lab", events=("fleet.card_quarantined",))
    await endpoints.add(store, watcher, SealedPair("sealed"))
    bad, good = await crew(store, 2)
    for n in range(2):
        job = make_job()
        await store.submit([job])
        for _ in range(2):
            await bad.take()
            bad = await reborn(store, bad)
        claim = await good.take()
        assert claim.fence.job == job.id
        await good.commit(claim.fence)
        kept = upkeep(store)
        await kept.beat(bad.card, queues=[QUEUE], in_flight={}, held=[])
        assert bool(kept.quarantined) == (n == 1)
    assert "succeeded on other workers" in kept.quarantined
    ((_, told),) = await callbacks.listed(store, DeliveryState.PENDING)
    assert (told["type"], told["subject"]) == ("fleet.card_quarantined", bad.card.name)
    await store.lift_quarantine()
    await kept.beat(bad.card, queues=[QUEUE], in_flight={}, held=[])
    assert kept.quarantined == ""


async def test_a_suspect_that_ended_in_another_way_makes_room_for_the_next(store: Store) -> None:
    """Cancelled while it was released: nobody is barred from taking suspects by it."""
    (worker,) = await crew(store, 1)
    await store.submit([make_job() for _ in range(2)])
    held = [(await worker.take()).fence.job for _ in range(2)]
    worker = await reborn(store, worker)
    (out,) = await suspects_out(store)
    await store.cancel(out)
    await store.release(QUEUE)
    (other,) = await suspects_out(store)
    assert {out, other} == set(held)
    await worker.pop()
    assert (await worker.take()).fence.job == other


async def test_upkeep_strikes_off_suspects_that_are_out_no_more(store: Store) -> None:
    """As a worker of an earlier version leaves them, whose scripts know no suspects."""
    await crew(store, 1)
    await store.client.sadd(f"{store.prefix}suspects.out:{QUEUE}", "job_that_is_gone")
    await upkeep(store).mend()
    assert await suspects_out(store) == set()
    assert not await keys(store, "suspects.out:*")


@pytest.mark.parametrize("useless", ["quarantined", "without an engine"])
async def test_a_card_that_can_take_nothing_is_no_other_card(store: Store, useless: str) -> None:
    """The suspect goes to the card that it died on rather than round and round."""
    first, other = await crew(store, 2)
    job = make_job()
    await store.submit([job])
    for _ in range(2):
        await first.take()
        first = await reborn(store, first)
    if useless == "quarantined":
        await store.client.hset(f"{store.prefix}quarantine", other.card.name, "It is broken.")
    else:
        other.card = other.card.model_copy(update={"limit": 0})
        await other.beat()
    assert (await first.take()).fence.job == job.id


async def test_the_last_card_that_can_take_jobs_is_never_quarantined(store: Store) -> None:
    """Although another one lives that is quarantined already, and ends what it holds."""
    bad, good = await crew(store, 2)
    for n in range(2):
        await store.submit([make_job()])
        for _ in range(2):
            await bad.take()
            bad = await reborn(store, bad)
        claim = await good.take()
        if n == 1:
            await store.client.hset(f"{store.prefix}quarantine", good.card.name, "It is broken.")
        await good.commit(claim.fence)
    assert set(await store.client.hgetall(f"{store.prefix}quarantine")) == {good.card.name}


async def test_a_suspect_that_has_a_mark_runs_alone(store: Store) -> None:
    """A worker is kept free for it, so that no newcomer that kills engines can be why it gets its second mark."""
    first, second = await crew(store, 2)
    suspect = make_job()
    await store.submit([suspect])
    for _ in range(2):
        await first.take()
        first = await reborn(store, first)
    hint = await second.pop()
    await store.submit([make_job() for _ in range(3)])
    beside = await second.take()
    assert hint is not None
    assert await second.claim(hint) == Stale("suspect"), "something runs there"
    newcomer = await second.pop()
    assert newcomer is not None
    assert await second.claim(newcomer) == Stale("alone"), "it is kept free from now on"
    assert await depths(store) == await recount(store)

    await second.commit(beside.fence)
    await bring_back_what_pauses(store)
    claims = {}
    while found := await second.pop():
        claims[found.job] = await second.claim(found)
    assert isinstance(claims.pop(suspect.id), Claim)
    assert set(claims.values()) <= {Stale("alone")}
    await bring_back_what_pauses(store)
    fresh = await first.pop()
    assert fresh is not None
    assert isinstance(await first.claim(fresh), Claim), "others are not kept waiting"
    second = await reborn(store, second)
    assert await state(store, suspect.id) is State.DEAD
    assert not await keys(store, "inc:*:alone")


async def test_what_a_convicted_job_did_is_not_held_against_the_cards(store: Store) -> None:
    first, other = await crew(store, 2)
    await store.client.hset(f"{store.prefix}against", first.card.name, 1)
    await store.submit([make_job()])
    await first.take()
    workers = [await reborn(store, first), other]
    for at in (0, 1):
        await bring_back_what_pauses(store)
        await workers[at].take()
        workers[at] = await reborn(store, workers[at])
    assert len(await store.dead()) == 1
    assert await store.client.hgetall(f"{store.prefix}against") == {}


@pytest.mark.parametrize("end", ["cancelled", "paused"])
async def test_a_worker_is_not_kept_free_for_a_suspect_that_will_not_come(store: Store, end: str) -> None:
    first, second = await crew(store, 2)
    batch = await sealed_batch(store, 1)
    for _ in range(2):
        await first.take()
        first = await reborn(store, first)
    hint = await second.pop()
    await store.submit([make_job() for _ in range(3)])
    await second.take()
    assert hint is not None
    assert await second.claim(hint) == Stale("suspect")
    assert await keys(store, "inc:*:alone")
    if end == "cancelled":
        await store.cancel(hint.job)
    else:
        await store.pause(batch)
        await bring_back_what_pauses(store)
        await store.release(QUEUE)
    assert await keys(store, "inc:*:alone") == []
