"""`pop.lua`: how many hints a worker gets at once, by its share of what there is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hands import Hands
from tests.workers import make_job
from viiwork.jobs import Lane
from viiwork.queues import HintId
from viiwork.store import Store


async def pop(store: Store, *, room: int, held: int, slots: int, queue: str = "batch.noop") -> list[str]:
    """The jobs whose hints a worker gets."""
    answer: Any = await store.call("pop", queue, room, held, slots)
    _, hints = answer
    found = [HintId.parse(json.loads(hint)["headers"]["id"]) for hint in hints]
    return [hint.job for hint in found if hint]


async def put(store: Store, count: int, *, workers: int = 1, slots: int = 8) -> list[str]:
    """So many released jobs, and so many workers that serve them."""
    for number in range(workers):
        await Hands(store, f"gpu{number}", slots=slots).beat()
    jobs = [make_job() for _ in range(count)]
    await store.submit(jobs)
    return [job.id for job in jobs]


async def test_a_worker_alone_fills_its_room_oldest_first(store: Store) -> None:
    jobs = await put(store, 4, slots=8)
    assert await pop(store, room=3, held=0, slots=8) == jobs[:3]
    assert await pop(store, room=3, held=3, slots=8) == jobs[3:]


async def test_an_empty_queue_gives_nothing(store: Store) -> None:
    assert await pop(store, room=3, held=0, slots=8) == []


@pytest.mark.parametrize(("held", "gets"), [(0, 2), (1, 1), (2, 0), (5, 0)])
async def test_workers_fill_up_evenly_whoever_asks_first(store: Store, held: int, gets: int) -> None:
    """8 jobs among 4 workers of 4 slots are 2 for each, with what it holds already."""
    await put(store, 8, workers=4, slots=4)
    assert len(await pop(store, room=4, held=held, slots=4)) == gets


async def test_a_worker_of_more_slots_has_a_larger_share(store: Store) -> None:
    await Hands(store, "gpu0", slots=12).beat()
    await put(store, 8, workers=2, slots=4)
    assert len(await pop(store, room=12, held=0, slots=12)) == 5


async def test_what_runs_counts_for_the_share(store: Store) -> None:
    """One worker runs 4 of 6 jobs; the other may take what is left, the first no more."""
    busy = Hands(store, "gpu0", slots=8)
    await busy.beat()
    await Hands(store, "gpu1", slots=8).beat()
    await put(store, 6, workers=0)
    for _ in range(4):
        await busy.take()
    assert await pop(store, room=4, held=4, slots=8) == []
    assert len(await pop(store, room=8, held=0, slots=8)) == 2


async def test_what_waits_for_a_place_in_the_ready_queue_counts_for_the_share(store: Store) -> None:
    """Ten jobs among four workers, of which eight are ready: three for the first. With two, the last went anywhere."""
    await put(store, 10, workers=4, slots=4)
    assert [len(await pop(store, room=4, held=0, slots=4)) for _ in range(3)] == [3, 3, 2]


async def test_what_is_paused_counts_for_no_share(store: Store) -> None:
    await store.open_batch(id="an_paused", tenant="t", lane=Lane.BATCH, model="noop", task="prompt", total=9)
    await store.pause("an_paused")
    await store.submit([make_job(batch="an_paused") for _ in range(9)])
    await put(store, 8, workers=4, slots=4)
    assert len(await pop(store, room=4, held=0, slots=4)) == 2


@pytest.mark.parametrize(("room", "held", "left"), [(4, 0, 6), (4, 2, 8), (2, 0, 0), (1, 0, 0)])
async def test_a_worker_is_told_what_its_share_leaves_that_it_has_room_for(
    store: Store, room: int, held: int, left: int
) -> None:
    """Where it has no room anyway, there is nothing to leave to others."""
    await put(store, 8, workers=4, slots=4)
    answer: Any = await store.call("pop", "batch.noop", room, held, 4)
    assert answer[0] == left


async def test_a_worker_that_has_not_beaten_yet_is_given_its_room(store: Store) -> None:
    """It is alone, or its first beat comes in a moment."""
    jobs = [make_job(lane=Lane.INTERACTIVE) for _ in range(2)]
    await store.submit(jobs)
    assert len(await pop(store, room=4, held=0, slots=4, queue="interactive.noop")) == 2
