"""A fleet that starts: who is awaited, who is given up, and when there is no point in waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.errors import EngineFault
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.describe import fleet_report
from viiwork.fleet.judge import MANY_TRIES, absences, is_up, judge_start
from viiwork.fleet.plan import ProcessSpec, Role
from viiwork.fleet.readiness import Readiness
from viiwork.roster import WorkerCard
from viiwork.settings import load_settings
from viiwork.store import Store

REASON = "failed: The card's memory is too small. Take a smaller model."


async def _nothing(child: Child, pid: int, returncode: int) -> None:
    """Nobody asks."""


def engine(name: str, *, pid: int, state: ChildState = ChildState.STARTING, logs: Path = Path("logs")) -> Child:
    child = Child(ProcessSpec(name, Role.ENGINE, ("none",)), logs=logs, on_exit=_nothing)
    child.pid, child.state = pid, state
    return child


def card(pid: int, engine_state: str) -> WorkerCard:
    return WorkerCard(
        name=f"w{pid}@h", incarnation="i", host="h", pid=pid, engine="e", model="m", slots=1, engine_state=engine_state
    )


def cards(*found: WorkerCard) -> dict[int, WorkerCard]:
    return {each.pid: each for each in found}


async def test_while_one_engine_may_still_come_up_nobody_gives_up() -> None:
    gpus = [engine("gpu0", pid=1), engine("gpu1", pid=2)]
    known = cards(card(1, REASON), card(2, "loading (35 s)"))
    judge_start(gpus, known)
    assert not is_up(gpus, known)


async def test_when_every_engine_was_given_up_the_first_reason_is_told_with_its_log() -> None:
    gpus = [engine("gpu0", pid=1), engine("gpu1", pid=2)]
    told = (
        r"no engine could be started: The card's memory is too small\. Take a smaller model\. See logs/engine-gpu0\.log"
    )
    with pytest.raises(EngineFault, match=told):
        judge_start(gpus, cards(card(1, REASON), card(2, REASON)))


async def test_of_a_server_that_somebody_else_runs_the_workers_own_log_is_named(tmp_path: Path) -> None:
    """Nobody here writes down what such a server says."""
    worker = engine("cpu0", pid=1, logs=tmp_path)
    worker.log.write_text("")
    with pytest.raises(EngineFault, match=rf"See {worker.log}\.$"):
        judge_start([worker], cards(card(1, REASON)))


async def test_a_worker_that_died_and_an_engine_that_failed_are_no_fleet_together() -> None:
    gpus = [engine("gpu0", pid=0, state=ChildState.FAILED), engine("gpu1", pid=2)]
    with pytest.raises(EngineFault, match="See logs/engine-gpu1"):
        judge_start(gpus, cards(card(2, REASON)))


async def test_an_engine_that_was_given_up_beside_one_that_works_holds_nobody_up() -> None:
    gpus = [engine("gpu0", pid=1), engine("gpu1", pid=2, state=ChildState.READY)]
    known = cards(card(1, REASON), card(2, "ready"))
    judge_start(gpus, known)
    assert is_up(gpus, known)


async def test_a_card_that_is_lost_holds_nobody_up() -> None:
    """It may come back in a year; the fleet that has others is up, and is never given up for that."""
    gpus = [engine("gpu0", pid=1, state=ChildState.READY), engine("gpu1", pid=2)]
    known = cards(card(1, ""), card(2, "waiting for its card, which is gone"))
    judge_start(gpus, known)
    assert is_up(gpus, known)


async def test_the_table_says_which_card_a_worker_waits_for() -> None:
    """Its process only starts for as long as that lasts."""
    waiting = engine("gpu1", pid=2)
    report = fleet_report(
        load_settings(), [waiting], server=None, cards=cards(card(2, "waiting for its card, which is gone"))
    )
    assert [row.state for row in report.processes] == ["waiting for its card, which is gone"]
    report = fleet_report(load_settings(), [waiting], server=None, cards=cards(card(2, "loading (3 s)")))
    assert [row.state for row in report.processes] == ["starting"]


AWAY = "waiting for its server: the server at http://127.0.0.1:8080 does not answer (connection refused)"


async def test_a_server_of_somebody_elses_is_looked_for_and_then_the_fleet_comes_up_and_says_why() -> None:
    """`up --detach` waited for it without end, and said neither what did not answer nor where to read on."""
    cpus = [engine("cpu0", pid=1), engine("cpu1", pid=2, state=ChildState.READY)]
    early = card(1, AWAY).model_copy(update={"engine_restarts": MANY_TRIES - 1})
    assert not is_up(cpus, cards(early, card(2, "ready")))
    assert absences(cpus, cards(early, card(2, "ready"))) == []
    late = cards(early.model_copy(update={"engine_restarts": MANY_TRIES}), card(2, "ready"))
    judge_start(cpus, late)
    assert is_up(cpus, late)
    (told,) = absences(cpus, late)
    assert told.startswith(
        "cpu0: the server at http://127.0.0.1:8080 does not answer (connection refused). Start that "
    )
    assert told.endswith("See logs/guard-cpu0.log.")
    (row, _) = fleet_report(load_settings(), cpus, server=None, cards=late).processes
    assert row.state == AWAY


async def test_a_server_with_other_models_is_waited_for_likewise() -> None:
    told = "http://127.0.0.1:8080 does not serve 'wrong'. It serves tiny"
    state = f"waiting for its model: {told}"
    late = cards(card(1, state).model_copy(update={"engine_restarts": MANY_TRIES}))
    cpus = [engine("cpu0", pid=1)]
    assert is_up(cpus, late)
    (said,) = absences(cpus, late)
    assert said.startswith(f"cpu0: {told}. Have that server serve it, or end this fleet and give another --model")
    (row,) = fleet_report(load_settings(), cpus, server=None, cards=late).processes
    assert row.state == state


async def test_the_line_that_waits_says_why_such_a_server_does_not_answer(fake_store: Store) -> None:
    readiness = Readiness(load_settings(), fake_store, [engine("cpu0", pid=1)], host="h")
    readiness.cards = cards(card(1, AWAY))
    assert readiness.progress().endswith(
        "waiting for cpu0: the server at http://127.0.0.1:8080 does not answer (connection refused)"
    )
    readiness.cards = cards(card(1, "loading (35 s)"))
    assert readiness.progress().endswith("waiting for cpu0: loading (35 s)")
