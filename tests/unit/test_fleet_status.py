"""What `viiwork status` says of a fleet that is empty or reduced."""

from __future__ import annotations

from rich.console import Console

from viiwork.cli.tables import fleet_view, missing
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import FleetStatus, QueueDepth, WorkerCard, WorkerStatus


def worker(name: str, *, engine: str, model: str) -> WorkerStatus:
    return WorkerStatus(
        card=WorkerCard(name=name, incarnation=name, host="h", pid=1, engine=engine, model=model, slots=1)
    )


ENGINE = worker("gpu0@h", engine="noop", model="default")
READER = worker("reader0@h", engine="reader", model=READER_MODEL)


def shown(status: FleetStatus) -> str:
    console = Console(width=120)
    with console.capture() as text:
        console.print(fleet_view(status))
    return text.get()


def test_an_empty_fleet_lacks_both_kinds_of_worker() -> None:
    """The API alone is up."""
    text = shown(FleetStatus(fleet="f"))
    assert "No engine worker is up" in text
    assert "No reader is up: documents wait." in text
    assert "Nothing is queued." in text


def test_a_fleet_without_engines_or_without_readers_says_which() -> None:
    """One of the two is left."""
    assert missing(FleetStatus(fleet="f", workers=(READER,))) == [
        "No engine worker is up: nothing is answered until one is."
    ]
    assert missing(FleetStatus(fleet="f", workers=(ENGINE,))) == ["No reader is up: documents wait."]
    assert "No reader is up" in shown(FleetStatus(fleet="f", workers=(ENGINE,)))


def test_jobs_for_a_model_that_nobody_serves_any_more_are_named() -> None:
    """Its last worker went away; an empty queue of old is not worth a word."""
    queues = (
        QueueDepth(model="other", lane=Lane.BATCH, waiting=3),
        QueueDepth(model="old", lane=Lane.BATCH),
        QueueDepth(model="default", lane=Lane.BATCH, queued=1),
        QueueDepth(model=READER_MODEL, lane=Lane.BATCH, queued=1),
    )
    status = FleetStatus(fleet="f", workers=(ENGINE, READER), queues=queues)
    assert missing(status) == ["No engine worker for the model other is up: its jobs wait."]


def test_a_whole_fleet_lacks_nothing() -> None:
    """No line that frightens without need."""
    assert missing(FleetStatus(fleet="f", workers=(ENGINE, READER))) == []
