"""Limits with real processes: four doors that share one key admit what the limit says, and no more."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import httpx
import pytest

from tests.door import Door
from viiwork.apikeys import KeyShown
from viiwork.jobs import Lane
from viiwork.limits import Account, Limits
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store, apikeys
from viiwork.store.accounts import Tab, look
from viiwork.store.upkeep import Upkeep

MODEL = "standin"
JOB = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "lane": "batch"}
DOORS, HANDS = 4, 4
LASTS_S = 5.0
FILES = 7
A_MINUTE = 1200
"""Twenty a second: fewer than the doors of a busy machine are asked for."""


@pytest.fixture
async def store(real_store: Store) -> Store:
    """With a model that is served, so that a door takes work."""
    card = WorkerCard(name="cpu0@test", incarnation="one", host="test", pid=1, engine="stand-in", model=MODEL, slots=1)
    await Upkeep(real_store, lease_ttl_s=60, hint_grace_s=5).beat(
        card, queues=[f"batch.{MODEL}"], in_flight={}, held=[]
    )
    return real_store


async def test_four_doors_admit_what_the_limit_says(store: Store, settings: Settings) -> None:
    """Whatever each of them thinks: within one in a hundred of what the time between allows."""
    made = await apikeys.create(store, "busy", limits=Limits(batch_requests_per_minute=A_MINUTE, stored_files=FILES))
    environ = {"VIIWORK_API_KEYS": "on", "VIIWORK_REDIS_URL": settings.redis.url}
    with ExitStack() as open_doors:
        doors = [open_doors.enter_context(Door(settings, **environ)) for _ in range(DOORS)]
        urls = await asyncio.gather(*(asyncio.to_thread(lambda door: door.url, door) for door in doors))
        kept = await asyncio.gather(*(uploaded(url, made.secret) for url in urls for _ in range(HANDS)))
        await empty(store, made)
        began_ms = await now_ms(store)
        codes = await asyncio.gather(*(hammered(url, made.secret, LASTS_S) for url in urls for _ in range(HANDS)))
        ended_ms = await now_ms(store)
    assert sorted(kept) == [200] * FILES + [409] * (DOORS * HANDS - FILES)
    said = [code for some in codes for code in some]
    assert set(said) == {202, 429}
    allowed = A_MINUTE * (ended_ms - began_ms) / 60_000
    left = await look(store, Tab(Account("busy", made.key.id, own=made.key.limits)), Lane.BATCH)
    assert left is not None and left.requests is not None
    assert said.count(202) <= allowed + 1
    assert said.count(202) >= 0.99 * (allowed - left.requests.remaining) - 1


async def uploaded(url: str, secret: str) -> int:
    """The status of one upload."""
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as http:
        sent = await http.post("/v1/files", data={"purpose": "user_data"}, files={"file": ("a.txt", b"text")})
        return sent.status_code


async def hammered(url: str, secret: str, for_s: float) -> list[int]:
    """The statuses of one request after the other."""
    codes: list[int] = []
    ends_s = asyncio.get_running_loop().time() + for_s
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as http:
        while asyncio.get_running_loop().time() < ends_s:
            codes.append((await http.post("/v1/jobs", json=JOB)).status_code)
    return codes


async def empty(store: Store, made: KeyShown) -> None:
    """As if a whole minute's requests had just been sent."""
    key = f"{store.prefix}rate:k:{made.key.id}|batch|r"
    await store.client.hset(key, mapping={"level": 0, "at": await now_ms(store), "most": A_MINUTE})


async def now_ms(store: Store) -> int:
    seconds, micros = await store.client.time()
    return int(seconds) * 1000 + int(micros) // 1000
