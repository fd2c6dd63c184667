"""Results as CSV or a report over HTTP: what has ended when it is asked for, gone through twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from viiwork.errors import UsageError
from viiwork.jobs import BatchStatus
from viiwork.store import Store
from viiwork.tabling import sheet, story
from viiwork.tabling.flat import Columns
from viiwork.tabling.formats import MEDIA_TYPES, Format
from viiwork.wire import public


def chosen(asked: str) -> Format:
    """The format of this name. Raises UsageError for one that there is not, or that is not written here."""
    if asked not in MEDIA_TYPES:
        hint = f"Choose one of {', '.join(MEDIA_TYPES)}."
        if asked == Format.PARQUET:
            hint += " `viiwork results ID --format parquet` writes Parquet."
        raise UsageError("format: there is no such format.", hint=hint, param="format")
    return Format(asked)


async def table(
    store: Store, status: BatchStatus, form: Format, *, after: int, limit: int | None
) -> AsyncIterator[str]:
    """CSV or Markdown, bit by bit. Rows that end meanwhile are left for the next time."""
    end = await store.settled_rows(status.id)
    if form is Format.MARKDOWN:
        yield story.heading(status)
        async for row in _rows(store, status.id, after, limit, end=end):
            yield story.section(row)
        return
    columns = Columns()
    async for row in _rows(store, status.id, after, limit, end=end):
        columns.see(row)
    yield sheet.header(columns)
    async for row in _rows(store, status.id, after, limit, end=end):
        yield sheet.row_line(columns, row)


async def _rows(
    store: Store, batch_id: str, after: int, limit: int | None, *, end: int
) -> AsyncIterator[Mapping[str, Any]]:
    async for row in store.rows(batch_id, after=after, limit=limit):
        if row.position is not None and row.position >= end:
            return
        yield {"analysis": batch_id, **public(row)}
