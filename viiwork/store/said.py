"""What is said of an answer while it is written: how a listener makes itself known, and what it hears.

A worker writes to `said:<job>` only while `ears:<job>` is there (`delta.lua`), so text that nobody waits for costs
Redis nothing. Each piece comes with a wake-up call on the job's channel (`watch.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.jobs import State
from viiwork.store.connection import Connection
from viiwork.store.gathering import Gathering
from viiwork.telling import Said

EARS_MS = 12_000
"""For how long a worker speaks on after somebody has last said that they listen."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said since the last look, and how the job stands; `state` is None when it is no longer kept."""

    state: State | None
    attempt: int
    said: tuple[Said, ...]


async def listen(store: Connection, job_id: str) -> None:
    """Say that somebody listens; to be said again within EARS_MS. Raises StoreUnavailable, also when Redis is full."""
    await store.read([("SET", f"{store.prefix}ears:{job_id}", "1", "PX", str(EARS_MS))])


async def heard(store: Connection, job_id: str, *, after: str = "", asker: Gathering | None = None) -> Heard:
    """What was said after the piece with the id `after`, in one round trip, which an `asker` shares.

    Raises StoreUnavailable.
    """
    questions = [
        ("HMGET", f"{store.prefix}job:{job_id}", "state", "attempt"),
        ("XRANGE", f"{store.prefix}said:{job_id}", f"({after}" if after else "-", "+"),
    ]
    record, entries = await (store if asker is None else asker).read(questions)
    state, attempt = record
    return Heard(State(state) if state else None, int(attempt or 0), tuple(map(_said, entries)))


def overheard(words: Sequence[str], *, after: str) -> Heard | None:
    """What `delta.lua` published, if it is nothing but pieces and the first follows on the one with the id `after`."""
    said: list[Said] = []
    for word in words:
        kind, before, entry, attempt, at, text = (*word.split(" ", 5), "", "", "", "", "")[:6]
        if kind != "said" or not entry or before != after:
            return None
        said.append(Said(entry, int(attempt), int(at), text))
        after = entry
    return Heard(State.RUNNING, said[-1].attempt, tuple(said)) if said else None


def _said(entry: Any) -> Said:
    """One entry, its fields as a dict or as the flat list that `execute_command` in a pipeline may leave them."""
    entry_id, fields = entry
    named = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return Said(entry_id, int(named["attempt"]), int(named["at"]), named["text"])
