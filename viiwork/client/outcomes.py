"""What is asked of analyses besides starting and following one: which there are, their documents, their end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from viiwork.client.keys import new_key, safe
from viiwork.client.operation import operation, streaming
from viiwork.client.steps import Emit, Flow, Steps
from viiwork.client.wired import Wired
from viiwork.jobs import BatchState, BatchStatus
from viiwork.outcomes import MOST, AnalysisPage, DocumentPage, DocumentStatus, Retried
from viiwork.receipts import Receipt


class Outcomes(Wired):
    """Lists, retries, deletions."""

    @streaming
    def analyses(
        self,
        *,
        states: Iterable[BatchState | str] = (),
        metadata: Mapping[str, str] | None = None,
        submitter: str = "",
        limit: int | None = None,
    ) -> Flow[BatchStatus]:
        """Analyses and files of jobs, the newest first: of these states, of this submitter, with these metadata."""
        asked: dict[str, Any] = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        asked |= {"status": [str(state) for state in states]} | ({"submitter": submitter} if submitter else {})
        had, after = 0, None
        while limit is None or had < limit:
            asked["limit"] = MOST if limit is None else min(limit - had, MOST)
            params = asked | ({} if after is None else {"after": after})
            page = yield from self._wire.ask(AnalysisPage, "GET", "/v1/analyses", params=params)
            for status in page.analyses:
                yield Emit(status)
            had, after = had + len(page.analyses), page.after
            if after is None:
                return

    @streaming
    def documents(self, analysis_id: str) -> Flow[DocumentStatus]:
        """How each document of an analysis stands, in the order of sending."""
        path, after = f"/v1/analyses/{safe(analysis_id)}/documents", 0
        while True:
            page = yield from self._wire.ask(DocumentPage, "GET", path, params={"after": after, "limit": MOST})
            for document in page.documents:
                yield Emit(document)
            if page.after is None:
                return
            after = page.after

    @operation
    def retry_failed(self, analysis_id: str, *, every: bool = False) -> Steps[Retried]:
        """Try the documents again that failed, expired or died; those that have an answer are left as they are.

        Those that cannot be read would fail as they did: they are skipped, but for `every`.
        """
        headers = {"idempotency-key": new_key()}
        path = f"/v1/analyses/{safe(analysis_id)}/retry{'?all=true' if every else ''}"
        return (yield from self._wire.ask(Retried, "POST", path, headers=headers))

    @operation
    def delete_analysis(self, analysis_id: str) -> Steps[Receipt]:
        """Delete it and all that is kept of it, running or not; look at `.finished`. Asking again does no harm."""
        return (yield from self._wire.ask(Receipt, "DELETE", f"/v1/analyses/{safe(analysis_id)}"))
