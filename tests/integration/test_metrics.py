"""`/metrics` as Prometheus reads it: with real workers, with Redis away, with the oldest job buried in a long queue."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from tests.hands import Hands, open_batch, sealed_batch, upkeep
from tests.workers import Fleet, eventually, make_job, ready
from viiwork.api.app import create_app
from viiwork.jobs import TERMINAL, Lane
from viiwork.power.energy import Energy
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.gauges import oldest_s
from viiwork.store.leases import Verdict, commit_call
from viiwork.store.meters import Unclaimed
from viiwork.store.opening import make_store

BATCH = "batch.noop"


@pytest.fixture
async def http(settings: Settings, real_store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, on a real server. Whoever has beaten once lives for half a minute."""
    patient = settings.model_copy(update={"queue": settings.queue.model_copy(update={"lease_ttl_s": 30.0})})
    transport = httpx.ASGITransport(create_app(patient, real_store))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
        yield client


async def scrape(http: httpx.AsyncClient) -> str:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of this name that has these labels."""
    samples = [sample for family in parsed(text).values() for sample in family.samples if sample.name == name]
    found = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    assert len(found) == 1, (name, labels, samples)
    return found[0]


async def submitted_ago(store: Store, job: str, seconds: int) -> None:
    """Make a job older than it is."""
    key = f"{store.prefix}job:{job}"
    await store.client.hincrby(key, "created_ms", -1000 * seconds)


async def test_a_fleet_at_work_is_told_in_full(
    http: httpx.AsyncClient, real_store: Store, fleet: Fleet, settings: Settings
) -> None:
    """Ten jobs through a real worker: counters, slots, the engine's state and the memory, and no id among it all."""
    fleet.start("cpu0")
    await ready(real_store, 1)
    jobs = [make_job(tenant="anna@secret") for _ in range(10)]
    await real_store.submit(jobs)

    async def done() -> bool:
        """And told: what a worker has in its hands comes with its beats."""
        over = all([(await real_store.job(job.id)).state in TERMINAL for job in jobs])
        return over and not any(sum(w.in_flight.values()) for w in (await real_store.fleet()).workers)

    await eventually(done, what="all jobs have ended")
    text = await scrape(http)
    (worker,) = [w.card.name for w in (await real_store.fleet()).workers]
    queue = {"lane": "batch", "model": "noop"}
    assert value(text, "viiwork_up") == 1
    assert value(text, "viiwork_jobs_submitted_total", **queue) == 10
    assert value(text, "viiwork_jobs_started_total", **queue) == 10
    assert value(text, "viiwork_attempts_total", outcome="succeeded", **queue) == 10
    assert value(text, "viiwork_attempts_total", outcome="dead", **queue) == 0
    assert value(text, "viiwork_jobs", state="running", **queue) == 0
    assert value(text, "viiwork_oldest_job_age_seconds", **queue) == 0
    assert value(text, "viiwork_worker_up", worker=worker) == 1
    slots = value(text, "viiwork_worker_slots", worker=worker)
    assert slots >= 1
    assert value(text, "viiwork_worker_limit", worker=worker) == slots
    assert value(text, "viiwork_dead_letters") == 0
    assert value(text, "viiwork_energy_unknown_jobs_total", worker=worker) == 10, "it has no cards"
    assert value(text, "viiwork_engine_state", worker=worker, state="ready") == 1
    assert value(text, "viiwork_jobs_in_flight", worker=worker, lane="batch") == 0
    assert value(text, "viiwork_redis_memory_used_bytes") > 100_000
    assert value(text, "viiwork_redis_memory_limit_bytes") >= 0
    assert value(text, "viiwork_scrape_duration_seconds") > 0
    assert "anna" not in text
    assert not any(job.id in text for job in jobs)
    assert settings.fleet.name not in text


