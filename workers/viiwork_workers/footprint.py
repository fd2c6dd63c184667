"""What the jobs of a document take of Redis, and whether there is room for them. Pure.

A record stays until the time of its analysis is over, so what does not fit now will not fit a moment later: jobs that
were submitted all the same would fill the server, and nothing of anybody's would end any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.documents.outcomes import outcome
from viiwork.errors import DocumentError, Full
from viiwork.roster import BUSY_FROM, FULL_FROM
from viiwork.store.facade import Pressure
from viiwork.store.records import INLINE_BYTES
from viiwork.work import TaskOptions

JOB_BYTES = 2200
"""Of a job's record from its beginning to its end, without its answer (1,560 and 590 measured, on Valkey 8)."""
TOKEN_BYTES = 4
MIB = 1024 * 1024
OF_DOCUMENT, OF_ARCHIVE = 0.25, 0.5
"""The most of Redis' memory that the jobs of one may take."""
SMALL = 0.01
"""An archive up to this, such as a message with its attachments, is no more than a document."""
FEWER = "Ask fewer questions, split it, or raise redis.max_memory_bytes."


@dataclass(frozen=True, slots=True)
class Footprint:
    """So many jobs, and what they take with their answers."""

    jobs: int
    bytes: int


def of_document(calls: int, options: TaskOptions) -> Footprint:
    """What a document comes to that takes so many calls of an engine, and a merge."""
    answer_bytes = min(options.max_output_tokens * TOKEN_BYTES, INLINE_BYTES)
    return Footprint(calls + 1, (calls + 1) * (JOB_BYTES + answer_bytes))


def of_archive(files: int, options: TaskOptions) -> Footprint:
    """What so many files come to, were each of them of one part only."""
    each = of_document(max(1, len(options.questions)), options)
    return Footprint(files * (each.jobs + 1), files * (each.bytes + JOB_BYTES))


def check_document(takes: Footprint, memory: Pressure | None) -> None:
    """Raises DocumentError (`too_big`) for one that could never fit, and Full while there is no room for it."""
    if memory is None or not memory.limit_bytes:
        return
    _check_share(takes, memory, OF_DOCUMENT, "a document")
    if memory.used_bytes + takes.bytes > memory.limit_bytes * FULL_FROM:
        raise _wait(memory)


def check_archive(takes: Footprint, memory: Pressure | None) -> None:
    """As for a document; one that is not small waits while new work is refused, and ends (`no_room`) in a full one."""
    if memory is None or not memory.limit_bytes:
        return
    _check_share(takes, memory, OF_ARCHIVE, "an archive")
    is_small = takes.bytes <= memory.limit_bytes * SMALL
    if memory.fraction >= FULL_FROM and not is_small:
        raise outcome("no_room")
    full_from = FULL_FROM if is_small else BUSY_FROM
    if memory.fraction >= full_from or memory.used_bytes + takes.bytes > memory.limit_bytes * FULL_FROM:
        raise _wait(memory)


def _check_share(takes: Footprint, memory: Pressure, share: float, what: str) -> None:
    most = int(memory.limit_bytes * share)
    if takes.bytes > most:
        found = outcome("too_big", f": its {takes.jobs:,} jobs take {_mib(takes.bytes)} of Redis, {what} {_mib(most)}")
        raise DocumentError(found.message, hint=FEWER, code=found.code)


def _wait(memory: Pressure) -> Full:
    return Full(f"Redis' memory is {memory.fraction:.0%} full: what this takes has no room now.")


def _mib(size: int) -> str:
    return f"{max(1, round(size / MIB)):,} MiB"
