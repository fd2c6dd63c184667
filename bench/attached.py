"""VIIWork beside a server that is driven directly: the API, and one worker attached to that same server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bench.prompts import Prompt
from bench.real_server import ALIAS, CONTEXT_TOKENS, RealServer
from bench.rig import Rig, Worker, until
from viiwork.errors import Unavailable
from viiwork.fleet.plan import api_url
from viiwork.fleet.ports import settle_ports
from viiwork.jobfile import MEDIA_TYPE
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store
from viiwork_workers.ledger import reserve

RECIPE = Path(__file__).with_name("attached.toml")
WORKER = "cpu0"
UNFINISHED = ("waiting", "queued", "running")


def slots_for(batch: int) -> int:
    """K that leaves the batch lane so many slots beside the interactive lane's reserve."""
    return next(slots for slots in range(batch, 2 * batch + 2) if slots - reserve(slots) == batch)


class Attached:
    """A fleet of one worker, through its HTTP door."""

    def __init__(
        self, rig: Rig, store: Store, session: aiohttp.ClientSession, *, url: str, api: Worker, worker: Worker
    ) -> None:
        self._store, self._session = store, session
        self.url, self.api, self.worker = url, api, worker
        self._probe = rig.client()

    async def run(self, asked: Sequence[Prompt]) -> tuple[int, float]:
        """Tokens that came, and the seconds from the submit of one file of jobs to the last commit."""
        before, begin = await self.output_tokens(), time.perf_counter()
        await self.submit(asked)
        await until(self._idle, workers=[self.worker], what=f"{len(asked)} answers", within_s=300)
        return await self.output_tokens() - before, time.perf_counter() - begin

    async def submit(self, asked: Sequence[Prompt]) -> str:
        """One file of jobs, into the batch lane; its id."""
        body = "".join(json.dumps(prompt.ours()) + "\n" for prompt in asked).encode()
        async with self._session.post(f"{self.url}/v1/jobs", data=body, headers={"content-type": MEDIA_TYPE}) as reply:
            return str(json.loads(_check(reply, await reply.text()))["id"])

    async def steer(self, batch: str, verb: str) -> None:
        """`pause`, `resume` or `cancel` what `submit` answered."""
        async with self._session.post(f"{self.url}/v1/analyses/{batch}/{verb}") as reply:
            _check(reply, await reply.text())

    async def drained(self) -> None:
        """Wait until no batch job runs."""
        await until(self._still, workers=[self.worker], what="the batch lane to pause", within_s=120)

    async def first_token_s(self, prompt: Prompt) -> float:
        """From the submit of one interactive job to the first text that a listener hears; the rest is heard too."""
        begin, first = time.perf_counter(), 0.0
        async with self._session.post(f"{self.url}/v1/jobs", json=prompt.ours() | {"stream": True}) as reply:
            job = json.loads(_check(reply, await reply.text()))["id"]
        async with self._session.get(f"{self.url}/v1/jobs/{job}/events") as events:
            async for line in events.content:
                if not first and line.startswith(b"event: delta"):
                    first = time.perf_counter() - begin
        return first or time.perf_counter() - begin

    def waiting(self) -> int:
        """Batch jobs that no worker has been told of."""
        return self._depth("waiting")

    async def output_tokens(self) -> int:
        """Of all answers so far."""
        return sum((await self._store.stats()).get("output_tokens", {}).values())

    async def up(self) -> None:
        """Wait until the worker takes jobs and the API knows it."""
        end = time.monotonic() + 60
        while not any(one.card.model == ALIAS and one.card.limit for one in (await self._store.fleet()).workers):
            self.worker.check()
            if time.monotonic() > end:
                raise Unavailable("the attached worker is not ready after 60 s.")
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)  # the API's picture of the fleet is a second old at most

    def close(self) -> None:
        self._probe.close()

    def _still(self) -> bool:
        return self._depth("running", "queued") == 0

    def _idle(self) -> bool:
        return self._depth(*UNFINISHED) == 0

    def _depth(self, *states: str) -> int:
        fields = [f"batch.{ALIAS}|{state}" for state in states]
        return sum(int(depth or 0) for depth in self._probe.hmget(f"{self._store.prefix}depth", fields))


@asynccontextmanager
async def attached(rig: Rig, server: RealServer, *, slots: int) -> AsyncIterator[Attached]:
    """API and worker, ready; both end with the block."""
    settings = _settings(rig, server, slots)
    store = rig.store()
    try:
        with (
            rig.worker("api", ["-m", "viiwork.api"], settings=settings) as api,
            rig.worker(WORKER, ["-m", "viiwork_workers", WORKER], settings=settings) as worker,
        ):
            async with aiohttp.ClientSession(trust_env=False) as session:
                fleet = Attached(rig, store, session, url=api_url(settings), api=api, worker=worker)
                await fleet.up()
                try:
                    yield fleet
                finally:
                    fleet.close()
    finally:
        await store.close()


def _settings(rig: Rig, server: RealServer, slots: int) -> Settings:
    engine = EngineSection(
        kind=str(RECIPE),
        url=server.url,
        key_file=server.key_file(rig.settings.state_dir),
        model=ALIAS,
        slots=slots,
        context_tokens=CONTEXT_TOKENS,
        keep_s=0,
    )
    api = rig.settings.api.model_copy(update={"port": 0})
    return settle_ports(rig.settings.model_copy(update={"engine": engine, "api": api}))


def _check(reply: aiohttp.ClientResponse, text: str) -> str:
    if reply.status not in (200, 202):
        raise Unavailable(f"the API answered {reply.status}: {text[:200]}")
    return text
