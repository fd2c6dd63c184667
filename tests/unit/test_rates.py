"""Tokens a second, from beats that are seen now and then."""

from __future__ import annotations

import pytest

from viiwork.cli.board import headline, slots
from viiwork.cli.rates import Rates
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, QueueDepth, WorkerCard, WorkerStatus


def fleet(tokens: int, *, beat_age_ms: int = 0, incarnation: str = "one") -> FleetStatus:
    card = WorkerCard(
        name="gpu0@box", incarnation=incarnation, host="box", pid=1, engine="vLLM", model="m", slots=16,
        output_tokens=tokens,
    )  # fmt: skip
    depth = QueueDepth(model="m", lane=Lane.BATCH, waiting=3, queued=2, running=4)
    return FleetStatus(fleet="f", workers=(WorkerStatus(card=card, beat_age_ms=beat_age_ms),), queues=(depth,))


def test_the_rate_is_between_beats_and_not_between_looks() -> None:
    """A look that sees the same beat again changes nothing."""
    rates = Rates()
    rates.see(100.0, fleet(1000))
    assert rates.of("one") is None
    rates.see(101.0, fleet(1000, beat_age_ms=1000))
    assert rates.of("one") is None
    rates.see(102.5, fleet(1200, beat_age_ms=500))
    assert rates.of("one") == pytest.approx(100)
    assert rates.by_worker(fleet(1200)) == {"gpu0@box": 100.0}


def test_it_is_that_of_the_last_ten_seconds() -> None:
    """What was before is forgotten."""
    rates = Rates()
    for second in range(60):
        rates.see(float(second), fleet(1 + (10 * second if second < 30 else 300)))
    assert rates.of("one") == pytest.approx(0)


def test_an_engine_that_was_started_again_counts_anew() -> None:
    """Its rate is unknown until it was seen twice."""
    rates = Rates()
    rates.see(0.0, fleet(5000))
    rates.see(1.0, fleet(40))
    assert rates.of("one") is None
    rates.see(2.0, fleet(90))
    assert rates.of("one") == pytest.approx(50)


def test_who_does_not_say_has_no_rate_and_who_is_gone_is_forgotten() -> None:
    """None rather than 0."""
    rates = Rates()
    rates.see(0.0, fleet(0))
    rates.see(1.0, fleet(0))
    assert rates.of("one") is None
    rates.see(2.0, fleet(10, incarnation="two"))
    assert rates.of("one") is None
    assert rates.by_worker(fleet(0)) == {}


def test_the_head_line_counts_what_runs_and_waits() -> None:
    """Ready ones wait too."""
    assert headline(fleet(0), Rates()) == "Fleet f: 1 worker, 4 running, 5 waiting"


def test_slots_are_shown_as_busy_limit_and_all() -> None:
    """A worker that does not say its limit has none."""
    card = fleet(0).workers[0].card
    assert slots(card, 3) == "3 / 16 / 16"
    assert slots(card.model_copy(update={"limit": 0}), 0) == "0 / 0 / 16"


def test_what_a_worker_says_itself_counts_from_the_first_look() -> None:
    rates = Rates()
    status = fleet(1000)
    card = status.workers[0].card.model_copy(update={"tokens_per_s": 0.0})
    rates.see(0.0, status.model_copy(update={"workers": (WorkerStatus(card=card),)}))
    assert rates.of("one") == 0.0
    assert headline(status, rates).endswith("0 tokens/s")
