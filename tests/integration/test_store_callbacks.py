"""Callbacks in the store: queued by the script that ends the work, taken by one sender at a time, never lost."""

from __future__ import annotations

import json

import pytest

from tests.hands import Hands, items_of, open_batch
from tests.workers import make_job
from viiwork.callbacks.body import body_of
from viiwork.deliveries import DeliveryState, Endpoint
from viiwork.jobs import Lane, new_id
from viiwork.store import Store, callbacks, endpoints
from viiwork.store.callbacks import Taken
from viiwork.store.endpoints import SealedPair
from viiwork.store.leases import Verdict

URL = "https://hooks.example/a?token=t"


async def batch_of(store: Store, count: int, *, url: str | None = URL, tenant: str = "anna@lab") -> str:
    """A sealed batch of jobs that nobody has begun."""
    batch = new_id("an")
    await store.open_batch(
        id=batch, tenant=tenant, lane=Lane.BATCH, model="noop", task="jobs", total=count, callback_url=url
    )
    await store.submit(items_of(batch, count, tenant=tenant))
    await store.seal(batch)
    return batch


async def told(store: Store, state: DeliveryState = DeliveryState.PENDING) -> list[dict[str, str]]:
    """Records of one state, the oldest first."""
    return [dict(record) for _, record in reversed(await callbacks.listed(store, state))]


async def take(store: Store, *, token: str = "me", most: int = 10, lease_s: float = 60) -> list[Taken]:
    return await callbacks.take(store, token=token, most=most, lease_s=lease_s)


async def endpoint(store: Store, name: str = "ep_1", *, tenant: str = "anna@lab", events: str = "*") -> None:
    given = Endpoint(id=name, url=f"https://{name}.example/", tenant=tenant, events=tuple(events.split()))
    await endpoints.add(store, given, SealedPair("sealed"))


async def test_an_analysis_that_completes_is_told_in_the_commit_that_ends_it(store: Store) -> None:
    """With the counts of that moment, and once."""
    batch, hands = await batch_of(store, 2), Hands(store)
    await hands.beat()
    await hands.do()
    assert await told(store) == []
    await hands.do(Verdict.FAILED)
    (record,) = await told(store)
    data = json.loads(body_of("msg_1", record, base_url="http://h"))["data"]
    assert (record["type"], data["id"], data["state"]) == ("analysis.completed", batch, "completed")
    assert data["counts"] == {"total": 2, "succeeded": 1, "failed": 1, "cancelled": 0}
    assert data["finished_ms"] == (await store.batch(batch)).finished_ms


@pytest.mark.parametrize("end", ["failed", "cancelled", "expired"])
async def test_each_other_end_of_an_analysis_has_its_own_event(store: Store, end: str) -> None:
    """One without a single answer has failed."""
    batch, hands = await batch_of(store, 1), Hands(store)
    await hands.beat()
    if end == "failed":
        await hands.do(Verdict.FAILED)
    elif end == "cancelled":
        await store.cancel_batch(batch)
    else:
        await store.call("batch", "expire", batch)
        await store.sweep_cancelled(batch)
    assert [record["type"] for record in await told(store)] == [f"analysis.{end}"]


async def test_a_batch_that_was_never_whole_is_told_to_nobody(store: Store) -> None:
    """Its sender has had a refusal, and no id."""
    batch = new_id("an")
    await store.open_batch(
        id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="jobs", total=2, callback_url=URL
    )
    await store.submit(items_of(batch, 1))
    await store.cancel_batch(batch)
    assert await told(store) == []


async def test_a_job_is_told_to_the_url_that_came_with_it_alone(store: Store) -> None:
    """Whatever its end; endpoints are not told of single jobs."""
    await endpoint(store)
    jobs = [make_job(callback_url=URL, custom_id="c7", metadata={"case": "7"}) for _ in range(3)]
    await store.submit([*jobs, make_job()])
    hands = Hands(store)
    await hands.beat()
    await store.cancel(jobs[2].id)
    await hands.do()
    await hands.do(Verdict.FAILED)
    await hands.do()
    records = await told(store)
    assert sorted((record["type"], record["subject"]) for record in records) == sorted(
        zip(("job.completed", "job.failed", "job.cancelled"), (job.id for job in jobs), strict=True)
    )
    data = json.loads(body_of("msg_1", records[0], base_url="http://h"))["data"]
    assert (data["custom_id"], data["metadata"]) == ("c7", {"case": "7"})


