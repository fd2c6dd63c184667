"""Who listens for news of jobs and batches, and how the jobs of one process are told from all others.

A channel is subscribed to for each id that somebody follows, which takes a trip to the server before anything is heard.
Jobs that a process submits to wait for them itself bear a mark of that process in their ids: one pattern hears them
all, so nothing has to be subscribed to for any of them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from contextlib import suppress
from typing import Protocol

from viiwork.jobs import CROCKFORD, TERMINAL, new_id

MOST_WORDS = 64
MARK_AT = len("job_") + 10
MARK_LETTERS = 6
ENDS = frozenset(state.value for state in TERMINAL)
GLOB = re.compile(r"([*?\[\]\\])")
Words = tuple[str, ...]
"""What was published meanwhile; an empty word where something may have been missed."""


class Mark:
    """What the ids of one process's own jobs have in common: 30 random bits behind the moment."""

    def __init__(self) -> None:
        self.letters = "".join(secrets.choice(CROCKFORD) for _ in range(MARK_LETTERS))

    def new_id(self) -> str:
        """The id of a new job of this process; 50 bits of it are left to chance within a millisecond."""
        made = new_id("job")
        return made[:MARK_AT] + self.letters + made[MARK_AT + MARK_LETTERS :]

    def is_on(self, any_id: str) -> bool:
        """Whether this is the id of a job of this process."""
        return any_id.startswith("job_") and any_id.startswith(self.letters, MARK_AT)

    def pattern(self, head: str) -> str:
        """The channels of all of them; `head` is what stands before an id in a channel's name."""
        return GLOB.sub(r"\\\1", head) + "job_" + "?" * (MARK_AT - len("job_")) + self.letters + "*"


class Listener(Protocol):
    """Whoever is told of what is published about an id."""

    def hear(self, any_id: str, word: str) -> None:
        """This was said, or (an empty word) something may have been."""


class Bell:
    """What wakes whoever waits for news."""

    def __init__(self) -> None:
        self.closed = False
        """Nobody is behind it any more."""
        self._bell = asyncio.Event()

    def close(self) -> None:
        """Let nobody wait at it any more."""
        self.closed = True
        self._bell.set()

    async def wait(self, within_s: float) -> None:
        """Until there is what was waited for, or it may have been missed, or the time is over."""
        if not self._bell.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), within_s)
        self._bell.clear()


class Ear(Bell):
    """One listener, and what was said of each of its ids since that was taken last: the last words if too many were."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self._words: dict[str, deque[str]] = {any_id: deque(maxlen=MOST_WORDS) for any_id in ids}

    def hear(self, any_id: str, word: str) -> None:
        self._words[any_id].append(word)
        self._bell.set()

    def take(self, any_id: str) -> Words:
        """What was said of it; it is not said again."""
        heard = self._words[any_id]
        words = tuple(heard)
        heard.clear()
        return words


class Vigil(Bell):
    """Waits for the ends of a few jobs of which nothing else matters: woken by the last of them, and not in between."""

    def __init__(self, *job_ids: str) -> None:
        super().__init__()
        self._left = set(job_ids)

    def hear(self, any_id: str, word: str) -> None:
        if word in ENDS:
            self._left.discard(any_id)
        if not (word and self._left):
            self._bell.set()
