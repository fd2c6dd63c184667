"""What `viiwork status` says of a fleet that is empty or reduced."""

from __future__ import annotations

from rich.console import Console, RenderableType

from viiwork.cli.board import board
from viiwork.cli.rates import Rates
from viiwork.cli.tables import fleet_view, missing, suspected, worth_a_row
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import CardStatus, FleetStatus, QueueDepth, WorkerCard, WorkerStatus


def worker(name: str, *, engine: str, model: str) -> WorkerStatus:
    return WorkerStatus(
        card=WorkerCard(name=name, incarnation=name, host="h", pid=1, engine=engine, model=model, slots=1)
    )


ENGINE = worker("gpu0@h", engine="noop", model="default")
READER = worker("reader0@h", engine="reader", model=READER_MODEL)


def shown(view: RenderableType) -> str:
    console = Console(width=120)
    with console.capture() as text:
        console.print(view)
    return text.get()


def test_an_empty_fleet_lacks_both_kinds_of_worker() -> None:
    """The API alone is up."""
    text = shown(fleet_view(FleetStatus(fleet="f")))
    assert "No engine worker is up" in text
    assert "No reader is up: documents wait." in text
    assert "(nothing waits)" in text


def test_a_fleet_without_engines_or_without_readers_says_which() -> None:
    """One of the two is left."""
    assert missing(FleetStatus(fleet="f", workers=(READER,))) == [
        "No engine worker is up: nothing is answered until one is."
    ]
    assert missing(FleetStatus(fleet="f", workers=(ENGINE,))) == ["No reader is up: documents wait."]
    assert "No reader is up" in shown(fleet_view(FleetStatus(fleet="f", workers=(ENGINE,))))


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


def test_jobs_that_run_one_at_a_time_are_counted_by_model_with_the_reason() -> None:
    """In both views; a fleet whose engines live has no such line."""
    queues = (
        QueueDepth(model="default", lane=Lane.BATCH, waiting=11, running=1, suspects=11),
        QueueDepth(model="default", lane=Lane.INTERACTIVE, running=1, suspects=1),
        QueueDepth(model=READER_MODEL, lane=Lane.BATCH, running=3, suspects=1),
    )
    fleet = FleetStatus(fleet="f", workers=(ENGINE, READER), queues=queues)
    many = "default: 12 jobs run one at a time on each worker: they were in an engine or worker that died."
    assert suspected(fleet) == [many, "read: 1 job runs again: it was in an engine or worker that died."]
    for view in (fleet_view(fleet), board(fleet, Rates())):
        assert many in shown(view)
    assert suspected(FleetStatus(fleet="f", queues=(queues[0].model_copy(update={"suspects": 0}),))) == []


def test_queues_without_jobs_that_nobody_serves_are_no_rows() -> None:
    """Models of last year; a queue that somebody serves is shown empty too, and one with jobs whoever serves it."""
    old = QueueDepth(model="old", lane=Lane.BATCH)
    queues = (
        QueueDepth(model="default", lane=Lane.BATCH),
        old,
        QueueDepth(model="orphan", lane=Lane.BATCH, running=1),
        QueueDepth(model=READER_MODEL, lane=Lane.INTERACTIVE),
    )
    fleet = FleetStatus(fleet="f", workers=(ENGINE, READER), queues=queues)
    assert [depth.model for depth in worth_a_row(fleet)] == ["default", "orphan", READER_MODEL]
    for view in (fleet_view(fleet), board(fleet, Rates())):
        text = shown(view)
        assert "orphan" in text
        assert "old" not in text
        assert "(nothing waits)" not in text
    for empty in (FleetStatus(fleet="f", workers=(ENGINE,)), FleetStatus(fleet="f", workers=(ENGINE,), queues=(old,))):
        for view in (fleet_view(empty), board(empty, Rates())):
            assert "(nothing waits)" in shown(view)
            assert "Lane" not in shown(view)


def test_each_card_is_a_line_and_what_it_does_not_tell_is_a_dash() -> None:
    """As `status` and `top` show them; beside them how full and how fast the engine is, and why a worker takes less."""
    told = CardStatus(
        name="Radeon VII",
        number=0,
        vram_used_bytes=4 << 30,
        vram_total_bytes=16 << 30,
        temperature_c=97.4,
        sensor="junction",
        critical_c=105.0,
        power_w=181.0,
        cap_w=250.0,
    )
    lost = CardStatus(name="Radeon VII", number=1, state="gone")
    busy = ENGINE.card.model_copy(
        update={
            "slots": 16,
            "limit": 12,
            "kv_use": 0.25,
            "tokens_per_s": 88.4,
            "throttle": "junction at 97 °C",
            "closed": (Lane.BATCH,),
            "cards": (told, lost),
        }
    )
    status = FleetStatus(fleet="f", workers=(WorkerStatus(card=busy, in_flight={Lane.INTERACTIVE: 3}), READER))
    for view, slots in ((fleet_view(status), "3/12/16"), (board(status, Rates()), "3 / 12 / 16")):
        lines = [" ".join(line.replace("│", " ").split()) for line in shown(view).splitlines()]
        assert "gpu0@h gpu0 Radeon VII 4.0/16.0 97/105 junction 181/250 ok" in lines
        assert "gpu0@h gpu1 Radeon VII -/- - -/- gone" in lines
        assert "gpu0@h is held back (throttled: junction at 97 °C; batch paused)." in lines
        worker = next(line for line in lines if line.startswith("gpu0@h noop"))
        assert f"default {slots} 3 0 25 %" in worker
        reader = next(line for line in lines if line.startswith("reader0@h reader"))
        assert "0 0 - -" in reader


def test_a_fleet_that_was_told_of_no_cards_has_no_table_of_them() -> None:
    assert "VRAM" not in shown(fleet_view(FleetStatus(fleet="f", workers=(ENGINE, READER))))
