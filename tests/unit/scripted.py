"""A worker that reads, cuts and merges as the real one does, and answers parts by a test's script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from standin import StandIn
from viiwork.documents import Limits
from viiwork.documents.provenance import ground
from viiwork.errors import DocumentError
from viiwork.jobs import Fault
from viiwork.store.leases import Claim, Verdict
from viiwork.work import Answer, MergeInput, StepInput
from viiwork_workers.outcome import HandedOn, Runner
from viiwork_workers.readers import ReaderSteps

Script = Callable[[StepInput], Answer | Fault]


class Scripted(StandIn):
    """`asked` has the steps in the order in which they ran."""

    def __init__(self, *args: Any, script: Script, **options: Any) -> None:
        super().__init__(*args, **options)
        self.script = script
        self.asked: list[StepInput] = []
        self.steps = ReaderSteps(self.store, limits=Limits(), max_documents=50_000)
        self.run_step: Runner = self.steps

    async def _read(self, claim: Claim) -> tuple[Verdict, Any]:
        try:
            made = await self.run_step(claim, await claim.input(self.store))
        except DocumentError as error:
            return Verdict.FAILED, Fault(code=error.code, message=error.message, hint=error.hint)
        return (Verdict.CONTINUES, None) if isinstance(made, HandedOn) else (Verdict.SUCCEEDED, made)

    async def _answer(self, claim: Claim) -> tuple[Verdict, Any]:
        step = await claim.input(self.store)
        if isinstance(step, MergeInput):
            return await self._read(claim)
        assert isinstance(step, StepInput)
        self.asked.append(step)
        said = self.script(step)
        if isinstance(said, Fault):
            return Verdict.FAILED, said
        grounded = said if step.stage == "reduce" else ground(said, step.text, step.page_starts, start=step.start)
        return Verdict.SUCCEEDED, grounded
