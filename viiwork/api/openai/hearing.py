"""One answer as it is written: its text piece by piece, and how it ended."""

from __future__ import annotations

import time
from contextlib import suppress

from viiwork.errors import StoreUnavailable
from viiwork.jobs import TERMINAL, State
from viiwork.store import Store
from viiwork.store.ears import ENDS, Words
from viiwork.store.express import Ended, ends
from viiwork.store.gathering import Gathering
from viiwork.store.said import Heard, heard, listen, overheard
from viiwork.telling import Broken, Delta, Telling, Told

LISTEN_EVERY_S = 3.0
"""How often a stream says that it is still there."""
AGAIN = frozenset({State.WAITING.value, State.QUEUED.value})
"""What is said of a job whose attempt came to nothing, once one has begun."""


class Hearing:
    """What one reader has heard of one job. Nobody can take back what was sent: a second attempt breaks it off."""

    def __init__(self, store: Store, asker: Gathering, job_id: str) -> None:
        self.job_id = job_id
        self.end: Ended | None = None
        """How it ended, once it has."""
        self.broken = False
        """It began anew after some of its text was told."""
        self.began_s: float | None = None
        """When it began, on this process's clock, as far as that was heard."""
        self.spoke = False
        self._store, self._asker = store, asker
        self._telling = Telling(can_restart=False)
        self._after, self._listened_s = "", time.monotonic()

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.broken or self.end is not None

    async def hear(self, words: Words) -> str:
        """The text that these words bring; without words, or where some were missed, the store is asked.

        Raises StoreUnavailable.
        """
        if self.over:
            return ""
        told, sure = [], bool(words)
        for word in words:
            if not word:
                sure = False
            elif word.startswith("said "):
                said = overheard((word,), after=self._after)
                sure = sure and said is not None
                told += self._take(said) if said else []
            elif word in ENDS:
                self.end = await self._ended()
            else:
                self._note(word)
        if not sure and self.end is None:
            told += await self._look()
        if self.end is not None and self.end.answer is not None:
            told += self._telling.end(self.end.answer.text, attempt=self._telling.attempt)
        await self._stay()
        return self._text(told)

    async def _look(self) -> list[Told]:
        new = await heard(self._store, self.job_id, after=self._after, asker=self._asker)
        if new.state is None or new.state in TERMINAL:
            self.end = await self._ended()
        else:
            self._note(new.state.value)
        return self._take(new)

    async def _ended(self) -> Ended:
        (end,) = await ends(self._store, self._asker, [self.job_id])
        return end

    async def _stay(self) -> None:
        if self.end is None and time.monotonic() >= self._listened_s + LISTEN_EVERY_S:
            self._listened_s = time.monotonic()
            with suppress(StoreUnavailable):  # a full server takes no note of it: the text comes with the answer then
                await listen(self._store, self.job_id)

    def _take(self, new: Heard) -> list[Told]:
        self._after = new.said[-1].id if new.said else self._after
        return self._telling.hear(new.said)

    def _note(self, state: str) -> None:
        if state == State.RUNNING and self.began_s is None:
            self.began_s = time.monotonic()
        if state in AGAIN and self.spoke:
            self.broken = True

    def _text(self, told: list[Told]) -> str:
        self.broken = self.broken or any(isinstance(one, Broken) for one in told)
        text = "".join(one.text for one in told if isinstance(one, Delta))
        self.spoke = self.spoke or bool(text)
        return text
