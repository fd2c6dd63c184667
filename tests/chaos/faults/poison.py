"""A job that kills every engine that it meets."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.load import Load
from tests.chaos.stage import MODEL, Stage
from tests.workers import eventually, make_job
from viiwork.jobs import Job, State, child_id
from viiwork.work import ChatInput, Message
from viiwork_workers.engines.simulated.frames import POISON

MOST_RESTARTS = 3
"""One more where the job was alone with the same card twice, and there is another: a card may be to blame."""


@dataclass(frozen=True, slots=True)
class Poison:
    """One poisoned job in the middle of a batch of innocents: it alone is given up, after few deaths."""

    workers: int

    @property
    def name(self) -> str:
        return f"one poison job, {self.workers} worker{'s' if self.workers > 1 else ''}"

    def job(self, load: Load) -> Job:
        work = ChatInput(messages=(Message(role="user", content=f"Read this: {POISON}"),), max_output_tokens=50)
        return make_job(id=child_id(load.batch, "p0"), batch=load.batch, model=MODEL, input=work)

    async def strike(self, stage: Stage, load: Load) -> None:
        poisoned = child_id(load.batch, "p0")

        async def given_up() -> bool:
            return (await stage.store.job(poisoned)).state is State.DEAD

        await eventually(given_up, within_s=120, what="the poisoned job given up")
        restarts = stage.engine_deaths()
        stage.notice = f"{restarts} engine restarts"
        status = await stage.store.job(poisoned)
        alone = {past.worker for past in status.history[1:3]}
        most = MOST_RESTARTS + (len(alone) < min(2, self.workers))
        assert 1 <= restarts <= most, f"{restarts} engines died"
        assert [past.end for past in status.history] == ["crashed"] * restarts, status.history
