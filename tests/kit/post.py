"""A real worker at its post: on a real store, with an engine that a guard keeps; and what became of its jobs."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.workers import Fleet, eventually, make_job
from viiwork.jobs import TERMINAL, Job
from viiwork.processes import identity, tagged
from viiwork.roster import WorkerCard, WorkerStatus
from viiwork.store import Store
from viiwork.work import ChatInput, Message
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles
from viiwork_workers.engines.guard.record import read_record

WORKER = "cpu0"


@dataclass(frozen=True, slots=True)
class Weight:
    """What one process has taken."""

    rss_bytes: int
    open_files: int


class Post:
    """One worker and its engine, seen from the store and from the operating system."""

    def __init__(self, fleet: Fleet, store: Store, *, model: str, within_s: float = 60.0) -> None:
        self.fleet = fleet
        self.store = store
        self.model = model
        self.within_s = within_s
        self.files = GuardFiles.of(fleet.settings.state_dir, WORKER)

    def start(self, *, module: str = "viiwork_workers") -> None:
        self.fleet.start(WORKER, module=module)

    async def status(self, state: str, *, but: int = -1, engine_but: int = -1) -> WorkerStatus:
        """Wait for it to say that its engine stands so; `but` and `engine_but` are pids that it must not have."""
        seen: list[WorkerStatus] = []

        async def stands() -> bool:
            now = (await self.store.fleet()).workers
            seen[:] = [at for at in now if _is(at.card, state, but=but, engine_but=engine_but)]
            return bool(seen)

        await self._wait(stands, what=f"an engine that is {state!r}")
        return seen[0]

    async def card(self, state: str, *, but: int = -1, engine_but: int = -1) -> WorkerCard:
        return (await self.status(state, but=but, engine_but=engine_but)).card

    async def submit(self, *texts: str, tokens: int = 24, **fields: Any) -> list[Job]:
        """A chat for each text."""
        jobs = [make_job(model=self.model, **fields, input=spoken(text, tokens=tokens)) for text in texts]
        await self.store.submit(jobs)
        return jobs

    async def ended(self, jobs: Sequence[Job]) -> Counter[str]:
        """Wait for all of them; how they ended. Each was committed once."""
        left = {job.id for job in jobs}

        async def all_over() -> bool:
            for job in tuple(left):
                if (await self.store.job(job)).state in TERMINAL:
                    left.discard(job)
            return not left

        await self._wait(all_over, what=f"{len(jobs)} jobs have ended")
        records = await self.store.read(
            [("HMGET", f"{self.store.prefix}job:{job.id}", "state", "commits") for job in jobs]
        )
        assert all(commits == "1" for state, commits in records if state == "succeeded"), records
        return Counter(state for state, _ in records)

    async def attempts(self, job: Job) -> int:
        return (await self.store.job(job.id)).attempt

    def people(self) -> list[int]:
        """The engine's processes that run.

        Its guard's descendants, and whoever carries its mark: processes of vLLM that give themselves a title write it
        over their environment.
        """
        marked = {pid for pid, _ in tagged(ENGINE_OF, self.files.mark)}
        record = read_record(self.files)
        guard = [] if record is None else descendants(record.guard[0])
        return sorted(marked.union(guard))

    def guard_pid(self) -> int:
        record = read_record(self.files)
        assert record is not None
        return record.guard[0]

    def close(self) -> None:
        """End the worker; nothing of its engine may be left, and nothing that says so."""
        people = [(pid, identity(pid)) for pid in self.people()]
        self.fleet.close()
        left = [pid for pid, who in people if who is not None and identity(pid) == who]
        assert left + self.people() == [], "processes of the engine are left"
        assert read_record(self.files) is None

    async def _wait(self, check: Callable[[], Awaitable[bool]], *, what: str) -> None:
        async def checked() -> bool:
            worker = self.fleet.processes.get(WORKER)
            assert worker is None or worker.poll() is None, f"the worker has ended: {what}"
            return await check()

        try:
            await eventually(checked, within_s=self.within_s, what=what)
        except AssertionError as error:
            error.add_note(self._last_words())
            raise

    def _last_words(self) -> str:
        """For whoever reads a failure."""
        files = (self.fleet.logs / f"{WORKER}.log", self.files.diary, self.files.engine_log)
        return "".join(f"\n{file.name}: …{_tail(file)}" for file in files if file.is_file())


def spoken(text: str, *, tokens: int = 24, stream: bool = False) -> ChatInput:
    message = Message(role="user", content=text)
    return ChatInput(messages=(message,), max_output_tokens=tokens, stream=stream)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    assert identity(pid) is not None, f"{pid} does not run"
    os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def weigh(pid: int) -> Weight:
    process = psutil.Process(pid)
    return Weight(process.memory_info().rss, process.num_fds())


def _is(card: WorkerCard, state: str, *, but: int, engine_but: int) -> bool:
    return card.engine_state.startswith(state) and card.pid != but and card.engine_pid != engine_but


def _tail(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")[-1500:]