async def test_endpoints_are_told_what_they_want_of_their_owner_alone(store: Store) -> None:
    await endpoint(store, "ep_1", events="analysis.completed analysis.failed")
    await endpoint(store, "ep_2", events="analysis.cancelled")
    await endpoint(store, "ep_3", tenant="ben@lab")
    await endpoint(store, "ep_4")
    await batch_of(store, 1, url=None)
    hands = Hands(store)
    await hands.beat()
    await hands.do()
    assert sorted(record["endpoint"] for record in await told(store)) == ["ep_1", "ep_4"]


async def test_a_quarantine_is_told_once_to_all_who_watch_the_fleet(store: Store) -> None:
    """Whoever owns the endpoint: the fleet is everybody's. The reason may quote an engine's log, and stays here."""
    await endpoint(store, "ep_1", events="fleet.card_quarantined")
    await endpoint(store, "ep_2", tenant="ben@lab")
    await endpoint(store, "ep_3", events="analysis.completed")
    for _ in range(2):
        await store.quarantine("gpu0@here", "its engine said: something private")
    records = await told(store)
    assert sorted(record["endpoint"] for record in records) == ["ep_1", "ep_2"]
    assert "private" not in json.dumps(records)
    assert await store.quarantined() == {"gpu0@here": "its engine said: something private"}


async def test_a_receiver_has_one_callback_under_way_however_many_senders_ask(store: Store) -> None:
    """Receivers are served side by side, each in order."""
    hands = Hands(store)
    await hands.beat()
    for url in (URL, URL, "https://other.example/b"):
        await batch_of(store, 1, url=url)
        await hands.do()
    first = await take(store, token="one")
    assert [each.record["lane"] for each in first] == ["https://hooks.example", "https://other.example"]
    assert await take(store, token="two") == []
    await callbacks.delivered(store, first[0], status=204)
    (second,) = await take(store, token="two")
    assert second.id != first[0].id
    assert [record["status"] for record in await told(store, DeliveryState.DELIVERED)] == ["204"]


async def test_what_a_sender_that_died_had_in_hand_is_sent_again_as_the_same_callback(store: Store) -> None:
    """Its late word changes nothing, but for "delivered": that is true whoever says it."""
    hands = Hands(store)
    await hands.beat()
    await batch_of(store, 1)
    await hands.do()
    (lost,) = await take(store, token="dead", lease_s=0)
    (again,) = await take(store, token="alive")
    assert (again.id, again.tries) == (lost.id, 2)
    await callbacks.give_up(store, lost, status=0, fault="late")
    assert len(await told(store)) == 1
    await callbacks.delivered(store, lost, status=200)
    assert len(await told(store, DeliveryState.DELIVERED)) == 1
    await callbacks.try_later(store, again, pause_s=0, status=500, fault="later still")
    assert await told(store) == []


async def test_a_callback_that_failed_waits_without_holding_up_the_next(store: Store) -> None:
    hands = Hands(store)
    await hands.beat()
    for _ in range(2):
        await batch_of(store, 1)
        await hands.do()
    (failed,) = await take(store)
    await callbacks.try_later(store, failed, pause_s=3600, status=500, fault="It answered (500).")
    (other,) = await take(store)
    assert other.id != failed.id
    await callbacks.delivered(store, other, status=200)
    assert await take(store) == []


async def test_the_dead_are_sent_once_more_under_the_same_id(store: Store) -> None:
    """With all of the time anew."""
    hands = Hands(store)
    await hands.beat()
    await batch_of(store, 1)
    await hands.do()
    (taken,) = await take(store)
    await callbacks.give_up(store, taken, status=500, fault="It answered (500).")
    assert await take(store) == []
    assert [record["fault"] for record in await told(store, DeliveryState.DEAD)] == ["It answered (500)."]
    assert await callbacks.replay(store, taken.id)
    (again,) = await take(store)
    assert (again.id, again.tries) == (taken.id, 1)
    assert not await callbacks.replay(store, "msg_1_1")
    assert await callbacks.counts(store) == {
        DeliveryState.PENDING: 1,
        DeliveryState.DELIVERED: 0,
        DeliveryState.DEAD: 0,
    }


async def test_without_anybody_to_tell_nothing_is_kept(store: Store) -> None:
    batch = await open_batch(store, total=1)
    await store.submit(items_of(batch, 1))
    await store.seal(batch)
    hands = Hands(store)
    await hands.beat()
    await hands.do()
    assert await told(store) == []
