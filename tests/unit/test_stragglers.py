"""What Flower is told of a hint whose worker can no longer tell."""

from __future__ import annotations

import pytest

from viiwork.jobs import Fault, Lane, State, Status, TaskName
from viiwork.queues import HintId
from viiwork_workers.stragglers import how_it_ended

HINT = HintId("job_x", attempt=2, n=3)


def record(state: State, *, attempt: int = 2, code: str = "") -> Status:
    return Status(
        id="job_x",
        state=state,
        lane=Lane.BATCH,
        model="m",
        task=TaskName.RUN,
        tenant="t",
        attempt=attempt,
        error=Fault(code=code, message="what happened") if code else None,
    )


@pytest.mark.parametrize(
    ("job", "seen", "told"),
    [
        (record(State.RUNNING), "STARTED", None),
        (record(State.RUNNING), "RECEIVED", None),
        (record(State.RUNNING, attempt=3), "STARTED", "task-retried"),
        (record(State.WAITING), "STARTED", "task-retried"),
        (record(State.QUEUED), "STARTED", "task-retried"),
        (record(State.SUCCEEDED), "STARTED", "task-succeeded"),
        (record(State.CANCELLED), "STARTED", "task-revoked"),
        (record(State.FAILED, code="timeout"), "STARTED", "task-failed"),
        (record(State.DEAD, code="dead"), "STARTED", "task-failed"),
        (record(State.SUCCEEDED), "RECEIVED", "task-rejected"),
        (record(State.WAITING), "RECEIVED", "task-rejected"),
        (record(State.WAITING, attempt=1), "RECEIVED", "task-rejected"),
        (record(State.QUEUED, attempt=1), "RECEIVED", None),
    ],
)
def test_a_hint_ends_as_its_job_went_on(job: Status, seen: str, told: str | None) -> None:
    """Only what is certain is told: a hint that may still be in its worker's hands is left as it is."""
    event = how_it_ended(job, HINT, seen, present=True)
    assert (event and event["type"]) == told


def test_a_hint_that_a_lost_worker_never_claimed_is_stale() -> None:
    """Its job is published again under another hint."""
    assert how_it_ended(record(State.QUEUED, attempt=1), HINT, "RECEIVED", present=False) == {"type": "task-rejected"}


def test_a_failure_is_told_by_its_code_alone() -> None:
    """The message may name what the document says."""
    event = how_it_ended(record(State.FAILED, code="timeout"), HINT, "STARTED", present=True)
    assert event is not None
    assert event["exception"] == "failed: timeout"
    assert "what happened" not in repr(event)
