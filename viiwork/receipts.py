"""What the deletion of an analysis is answered with: what went, and when; never what it said."""

from __future__ import annotations

from viiwork.wire import Wire


class Receipt(Wire):
    """The deletion of one analysis. Times are Unix milliseconds on Redis' clock."""

    id: str
    deleted_ms: int
    """From then on nobody sees it any more."""
    finished: bool = False
    """Whether the last of it is gone; if not, the fleet goes on by itself, whatever dies."""
    finished_ms: int | None = None
    was: str = ""
    """The state that it was deleted in."""
    documents: int = 0
    """Its documents, or the jobs of a file of jobs."""
    jobs: int = 0
    """Records of jobs that were removed so far: prompts, texts, results, and what streams said of them."""
    blobs: int = 0
    """Files: documents, and inputs and results that were too large for a record."""
    callbacks: int = 0
    """Callbacks, sent or not."""
