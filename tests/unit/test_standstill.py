"""Work that does not move: when the fleet is asked, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from viiwork.cli.awaited import NOTHING, awaited
from viiwork.cli.standstill import LOOK_AFTER_S, LOOK_EVERY_S, Standstill
from viiwork.errors import Forbidden, Unavailable
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import FleetStatus, Memory, WorkerCard, WorkerStatus

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
AWAY = "waiting for its server: the server at http://127.0.0.1:8080 does not answer (connection refused)"


def worker(
    name: str = "cpu0@lab", *, model: str = "tiny", quarantine: str = "", hold: str = "", **card: object
) -> WorkerStatus:
    base = {"name": name, "incarnation": name, "host": "lab", "pid": 1, "engine": "e", "model": model, "slots": 4}
    return WorkerStatus(card=WorkerCard.model_validate({**base, **card}), quarantine=quarantine, hold=hold)


READER = worker("reader0@lab", model=READER_MODEL)


def fleet(*workers: WorkerStatus, **fields: object) -> FleetStatus:
    queues = [{"model": "tiny", "lane": "batch", "queued": 1}, {"model": "other", "lane": "batch", "running": 1}]
    return FleetStatus.model_validate({"fleet": "f", "workers": workers, "queues": queues, **fields})


@pytest.mark.parametrize(
    ("crew", "short", "told"),
    [
        ((), "no worker is up", "No engine worker for the model tiny is up: its jobs wait."),
        (
            (worker(engine_state=AWAY),),
            "waiting for its server",
            f"No worker takes jobs for tiny now. cpu0@lab: {AWAY}.",
        ),
        (
            (worker(engine_state=AWAY), worker("cpu1@lab", engine_state=AWAY)),
            "waiting for its server",
            f"No worker takes jobs for tiny now. cpu0@lab, cpu1@lab: {AWAY}.",
        ),
        (
            (worker(engine_state="loading (35 s)"), worker("cpu1@lab", quarantine="It wrote rubbish.")),
            "no worker takes jobs",
            "No worker takes jobs for tiny now. cpu0@lab: loading (35 s); cpu1@lab: quarantined: It wrote rubbish.",
        ),
        (
            (worker(limit=0, hold="a benchmark"),),
            "held",
            "No worker takes jobs for tiny now. cpu0@lab: held: a benchmark.",
        ),
        (
            (worker(closed=("batch",)),),
            "the batch lane is closed",
            "tiny: batch work waits: that lane is paused on every worker.",
        ),
        ((worker(engine_state=AWAY), worker("cpu1@lab", engine_state="ready")), "", ""),
        ((worker(closed=("interactive",), hold="a benchmark", limit=1),), "", ""),
    ],
)
def test_what_work_waits_for_is_said_where_no_worker_takes_it(
    crew: tuple[WorkerStatus, ...], short: str, told: str
) -> None:
    found = awaited(fleet(READER, *crew), "tiny", Lane.BATCH, reads=True, now=NOW)
    assert (found.short, found.told) == (short, told)


def test_documents_wait_for_a_reader_and_all_for_room_in_redis() -> None:
    ready, full = fleet(worker()), fleet(worker(), memory=Memory(used_bytes=99, limit_bytes=100))
    assert awaited(ready, "tiny", Lane.BATCH, reads=True, now=NOW).told == "No reader is up: documents wait."
    assert awaited(ready, "tiny", Lane.BATCH, reads=False, now=NOW) == NOTHING
    assert awaited(full, "tiny", Lane.BATCH, reads=False, now=NOW).told.startswith("Redis' memory is 99% full")


def test_a_model_none_of_whose_jobs_is_left_stops_nobody() -> None:
    """A file of jobs may name several."""
    stopped = fleet(READER, worker(engine_state=AWAY), queues=[{"model": "other", "lane": "batch", "running": 1}])
    assert awaited(stopped, "tiny", Lane.BATCH, reads=True, now=NOW) == NOTHING
    unread = fleet(worker(), queues=[{"model": READER_MODEL, "lane": "batch", "waiting": 1}])
    assert awaited(unread, "tiny", Lane.BATCH, reads=True, now=NOW).short == "no reader is up"


class Service:
    """Answers, at a time that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.asked: list[float] = []
        self.state = AWAY
        self.fault: Exception | None = None
        self.still = Standstill(self.ask, "tiny", Lane.BATCH, clock=lambda: self.now_s)

    def ask(self) -> FleetStatus:
        self.asked.append(self.now_s)
        if self.fault is not None:
            raise self.fault
        return fleet(worker(engine_state=self.state))

    def pass_s(self, seconds: int) -> list[str]:
        """What was said meanwhile, by a look each second."""
        said = []
        for _ in range(seconds):
            self.now_s += 1
            said += [news] if (news := self.still.look()) else []
        return said


def test_it_is_said_once_and_again_when_it_is_something_else() -> None:
    """Figures alone are no news."""
    service = Service()
    assert service.pass_s(int(LOOK_AFTER_S) - 1) == []
    assert [AWAY in news for news in service.pass_s(100)] == [True]
    service.state = "loading (3 s)"
    assert ["loading (3 s)" in news for news in service.pass_s(15)] == [True]
    service.state = "loading (18 s)"
    assert service.pass_s(100) == []
    assert "loading (18 s)" in service.still.found.told
    service.state = "ready"
    assert service.pass_s(10) == []
    assert service.still.found == NOTHING


def test_what_somebody_else_has_said_is_not_said_again() -> None:
    service = Service()
    told = awaited(service.ask(), "tiny", Lane.BATCH, reads=False, now=NOW).told
    service.still = Standstill(service.ask, "tiny", Lane.BATCH, told=told, clock=lambda: service.now_s)
    assert service.pass_s(100) == []
    service.state = "restarting (3 deaths)"
    assert len(service.pass_s(100)) == 1


def test_the_fleet_is_asked_only_while_nothing_moves_and_seldom() -> None:
    service = Service()
    for _ in range(100):
        service.still.moved()
        service.pass_s(1)
    assert service.asked == []
    service.pass_s(60)
    assert len(service.asked) == 6
    assert min(b - a for a, b in zip(service.asked, service.asked[1:], strict=False)) >= LOOK_EVERY_S
    service.still.moved()
    assert service.still.found == NOTHING
    assert [AWAY in news for news in service.pass_s(20)] == [True]


def test_a_key_that_may_not_see_the_fleet_is_told_nothing_and_asks_no_more() -> None:
    service = Service()
    service.fault = Forbidden("No.")
    assert service.pass_s(100) == []
    assert len(service.asked) == 1


def test_a_service_that_is_away_for_a_look_is_asked_again() -> None:
    service = Service()
    service.fault = Unavailable("Nobody answers.")
    assert service.pass_s(30) == []
    service.fault = None
    assert len(service.pass_s(10)) == 1
