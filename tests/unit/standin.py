"""A store on fakeredis, and a worker that needs no engine: it claims and commits as real ones do."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import fakeredis

from viiwork.jobs import READER_MODEL, Fault, Job, Lane, Settle, TaskName
from viiwork.queues import HintId, make_envelope
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import BlobStore, Fence, Store
from viiwork.store.leases import Claim, Stale, Verdict, claim_call, commit_call, read_claim
from viiwork.store.upkeep import Upkeep
from viiwork.wire import as_json
from viiwork.work import Answer, ReadInput, StepInput, Usage

MODEL = "standin"
USAGE = Usage(prompt_tokens=10, output_tokens=3)
"""Of each call, also of one whose answer cannot be used."""
NOTICE = "A stand-in answered, not a language model."


def make_settings(root: Path, **sections: dict[str, object]) -> Settings:
    """Settings of a fleet of this test's own."""
    return Settings(**{"fleet": {"name": "test", "state_dir": root}, **sections})


def make_store(settings: Settings, server: fakeredis.FakeServer) -> Store:
    """A store on a fake server; several stores may share one."""
    return Store(
        fakeredis.FakeAsyncRedis(server=server, decode_responses=True),
        fleet=settings.fleet.name,
        prefix=settings.prefix,
        envelope=make_envelope(),
        blobs=BlobStore(settings.state_dir / "blobs"),
        ttl_ms=settings.results.ttl_ms,
        headers=False,
    )


class StandIn:
    """A worker that serves one model and reads documents, in the caller's own loop."""

    def __init__(
        self, store: Store, model: str = MODEL, *, context_tokens: int = 0, cannot: Collection[str] = ()
    ) -> None:
        self.store, self.model = store, model
        self.fits = False
        """Whether the answers to documents named `unfit` can be used."""
        self._upkeep = Upkeep(store, lease_ttl_s=60, hint_grace_s=5)
        self._card = WorkerCard(
            name=f"cpu0@{model}",
            incarnation=secrets.token_hex(8),
            host="test",
            pid=1,
            engine="stand-in",
            model=model,
            slots=4,
            context_tokens=context_tokens,
            cannot=tuple(cannot),
        )

    async def join(self) -> None:
        """Become a worker that the fleet knows."""
        queues = [f"{lane.value}.{self.model}" for lane in Lane]
        await self._upkeep.beat(self._card, queues=queues, in_flight={}, held=[])

    async def work(self, *, limit: int = 1_000_000) -> int:
        """Run what is ready, and what comes of it; answers how many jobs ran."""
        ran = 0
        while ran < limit and (hint := await self._pop()) is not None:
            await self._run(hint)
            ran += 1
        return ran

    async def work_on(self, stop: asyncio.Event) -> None:
        """Work until told to stop. (Not by cancelling: a fake Redis may swallow that.)"""
        while not stop.is_set():
            await self.work()
            await asyncio.sleep(0.01)

    async def _pop(self) -> HintId | None:
        queues = [f"{lane.value}.{model}" for model in (self.model, "read") for lane in Lane]
        await self.store.release(*queues)
        for queue in queues:
            raw = await self.store.client.rpop(f"{self.store.prefix}{queue}")
            if raw is not None:
                return HintId.parse(json.loads(raw)["headers"]["id"])
        return None

    async def _run(self, hint: HintId) -> None:
        token = secrets.token_hex(8)
        claim_of = claim_call(job=hint.job, attempt=hint.attempt, token=token, card=self._card)
        claim = read_claim(await self.store.call(claim_of.script, *claim_of.args), job=hint.job, token=token)
        if isinstance(claim, Stale):
            return
        read = claim.task is TaskName.READ
        verdict, result = await (self._read(claim) if read else self._answer(claim))
        spent: dict[str, Any] = {} if read else {"usage": USAGE, "made_by": {"engine": "stand-in", "model": self.model}}
        commit = await commit_call(self.store, claim.fence, verdict, result, max_attempts=4, **spent)
        await self.store.call(commit.script, *commit.args)

    async def _read(self, claim: Claim) -> tuple[Verdict, Fault | None]:
        source = await claim.input(self.store)
        assert isinstance(source, ReadInput)
        if "bad" in source.name:
            return Verdict.FAILED, Fault(code="damaged", message="This file is damaged.", hint="Send another copy.")
        if "crash" in source.name:
            return Verdict.FAILED, Fault(code="crash", message="Its reader died.")
        text = source.text if source.text is not None else (await self.store.blobs.read(source.blob or "")).decode()
        if source.name.endswith(".zip"):
            await self.store.submit(_held(claim, source, text.splitlines()), fence=Fence(*_fence(claim)))
            return Verdict.UNFOLDS, None
        await self.store.submit([self._step(claim, source, text)], fence=Fence(*_fence(claim)))
        return Verdict.CONTINUES, None

    def _step(self, claim: Claim, source: ReadInput, text: str) -> Job:
        step = StepInput(task=source.task, options=source.options, title=source.name, text=text)
        return Job(
            id=f"{claim.fence.job}g{claim.generation}c0" if claim.generation else f"{claim.fence.job}c0",
            tenant=claim.tenant,
            lane=claim.lane,
            model=source.model,
            input=step,
            batch=claim.batch,
            item=claim.fence.job,
        )

    async def _answer(self, claim: Claim) -> tuple[Verdict, Answer | Fault]:
        job = await claim.input(self.store)
        if isinstance(job, StepInput) and "unfit" in job.title and not self.fits:
            return Verdict.FAILED, Fault(code="invalid_output", message="The answer is no JSON.")
        text = job.text if isinstance(job, StepInput) else as_json(job)
        told: dict[str, Any] = {"engine": "stand-in", "model": self.model, "pages": 1, "notice": NOTICE, "usage": USAGE}
        return Verdict.SUCCEEDED, Answer(text=f"It says: {text}", **told)


def _held(claim: Claim, source: ReadInput, names: Sequence[str]) -> list[Job]:
    """What is in an archive, which is a list of names here."""
    inside = [source.model_copy(update={"name": f"{source.name}/{name}", "text": name, "blob": None}) for name in names]
    return [
        Job(
            id=f"{claim.fence.job}z{place}",
            tenant=claim.tenant,
            lane=claim.lane,
            task=TaskName.READ,
            model=READER_MODEL,
            input=one,
            batch=claim.batch,
            settle=Settle.ON_FAILURE,
        )
        for place, one in enumerate(inside)
    ]


def _fence(claim: Claim) -> tuple[str, int, str]:
    return claim.fence.job, claim.fence.attempt, claim.fence.token


class Listener(StandIn):
    """A stand-in that keeps what it was asked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[Any] = []

    async def _answer(self, claim: Claim) -> tuple[Any, Answer]:
        self.asked.append(await claim.input(self.store))
        return await super()._answer(claim)
