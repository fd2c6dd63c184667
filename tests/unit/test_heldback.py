"""What is told of lanes that the hours have closed, of a host's watts, and of a server that is nearly full."""

from __future__ import annotations

from datetime import datetime

import pytest

from viiwork.heldback import closed_lane, notices
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, HostWatts, Memory, WorkerCard, WorkerStatus

NOW = datetime.fromisoformat("2026-11-22T23:30+01:00")
MORNING, MONDAY = "2026-11-23T07:00+01:00", "2026-11-30T07:00+01:00"


def worker(name: str = "gpu0@lab", *, quarantine: str = "", **fields: object) -> WorkerStatus:
    base = {"name": name, "incarnation": name, "host": "lab", "pid": 1, "engine": "e", "model": "m", "slots": 4}
    return WorkerStatus(card=WorkerCard.model_validate({**base, **fields}), quarantine=quarantine)


def shut(opens: str) -> WorkerStatus:
    return worker(closed=("interactive",), opens={"interactive": opens})


def fleet(*workers: WorkerStatus) -> FleetStatus:
    return FleetStatus(fleet="f", workers=workers)


@pytest.mark.parametrize(
    ("used", "told"),
    [
        (79, ""),
        (85, "Redis' memory is 85% full (of 128 MiB): new work is taken again below 80%, and archives wait. Delete"),
        (97, "Redis' memory is 97% full (of 128 MiB): no new work is taken, and documents that are not cut yet wait."),
    ],
)
def test_a_server_that_is_nearly_full_is_told_in_words(used: int, told: str) -> None:
    limit_bytes = 128 * 1024 * 1024
    memory = Memory(used_bytes=limit_bytes * used // 100 + 1, limit_bytes=limit_bytes)
    (line, *_) = (*notices(fleet().model_copy(update={"memory": memory}), now=NOW), "")
    assert line.startswith(told) and bool(line) == bool(told)
    assert notices(fleet().model_copy(update={"memory": Memory(used_bytes=limit_bytes)}), now=NOW) == ()


@pytest.mark.parametrize(
    ("crew", "told"),
    [
        ((worker(),), ""),
        ((), ""),
        ((shut(MORNING),), "m: interactive work waits until 07:00 (UTC+01:00): the schedule has closed that lane."),
        ((shut(MONDAY),), "m: interactive work waits until Mon 07:00 (UTC+01:00): the schedule has closed that lane."),
        ((shut(MONDAY), shut(MORNING)), "m: interactive work waits until 07:00 (UTC+01:00): the schedule has"),
        ((shut(""),), "m: interactive work waits: the schedule has closed that lane, and never opens it."),
        ((worker(closed=("interactive",)),), "m: interactive work waits: that lane is paused on every worker."),
        ((shut(MORNING), worker("gpu1@lab")), ""),
        ((shut(MORNING), worker("gpu1@lab", quarantine="it died")), "m: interactive work waits until 07:00"),
    ],
)
def test_a_lane_that_nobody_takes_work_from_is_told_with_when_it_opens(
    crew: tuple[WorkerStatus, ...], told: str
) -> None:
    """By the clock of the schedule, the day too where it is not the next morning."""
    found = closed_lane(fleet(*crew), "m", Lane.INTERACTIVE, now=NOW)
    assert found.startswith(told) and bool(found) == bool(told)
    assert closed_lane(fleet(*crew), "m", Lane.BATCH, now=NOW) == ""


@pytest.mark.parametrize(
    ("power", "told"),
    [
        (HostWatts(wall_w=1061.4), "lab draws about 1,061 W at the wall."),
        (HostWatts(wall_w=1061.4, host_watts=1400.0), "lab draws about 1,061 of 1,400 W at the wall."),
        (
            HostWatts(wall_w=900, host_watts=1400, entry="22:00-07:00", until=MORNING, why="their caps are lowered"),
            "lab draws about 900 of 1,400 W at the wall (hours 22:00-07:00, until 07:00 (UTC+01:00)): their caps are "
            "lowered.",
        ),
    ],
)
def test_each_host_is_told_once_with_what_it_draws(power: HostWatts, told: str) -> None:
    both = fleet(worker(power=power), worker("gpu1@lab", power=power), worker("cpu0@other", host="other"))
    assert notices(both, now=NOW) == (told,)


def test_a_fleet_without_hours_and_watts_is_told_nothing() -> None:
    assert notices(fleet(worker()), now=NOW) == ()
