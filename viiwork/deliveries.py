"""Callbacks as clients see them: which events there are, who is told of them, and how each telling went."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from viiwork.deadletters import Refusal
from viiwork.wire import Wire

EVERYTHING = "*"
"""Stands for all events, also those of later versions."""
MOST = 500
"""Callbacks one request may name, or one page hold."""


class EventType(StrEnum):
    """What can happen that somebody outside may be told of."""

    ANALYSIS_COMPLETED = "analysis.completed"
    ANALYSIS_FAILED = "analysis.failed"
    ANALYSIS_EXPIRED = "analysis.expired"
    ANALYSIS_CANCELLED = "analysis.cancelled"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_EXPIRED = "job.expired"
    JOB_CANCELLED = "job.cancelled"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"
    FLEET_STALLED = "fleet.stalled"
    FLEET_CARD_QUARANTINED = "fleet.card_quarantined"
    ENDPOINT_TEST = "endpoint.test"


OF_ENDPOINTS = tuple(event for event in EventType if event.value.startswith(("analysis.", "batch.", "fleet.")))
"""Those that an endpoint may want. A job's end is told to the URL that came with it alone."""


class DeliveryState(StrEnum):
    """How far a callback is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(Wire):
    """One callback: an event on its way to one receiver. Times are Unix milliseconds on Redis' clock."""

    id: str
    """Its `webhook-id`, the same at every try."""
    type: str
    subject: str
    """What it tells of: an analysis, a job, a worker, a queue."""
    tenant: str
    url: str
    """Without its query, which may hold what is nobody's business."""
    endpoint: str = ""
    """The endpoint that it goes to; empty for a URL that came with its request."""
    state: DeliveryState
    tries: int = 0
    created_ms: int = 0
    due_ms: int | None = None
    """When it is tried again at the earliest, of one that is pending and was tried."""
    tried_ms: int | None = None
    status: int | None = None
    """What the last try was answered; None without an answer."""
    fault: str = ""
    """What went wrong with the last try; empty for one that was delivered."""


class DeliveryPage(Wire):
    """Callbacks of one state, the newest first."""

    callbacks: tuple[Delivery, ...] = ()
    before: str | None = None
    """Where the next page begins; None on the last one."""


class Replayed(Wire):
    """What came of sending callbacks once more."""

    done: int = 0
    refused: tuple[Refusal, ...] = ()


class Endpoint(Wire):
    """A URL that is told of its owner's analyses, or of the fleet."""

    id: str
    url: str
    tenant: str
    events: tuple[str, ...] = (EVERYTHING,)
    created_ms: int = 0
    two_until_ms: int | None = None
    """Until when the secret before the last rotation signs too."""


class Endpoints(Wire):
    """Those of one submitter."""

    endpoints: tuple[Endpoint, ...] = ()


class SecretShown(Wire):
    """A secret, which is shown this once, and whose it is."""

    secret: str = Field(repr=False)
    """`whsec_…`, as the libraries of Standard Webhooks take it."""
    endpoint: Endpoint | None = None
    """None: the submitter's own, for URLs that come with requests."""
    two_until_ms: int | None = None
    """Until when the one before signs too."""


class Trial(Wire):
    """What came of one event that was sent as a test."""

    delivered: bool
    status: int | None = None
    fault: str = ""
    seconds: float = 0.0
