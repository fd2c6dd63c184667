"""The further answers of a batch's line that asked for several: each is a job of its own, which may end later."""

from __future__ import annotations

from viiwork.api.openai.batchlines import Target, others_in
from viiwork.jobs import TERMINAL, Result, Row, State
from viiwork.store.reading import Reading


async def others(store: Reading, row: Row, target: Target) -> list[tuple[State, Result]] | None:
    """What came of them; None while some have not ended. Raises NotFound."""
    ids = others_in(row, target)
    found = await store.results(ids) if ids else []
    return found if all(state in TERMINAL for state, _ in found) else None
