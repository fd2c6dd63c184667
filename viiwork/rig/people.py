"""People at work beside a batch: each asks, waits for the first words, reads, and asks again after a while."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from viiwork.client import Client
from viiwork.errors import ViiworkError
from viiwork.jobs import Lane, Status
from viiwork.rig.load import KEEP_S
from viiwork.rig.wording import Wording
from viiwork.telling import Delta

THINK_S = 3.0
"""Between an answer and the next question, on average; half to one and a half of it."""
GIVEN_UP_S = 5.0
NUMBERS = 1_000_000_000
"""Their questions are numbered from here: none is one of a batch's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question; moments are this computer's monotonic clock."""

    sent_s: float
    first_s: float
    """From the request to the first words, the whole way over HTTP."""
    output_tokens: int


class People:
    """`with People(…)`: they ask until it is left. Each has a connection of their own."""

    def __init__(
        self, connect: Callable[[], Client], wording: Wording, *, model: str, people: int, think_s: float = THINK_S
    ) -> None:
        self._connect, self._wording, self._model, self._think_s = connect, wording, model, think_s
        self._over = threading.Event()
        self._numbers = count(NUMBERS)
        self._asked: list[Asked] = []
        self._waiting: set[str] = set()
        self.failed = 0
        self._threads = [threading.Thread(target=self._ask_on, args=(seat,), daemon=True) for seat in range(people)]

    def __enter__(self) -> People:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Whoever still waits for an answer gives it up."""
        self.ask_no_more()
        with suppress(ViiworkError), self._connect() as client:
            for job_id in list(self._waiting):
                client.cancel_job(job_id)
        for thread in self._threads:
            thread.join(GIVEN_UP_S)

    def ask_no_more(self) -> None:
        """They wait for their answers, slow ones too: a window without those would look quicker than it was."""
        self._over.set()

    @property
    def busy(self) -> bool:
        """Somebody is still there."""
        return any(thread.is_alive() for thread in self._threads)

    def between(self, begin_s: float, end_s: float) -> list[Asked]:
        """Those that were sent in this time and have been answered."""
        return [asked for asked in list(self._asked) if begin_s <= asked.sent_s < end_s]

    def _ask_on(self, seat: int) -> None:
        lot = random.Random(seat)  # noqa: S311 - pauses, not secrets
        with self._connect() as client:
            self._over.wait(self._think_s * lot.random())  # they do not all begin at once
            while not self._over.is_set():
                try:
                    self._asked.append(self._ask(client))
                except ViiworkError:
                    self.failed += 1
                self._over.wait(self._think_s * (0.5 + lot.random()))

    def _ask(self, client: Client) -> Asked:
        body = self._wording.job(next(self._numbers))
        sent_s, first_s = time.monotonic(), 0.0
        job = client.submit_job(model=self._model, lane=Lane.INTERACTIVE, stream=True, keep_s=KEEP_S, **body)
        self._waiting.add(job.id)
        status: Status = job
        try:
            for piece in client.job_text(job.id):
                if isinstance(piece, Delta) and not first_s:
                    first_s = time.monotonic() - sent_s
                status = piece if isinstance(piece, Status) else status
        finally:
            self._waiting.discard(job.id)
        tokens = status.answer.usage.output_tokens if status.answer is not None else 0
        return Asked(sent_s, first_s or time.monotonic() - sent_s, tokens)
