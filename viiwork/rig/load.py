"""Work that never runs out: files of made-up jobs, sent as they are used up, and cancelled at the end.

Each file is small, so that a run that is killed leaves the fleet busy for seconds, and none of it stays in the store.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from viiwork.client import Client
from viiwork.errors import Gone, NotFound, ViiworkError
from viiwork.jobfile import JobFile
from viiwork.jobs import BatchStatus, Lane
from viiwork.rig.wording import Wording
from viiwork.work import Usage

AHEAD_S = 15.0
"""How much work waits at most: what a run that was killed leaves behind."""
MOST = 5000
"""Jobs a file."""
FIRST_WAVES = 4
"""Jobs for each slot, before anybody knows how fast they go."""
KEEP_S = 120.0
"""Answers are looked at within seconds, and then cleared away by the fleet itself."""
DEADLINE_S = 1800.0
SAMPLE = 100
"""Answers of which the tokens are looked at, of each file and at a time."""


class Load:
    """Jobs of one model in one lane; tokens of some of their answers go into `usages`. Not for several threads."""

    def __init__(
        self, client: Client, wording: Wording, *, model: str, lane: Lane, numbers: Iterator[int], usages: list[Usage]
    ) -> None:
        self._client, self._wording, self._model, self.lane = client, wording, model, lane
        self._numbers = numbers
        self._open: dict[str, BatchStatus] = {}
        self._sampled: dict[str, int] = {}
        """Up to which row each file was looked at."""
        self._ended = 0
        self._usages = usages
        self.failed = 0

    @property
    def settled(self) -> int:
        """Jobs that have ended, as far as `look` saw."""
        return self._ended + sum(status.counts.settled for status in self._open.values())

    def look(self) -> None:
        """See how far each file is; those that are done are forgotten."""
        for batch_id, before in list(self._open.items()):
            try:
                status = self._open[batch_id] = self._client.analysis_status(batch_id)
            except (Gone, NotFound):  # all of it was done, and the fleet has cleared it away
                self._ended += before.counts.total
                del self._open[batch_id]
                continue
            if status.finished:
                self._sample(status)
                self._ended += status.counts.settled
                self.failed += status.counts.failed
                del self._open[batch_id]

    def sample(self) -> None:
        """Look at the tokens of some more answers."""
        for status in self._open.values():
            self._sample(status)

    def top_up(self, *, waiting: int, slots: int, jobs_per_s: float) -> None:
        """Send more when half of what should wait is used up."""
        wanted = min(MOST, max(FIRST_WAVES * slots, math.ceil(jobs_per_s * AHEAD_S)))
        if waiting <= wanted // 2:
            self._send(wanted - waiting)

    def stop(self) -> None:
        """Cancel what is left of it. What cannot be reached ends by itself, soon."""
        with suppress(ViiworkError):
            self.look()
        self.sample()
        for batch_id in list(self._open):
            with suppress(ViiworkError):
                status = self._client.cancel_analysis(batch_id)
                self._ended += status.counts.succeeded + status.counts.failed
                self.failed += status.counts.failed
            self._open.pop(batch_id, None)

    def _send(self, jobs: int) -> None:
        lines = (json.dumps(self._wording.job(next(self._numbers))) for _ in range(jobs))
        with tempfile.TemporaryDirectory(prefix="viiwork-bench-") as folder:
            path = Path(folder, "jobs.jsonl")
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            status = self._client.submit_file(
                replace(JobFile.of(path), lines=jobs),
                lane=self.lane,
                model=self._model,
                deadline_s=DEADLINE_S,
                keep_s=KEEP_S,
            )
        self._open[status.id] = status

    def _sample(self, status: BatchStatus) -> None:
        """Not the first to end, which are the short ones: those from the middle of a stream are as long as all are."""
        after = self._sampled.setdefault(status.id, status.counts.settled // 3)
        with suppress(ViiworkError):
            rows = list(self._client.results(status.id, after=after, limit=SAMPLE))
            self._sampled[status.id] += len(rows)
            self._usages += [row.answer.usage for row in rows if row.answer is not None]
