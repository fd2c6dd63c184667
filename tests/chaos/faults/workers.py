"""Faults of worker processes: killed, frozen, told to stop, dying at a step of their own work."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Literal

from tests.chaos.doomed import COUNT, STEP
from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.workers import eventually

STEPS = {
    "claim:before": "between pop and claim",
    "claim:after": "between claim and engine",
    "commit:before": "between engine and commit",
    "commit:after": "right after the commit",
}


@dataclass(frozen=True, slots=True)
class Killed:
    """SIGKILL to one worker after the other while all are at work; a new one takes its place."""

    times: int = 2
    watched: Literal["supervised", "nobody watching", "under `viiwork up`"] = "supervised"

    @property
    def name(self) -> str:
        return f"worker SIGKILL, {self.times}x, {self.watched}"

    async def strike(self, stage: Stage, load: Load) -> None:
        for name in islice(cycle(stage.names), self.times):
            await stage.busy(*stage.names)
            await stage.kill(name, supervised=self.watched == "supervised")
            stage.start(name)
        await stage.joined(*stage.names)


@dataclass(frozen=True, slots=True)
class KilledAtStep:
    """Workers that join the others and die (SIGKILL) at a named step of their own work, the `count`-th time each."""

    step: str
    workers: int = 2
    count: int = 20

    @property
    def name(self) -> str:
        return f"worker SIGKILL {STEPS[self.step]}"

    async def strike(self, stage: Stage, load: Load) -> None:
        steps = {f"gpu{len(stage.names) + n}": self.step for n in range(self.workers)}
        await asyncio.gather(*(die_at(stage, name, step, count=self.count) for name, step in steps.items()))


@dataclass(frozen=True, slots=True)
class KilledAtEveryStep:
    """One such worker for each step, all at once."""

    count: int = 10
    name: str = "worker SIGKILL at every step of its work"

    async def strike(self, stage: Stage, load: Load) -> None:
        steps = {f"gpu{len(stage.names) + n}": step for n, step in enumerate(STEPS)}
        await asyncio.gather(*(die_at(stage, name, step, count=self.count) for name, step in steps.items()))


async def die_at(stage: Stage, name: str, step: str, *, count: int) -> None:
    """Start a worker, and see it die there."""
    stage.start(name, module="tests.chaos.doomed", environ={STEP: step, COUNT: str(count)})
    await stage.joined(name)
    life, process = await stage.incarnation(name), stage.fleet.processes[name]
    while process.poll() is None:
        await asyncio.sleep(0.01)
    await stage.wounds.note(stage.store, await stage.now_ms(), await stage.held(life))
    assert stage.fleet.bury(name) == -signal.SIGKILL, stage.fleet.log(name)[-2000:]


@dataclass(frozen=True, slots=True)
class Frozen:
    """SIGSTOP to half of the workers until their leases are over and their jobs run elsewhere, then SIGCONT."""

    name: str = "worker SIGSTOP past the lease, then SIGCONT"

    async def strike(self, stage: Stage, load: Load) -> None:
        victims = stage.names[: max(1, len(stage.names) // 2)]
        await stage.busy(*victims)
        lives = [await stage.incarnation(name) for name in victims]
        for name in victims:
            stage.fleet.processes[name].send_signal(signal.SIGSTOP)
        await stage.note(*victims)
        try:
            while any([await stage.held(life) for life in lives]):
                await asyncio.sleep(0.05)
        finally:
            for name in victims:
                stage.fleet.processes[name].send_signal(signal.SIGCONT)
        await stage.joined(*victims)


@dataclass(frozen=True, slots=True)
class ToldToStop:
    """SIGTERM to half of the workers under load: exit code 0, and what they cannot finish goes back uncharged."""

    grace_s: float | None = None
    """None: as the settings have it."""

    @property
    def name(self) -> str:
        return "SIGTERM under load" + ("" if self.grace_s is None else f", {self.grace_s:.0f} s of grace")

    async def strike(self, stage: Stage, load: Load) -> None:
        victims = stage.names[: max(1, len(stage.names) // 2)]
        if self.grace_s is not None:
            await self._make_hasty(stage, victims)
        await stage.busy(*victims)
        await stage.note(*victims)
        stage.fleet.terminate(*victims)
        codes = [await asyncio.to_thread(stage.fleet.bury, name) for name in victims]
        assert codes == [0] * len(victims), codes
        stage.start(*victims)
        await stage.joined(*victims)
        jobs = [wound.job for wound in stage.wounds.all]
        strikes = await stage.store.read([("HGET", f"{stage.store.prefix}job:{job}", "strikes") for job in jobs])
        assert not any(int(count or 0) for count in strikes), "leaving is nobody's strike"

    async def _make_hasty(self, stage: Stage, victims: tuple[str, ...]) -> None:
        for name in victims:
            stage.fleet.stop(name)
            stage.start(name, environ={"VIIWORK_QUEUE_DRAIN_GRACE_S": str(self.grace_s)})
        await stage.joined(*victims)


@dataclass(frozen=True, slots=True)
class KilledLate:
    """Half of the workers SIGKILLed at once when so many items of the batch are done; nobody watches, none is replaced
    before the others have taken their jobs over.
    """

    done: int

    @property
    def name(self) -> str:
        return f"half of the workers SIGKILLed at {self.done:,} done, nobody watching"

    async def strike(self, stage: Stage, load: Load) -> None:
        async def far_enough() -> bool:
            return (await stage.store.batch(load.batch)).counts.settled >= self.done

        await eventually(far_enough, within_s=300, what=f"{self.done} items done")
        victims = stage.names[: len(stage.names) // 2]
        lives = [await stage.incarnation(name) for name in victims]
        await stage.kill(*victims, supervised=False)
        while any([await stage.held(life) for life in lives]):
            await asyncio.sleep(0.05)
        stage.start(*victims)
        await stage.joined(*victims)


@dataclass(frozen=True, slots=True)
class TwoReapers:
    """A dead worker's jobs are taken back by twenty processes at once: each of them once."""

    name: str = "two workers SIGKILLed, twenty reapers at once"
    reapers: int = 20

    async def strike(self, stage: Stage, load: Load) -> None:
        victims = stage.names[:2]
        lives = [await stage.incarnation(name) for name in victims]
        await stage.kill(*victims, supervised=False)
        reaps = [stage.store.reap(*lives, ttl_ms=0) for _ in range(self.reapers)]
        taken = sum(await asyncio.gather(*reaps))
        # Who was slow comes after the lease: then the third worker has taken some back as well.
        histories = {wound.job: (await stage.store.job(wound.job)).history for wound in stage.wounds.all}
        told = [(job, past.attempt) for job, each in histories.items() for past in each if past.end == "crashed"]
        assert taken <= len(told), f"{taken} taken back, and {len(told)} records say so"
        assert len(told) == len(set(told)), "an attempt ended twice"
        stage.start(*victims)
        await stage.joined(*victims)


async def has_engine(stage: Stage, name: str) -> bool:
    return stage.engine(name) is not None


@dataclass(frozen=True, slots=True)
class EngineKilled:
    """SIGKILL to one engine process after the other; its worker lives on and starts another."""

    times: int = 2

    @property
    def name(self) -> str:
        return f"engine SIGKILL, {self.times}x"

    async def strike(self, stage: Stage, load: Load) -> None:
        for name in islice(cycle(stage.names), self.times):
            await stage.busy(name)
            engine = stage.engine(name)
            assert engine is not None, f"{name} is at work without an engine"
            await stage.note(name)
            engine.kill()
            engine.wait()
            await eventually(partial(has_engine, stage, name), what=f"another engine of {name}")
        await stage.busy(*stage.names)