async def test_what_cards_used_is_told_by_worker_and_kind(http: httpx.AsyncClient, real_store: Store) -> None:
    """And a worker that has left keeps what its cards used."""
    hands = Hands(real_store)
    await hands.beat()
    await real_store.submit([make_job()])
    claim = await hands.take()
    used = Energy(12.5, 1.0)
    call = await commit_call(real_store, claim.fence, Verdict.GIVE_BACK, None, max_attempts=4, energy=used)
    await real_store.call(call.script, *call.args)
    unclaimed = Unclaimed(idle_mj=2500, lost_mj=0, unmeasured_ms=1500)
    await upkeep(real_store).beat(hands.card, queues=[BATCH], in_flight={}, held=[], unclaimed=unclaimed)
    await upkeep(real_store).reap(hands.card.incarnation, crashed=False)
    text, worker = await scrape(http), hands.card.name
    assert value(text, "viiwork_energy_joules_total", worker=worker, kind="jobs") == 12.5
    assert value(text, "viiwork_energy_joules_total", worker=worker, kind="idle") == 2.5
    assert value(text, "viiwork_energy_unmeasured_seconds_total", worker=worker) == 1.5


async def test_every_metric_has_a_sound_name_and_says_what_it_is(http: httpx.AsyncClient, real_store: Store) -> None:
    """All start with `viiwork_` and have help; counters alone end in `_total`; OpenMetrics' parser reads them too."""
    await Hands(real_store).beat()
    await real_store.submit([make_job()])
    families = parsed(await scrape(http))
    for family in families.values():
        assert family.name.startswith("viiwork_")
        assert family.documentation
        assert family.type in ("gauge", "counter")
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)
    answer = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in open_metrics(answer.text)} == set(families)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
async def test_promtool_finds_nothing_to_lint(http: httpx.AsyncClient, real_store: Store) -> None:
    """Prometheus' own check."""
    await Hands(real_store).beat()
    linted = subprocess.run(["promtool", "check", "metrics"], input=await scrape(http), text=True, check=False)
    assert linted.returncode == 0


async def test_depth_and_attempts_follow_a_job(http: httpx.AsyncClient, real_store: Store) -> None:
    """Waiting, queued, running; and an attempt that came to nothing."""
    hands = Hands(real_store, slots=4)
    await hands.beat()
    await real_store.submit([make_job() for _ in range(5)])
    text = await scrape(http)
    assert [value(text, "viiwork_jobs", model="noop", state=s) for s in ("waiting", "queued", "running")] == [3, 2, 0]
    claim = await hands.take()
    text = await scrape(http)
    assert [value(text, "viiwork_jobs", model="noop", state=s) for s in ("waiting", "queued", "running")] == [3, 1, 1]
    await hands.commit(claim.fence, Verdict.RETRY)
    assert (await hands.commit(claim.fence, Verdict.SUCCEEDED))[0] == "fenced"
    text = await scrape(http)
    assert value(text, "viiwork_attempts_total", lane="batch", outcome="retried") == 1
    assert value(text, "viiwork_commits_fenced_total", lane="batch") == 1


async def test_the_oldest_job_is_found_in_the_backlog_and_in_the_ready_queue(real_store: Store) -> None:
    """Whichever is older; one that runs waits no more."""
    hands = Hands(real_store)
    await hands.beat()
    jobs = [make_job(tenant=f"t{n}@lab") for n in range(4)]
    await real_store.submit(jobs)
    (waiting, *_), queued = [
        [j.id for j in jobs if (await real_store.job(j.id)).state == s] for s in ("waiting", "queued")
    ]
    await submitted_ago(real_store, waiting, 100)
    assert 100 <= (await oldest_s(real_store, [BATCH]))[BATCH] < 130
    await submitted_ago(real_store, queued[0], 200)
    assert 200 <= (await oldest_s(real_store, [BATCH]))[BATCH] < 230
    assert (await hands.take()).fence.job == queued[0]
    assert 100 <= (await oldest_s(real_store, [BATCH]))[BATCH] < 130


