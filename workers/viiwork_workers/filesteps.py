"""The CPU steps of a batch that came as a file: its lines taken in, those refused that cannot be, its files written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viiwork.errors import JobRefused
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.leases import Claim
from viiwork.work import Answer, FileWork, LinesInput, RefusedInput

if TYPE_CHECKING:
    from viiwork_workers.linefiles import LineFiles

DONE = Answer(text="")


class FileSteps:
    """Runs `viiwork.read` and `viiwork.merge` where their inputs are those of a batch."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._files: LineFiles | None = None

    async def close(self) -> None:
        """End what reads the documents inside lines."""
        if self._files is not None:
            await self._files.close()

    async def __call__(self, claim: Claim, work: FileWork) -> Answer:
        """Raises JobRefused for a line that cannot be, StoreUnavailable, Full."""
        if isinstance(work, RefusedInput):
            raise JobRefused(work.message, code=work.code)
        # What clients may send is known to the API's modules: a reader that never has a batch need not load them.
        from viiwork_workers.linefiles import LineFiles  # noqa: PLC0415 - as above
        from viiwork_workers.linesin import LinesIn  # noqa: PLC0415 - as above
        from viiwork_workers.linesout import LinesOut  # noqa: PLC0415 - as above

        max_line_bytes, queue = self._settings.api.max_json_bytes, self._settings.queue
        if isinstance(work, LinesInput):
            most, timeout_s = queue.max_backlog, queue.job_timeout_s
            self._files = files = self._files or LineFiles(self._store)
            bounds = {"max_line_bytes": max_line_bytes, "max_backlog": most}
            await LinesIn(self._store, files, timeout_s=timeout_s, **bounds)(claim, work)
        else:
            await LinesOut(self._store, max_line_bytes=max_line_bytes)(claim, work)
        return DONE
