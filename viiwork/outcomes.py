"""What HTTP tells of analyses besides their status: pages of them, of their documents, and what a retry started."""

from __future__ import annotations

from pydantic import Field

from viiwork.jobs import BatchStatus, Fault, State
from viiwork.wire import Wire
from viiwork.work import Usage

MOST = 500
"""Analyses or documents that one page may hold."""


class AnalysisPage(Wire):
    """Analyses, the newest first; `after` is where the next page begins, None at the end.

    A page may hold fewer than were asked for, and none, and yet not be the last.
    """

    analyses: tuple[BatchStatus, ...] = ()
    after: int | None = None


class DocumentStatus(Wire):
    """How one document stands, or one job of a file of jobs."""

    id: str
    """Of its first job."""
    index: int
    """Its place in the request."""
    custom_id: str = ""
    document: str = ""
    state: State
    """`running` also between its first part and its last."""
    error: Fault | None = None
    """Why it has no answer, once that is so."""
    pages: int | None = None
    """None before it has an answer."""
    parts: int | None = None
    usage: Usage | None = None
    """Tokens of all engine calls for it that ended, failed and retried ones too; None where none is known of."""
    attempts: int = 0
    """How often it was begun: a worker that died and a retry begin it anew."""
    metadata: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = None
    """From submission to its end."""
    energy_j: float | None = None
    energy_unknown_jobs: int = 0
    energy_simulated: bool | None = None


class DocumentPage(Wire):
    """Documents in the order of sending; `after` is where the next page begins, None at the end."""

    documents: tuple[DocumentStatus, ...] = ()
    after: int | None = None


class Retried(Wire):
    """What came of trying failed documents again."""

    id: str
    retried: int
    """How many were started once more."""
    skipped: int = 0
    """How many were not, for they would fail as they did: they cannot be read."""
