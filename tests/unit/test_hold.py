"""Workers that take fewer jobs for a while: the lease in the store, over HTTP, and what people are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import Service
from tests.hands import Hands, upkeep
from tests.workers import eventually, make_job
from viiwork.cli.tables import held
from viiwork.client import Client
from viiwork.errors import Conflict
from viiwork.jobs import Lane
from viiwork.queues import queue_name
from viiwork.store import Store

WHY = "A measurement is under way."
OWNER = "bench-00000001"


async def at_most(store: Store, hands: Hands) -> int | None:
    """What the worker is told with its next beat."""
    beats = upkeep(store)
    queues = [queue_name(lane, hands.card.model) for lane in Lane]
    await beats.beat(hands.card, queues=queues, in_flight={}, held=[])
    return beats.at_most


async def test_a_worker_is_told_how_many_jobs_it_may_have_and_the_fleet_why(store: Store) -> None:
    """The others are told nothing."""
    one, other = Hands(store, "gpu0"), Hands(store, "gpu1")
    assert await at_most(store, one) is None
    await store.hold(OWNER, {one.card.name: 0}, why=WHY, for_s=60)
    assert [await at_most(store, hands) for hands in (one, other)] == [0, None]
    status = await store.fleet()
    assert {worker.card.name: worker.hold for worker in status.workers} == {one.card.name: WHY, other.card.name: ""}
    assert held(status) == [f"Held for a while: {one.card.name}. {WHY}"]


async def test_slots_that_are_held_are_nobodys_when_shares_are_reckoned(store: Store) -> None:
    """The ready queue stays as deep as those need who take jobs."""
    workers = [Hands(store, name, slots=16) for name in ("gpu0", "gpu1")]
    await store.hold(OWNER, {workers[0].card.name: 0, workers[1].card.name: 4}, why=WHY, for_s=60)
    for hands in workers:
        await hands.beat()
    slots = await store.client.hgetall(f"{store.prefix}slots:batch.noop")
    assert [slots[hands.card.incarnation] for hands in workers] == ["0", "4"]
    await store.submit([make_job() for _ in range(20)])
    assert await store.client.llen(f"{store.prefix}batch.noop") == 2


async def test_what_the_same_owner_says_again_replaces_what_it_said(store: Store) -> None:
    one = Hands(store)
    await store.hold(OWNER, {one.card.name: 0}, why=WHY, for_s=60)
    await store.hold(OWNER, {one.card.name: 3}, why=WHY, for_s=60)
    assert await at_most(store, one) == 3
    await store.hold(OWNER, {}, why=WHY, for_s=60)
    assert await at_most(store, one) is None


async def test_somebody_else_is_refused_until_it_is_lifted(store: Store) -> None:
    """Two measurements would measure each other; nobody can lift another's."""
    await store.hold(OWNER, {}, why=WHY, for_s=60)
    with pytest.raises(Conflict, match=WHY):
        await store.hold("another-one", {}, why="Mine.", for_s=60)
    with pytest.raises(Conflict):
        await store.lift_hold("another-one")
    await store.lift_hold(OWNER)
    await store.hold("another-one", {}, why="Mine.", for_s=60)


async def test_it_is_over_by_itself(store: Store) -> None:
    """Nobody is left to lift it where its owner was killed."""
    one = Hands(store)
    await store.hold(OWNER, {one.card.name: 0}, why=WHY, for_s=0.05)

    async def free() -> bool:
        return await at_most(store, one) is None

    await eventually(free)
    assert not any(worker.hold for worker in (await store.fleet()).workers)


async def test_results_may_be_kept_for_less_time_but_not_for_more(store: Store) -> None:
    """The fleet of these tests keeps them for an hour or for thirty days."""
    await store.submit([make_job(id="job_short", keep_s=1), make_job(id="job_long", keep_s=1e9)])
    await store.open_batch(
        id="an_short", tenant="anna@lab", lane=Lane.BATCH, model="noop", task="jobs", total=1, keep_s=0.5
    )
    read = store.client.hget
    usual = await read(f"{store.prefix}job:job_long", "ttl_ms")
    assert int(usual) in (3_600_000, 30 * 86_400_000)
    assert await read(f"{store.prefix}job:job_short", "ttl_ms") == "1000"
    assert await read(f"{store.prefix}batch:an_short", "ttl_ms") == "500"


class TestHttp:
    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[Service]:
        with Service(tmp_path / "state", idle=True) as running:
            yield running

    def test_the_client_holds_and_lifts(self, service: Service) -> None:
        with Client(service.url) as client:
            name = client.fleet().workers[0].card.name
            assert client.hold({name: 2}, owner=OWNER, why=WHY, for_s=30).at_most == {name: 2}
            assert client.fleet().workers[0].hold == WHY
            with pytest.raises(Conflict) as refused:
                client.hold({}, owner="another-one", why="Mine.", for_s=30)
            assert refused.value.code == "held"
            assert client.lift_hold(OWNER).for_s == 0
            assert client.fleet().workers[0].hold == ""

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"for_s": 3600}, "for_s"),
            ({"for_s": 0}, "for_s"),
            ({"owner": "x"}, "owner"),
            ({"at_most": {"gpu0@box": -1}}, "at_most"),
            ({"at_most": {"gpu0@box": True}}, "at_most"),
            ({"workers": []}, "workers"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_field(
        self, service: Service, change: dict[str, Any], field: str
    ) -> None:
        """Nobody holds workers for an hour: whoever was killed could not lift that."""
        body = {"owner": OWNER, "why": WHY, "for_s": 20, "at_most": {}} | change
        answer = httpx.post(f"{service.url}/v1/fleet/hold", json=body)
        assert answer.status_code == 400
        assert field in answer.json()["error"]["message"]

    def test_a_job_and_a_file_may_say_how_long_they_are_kept(self, service: Service, tmp_path: Path) -> None:
        """And a line of a file may not: it is the whole file's."""
        line = b'{"messages": [{"role": "user", "content": "hello"}]}'
        sent = {"content": line, "headers": {"content-type": "application/x-ndjson"}}
        batch = httpx.post(f"{service.url}/v1/jobs?keep_s=5", **sent).json()["id"]  # type: ignore[arg-type] # many types
        said = {"messages": [{"role": "user", "content": "hello"}], "keep_s": 5}
        job = httpx.post(f"{service.url}/v1/jobs", json=said).json()["id"]
        prefix, read = service.store.prefix, service.store.client.hget
        assert service.run(read(f"{prefix}batch:{batch}", "ttl_ms")) == "5000"
        assert service.run(read(f"{prefix}job:{job}", "ttl_ms")) == "5000"
        refused = httpx.post(
            f"{service.url}/v1/jobs",
            content=line[:-1] + b', "keep_s": 5}',
            headers=sent["headers"],  # type: ignore[arg-type] # many types
        )
        assert refused.status_code == 400
        assert "keep_s" in refused.json()["error"]["message"]
