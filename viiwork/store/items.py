"""The documents of an analysis one by one: how each stands, and the failed ones tried again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from viiwork.errors import Conflict
from viiwork.jobs import BatchState, Result, Row, State, TaskName
from viiwork.outcomes import DocumentPage, DocumentStatus, Retried
from viiwork.store.callbacks import as_hash
from viiwork.store.reading import Reading
from viiwork.store.records import Hash, row_of
from viiwork.store.scripts import Call
from viiwork.store.steering import Steering

FAILED = frozenset({State.FAILED, State.EXPIRED, State.DEAD})
OVER = frozenset({BatchState.CANCELLING, BatchState.CANCELLED, BatchState.EXPIRED})
UNFOLDED = "unfolded"
"""The end of an item that held others, which are items in its place."""
PAGE = 100
UNSETTLED = Result()


async def documents(store: Reading, batch_id: str, *, after: int, limit: int) -> DocumentPage:
    """Those from the `after`-th on, in the order of sending. Raises NotFound or Gone."""
    await store.batch(batch_id)
    (found,) = await store.read([("LRANGE", f"{store.prefix}batch:{batch_id}:items", str(after), str(after + limit))])
    items = found[:limit]
    roots = [as_hash(raw) for raw in await store.read(("HGETALL", f"{store.prefix}job:{one}") for one in items)]
    ended = [one for one, root in zip(items, roots, strict=True) if root.get("item_by")]
    rows = await store.rows_of(ended) if ended else {}
    told = [_document(one, root, rows.get(one)) for one, root in zip(items, roots, strict=True) if _counts(root)]
    return DocumentPage(documents=tuple(told), after=after + limit if len(found) > limit else None)


async def retry_failed(store: Steering, batch_id: str, *, once: str = "", but: Collection[str] = ()) -> Retried:
    """Start the documents again that failed, expired or died. Raises NotFound, Gone, or Conflict when it is over.

    Skipped, and counted, are those whose reading failed with a code of `but`.

    The same `once` starts each of them once only, however often it is said, and counts what it started before.
    Rows that come meanwhile are left alone: one that fails at once again would be tried for ever.
    """
    status = await store.batch(batch_id)
    if status.state in OVER:
        raise Conflict(f"This analysis has ended: it is {status.state.value}.", code="ended")
    rows = f"{store.prefix}batch:{batch_id}:rows"
    (count,) = await store.read([("LLEN", rows)])
    retried = skipped = 0
    for copies in (False, True):  # a copy waits for its first, where that is started too
        for start in range(0, int(count), PAGE):
            (items,) = await store.read([("LRANGE", rows, str(start), str(min(start + PAGE, int(count)) - 1))])
            failed = await _failed(store, [item for item in items if item], copies=copies)
            hopeless = await _unreadable(store, failed, but) if but else set()
            skipped += len(hopeless)
            retried += await _retry(store, [one for one in failed if one not in hopeless], once)
    if once:
        (known,) = await store.read([("HGET", f"{store.prefix}batch:{batch_id}", f"retried.{once}")])
        retried = int(known or 0)
    return Retried(id=batch_id, retried=retried, skipped=skipped)


async def _failed(store: Reading, items: Sequence[str], *, copies: bool) -> list[str]:
    told = [("HMGET", f"{store.prefix}job:{one}", "item_state", "same_as") for one in items]
    ends = await store.read(told) if told else []
    return [one for one, (end, first) in zip(items, ends, strict=True) if end in FAILED and bool(first) is copies]


async def _unreadable(store: Reading, items: Sequence[str], codes: Collection[str]) -> set[str]:
    """Those that were not even read, with one of these codes."""
    told = [("HMGET", f"{store.prefix}job:{one}", "task", "item_by") for one in items]
    first = await store.read(told) if told else []
    reads = [one for one, (task, by) in zip(items, first, strict=True) if task == TaskName.READ and by == one]
    rows = await store.rows_of(reads)
    return {one for one, row in rows.items() if row.error is not None and row.error.code in codes}


async def _retry(store: Steering, failed: Sequence[str], once: str) -> int:
    replies = await store.call_many([Call("retry", (one, "row", once)) for one in failed]) if failed else []
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    started = [reply for reply in replies if len(reply) > 1]
    await store.release(*{str(reply[2]) for reply in started if len(reply) > 2})
    return len(started)


def _counts(root: Hash) -> bool:
    return bool(root.get("state")) and root.get("item_state") != UNFOLDED


def _document(item_id: str, root: Hash, row: Row | None) -> DocumentStatus:
    """A document as its first job's record tells it; `row` once it has ended."""
    seen = row or row_of(item_id, {**root, "item_state": _standing(root)}, UNSETTLED)
    answer = seen.answer
    return DocumentStatus(
        id=item_id,
        index=seen.index,
        custom_id=seen.custom_id,
        document=seen.document,
        state=seen.state,
        error=seen.error,
        pages=answer.pages if answer else None,
        parts=answer.parts if answer else None,
        usage=seen.usage or (answer.usage if answer else None),
        attempts=int(root.get("attempt") or 0),
        metadata=seen.metadata,
        seconds=seen.seconds if row else None,
        energy_j=seen.energy_j,
        energy_unknown_jobs=seen.energy_unknown_jobs,
        energy_simulated=seen.energy_simulated,
    )


def _standing(root: Hash) -> str:
    """What a document does that has not ended: what its first job handed on is still under way."""
    return State.RUNNING.value if root["state"] == State.SUCCEEDED else root["state"]