async def test_the_oldest_of_hundreds_of_batches_is_found(real_store: Store) -> None:
    """Up to 500 of them every one is looked at."""
    jobs = [make_job(tenant=f"t{n % 7}@lab", batch=await open_batch(real_store)) for n in range(300)]
    await real_store.submit(jobs)
    waiting = [job.id for job in jobs if (await real_store.job(job.id)).state == "waiting"]
    for at in (0, len(waiting) // 2, len(waiting) - 1):
        await submitted_ago(real_store, waiting[at], 1000 * (at + 1))
        assert (await oldest_s(real_store, [BATCH]))[BATCH] >= 1000 * (at + 1)


async def test_cancelled_and_paused_jobs_are_not_the_oldest(real_store: Store) -> None:
    """They stand in the backlog, but nobody waits for them."""
    await real_store.submit([make_job(), make_job()])
    paused = await sealed_batch(real_store, 2, tenant="bob@lab")
    await submitted_ago(real_store, f"{paused}-0", 500)
    gone, young = make_job(), make_job()
    await real_store.submit([gone, young])
    await submitted_ago(real_store, gone.id, 400)
    await submitted_ago(real_store, young.id, 50)
    assert (await oldest_s(real_store, [BATCH]))[BATCH] >= 500
    await real_store.pause(paused)
    assert 400 <= (await oldest_s(real_store, [BATCH]))[BATCH] < 500
    await real_store.cancel(gone.id)
    assert 50 <= (await oldest_s(real_store, [BATCH]))[BATCH] < 400


async def test_nobody_waits_is_zero(real_store: Store) -> None:
    """Also for a queue that never was."""
    assert await oldest_s(real_store, ["batch.noop", "interactive.never"]) == {"batch.noop": 0, "interactive.never": 0}


async def test_a_worker_that_is_put_away_or_silent_says_so(http: httpx.AsyncClient, real_store: Store) -> None:
    """Its engine is in one state at a time."""
    await Hands(real_store, "gpu0").beat()
    await Hands(real_store, "gpu1").beat()
    silent = Hands(real_store, "gpu2")
    await silent.beat()
    await real_store.client.hset(f"{real_store.prefix}quarantine", "gpu1@here", "It died.")
    await real_store.client.hincrby(f"{real_store.prefix}inc:{silent.card.incarnation}", "beat_ms", -60_000)
    text = await scrape(http)
    for worker, state in (("gpu0@here", "ready"), ("gpu1@here", "quarantined"), ("gpu2@here", "silent")):
        assert value(text, "viiwork_engine_state", worker=worker, state=state) == 1
        assert value(text, "viiwork_worker_up", worker=worker) == (state != "silent")


async def test_a_worker_and_its_dead_self_are_one(http: httpx.AsyncClient, real_store: Store) -> None:
    """Until the old incarnation is reaped both are in the roster; a name may come only once."""
    old = Hands(real_store, slots=2)
    await old.beat()
    await real_store.client.hincrby(f"{real_store.prefix}inc:{old.card.incarnation}", "beat_ms", -60_000)
    await Hands(real_store, slots=7).beat()
    text = await scrape(http)
    assert value(text, "viiwork_worker_slots", worker="gpu0@here") == 7
    assert value(text, "viiwork_worker_up", worker="gpu0@here") == 1


async def test_both_lanes_of_a_served_model_are_there_before_its_first_job(
    http: httpx.AsyncClient, real_store: Store
) -> None:
    """A rate needs the zero that comes before the first one."""
    await Hands(real_store).beat()
    text = await scrape(http)
    for lane in Lane:
        assert value(text, "viiwork_jobs_started_total", lane=lane.value, model="noop") == 0


async def test_without_redis_it_says_so_and_does_not_fail(settings: Settings) -> None:
    """200 with `viiwork_up 0` and what is known without it."""
    store = make_store(settings, "redis://127.0.0.1:1/0")
    transport = httpx.ASGITransport(create_app(settings, store))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        text = await scrape(http)
    await store.close()
    assert value(text, "viiwork_up") == 0
    assert set(parsed(text)) == {
        "viiwork_up",
        "viiwork_build_info",
        "viiwork_scrape_duration_seconds",
        "viiwork_event_listeners",
    }
