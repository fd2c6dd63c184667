"""The table of known errors: each row by a log that was recorded from a real engine, or written like one."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from viiwork_workers.engines.guard.course import STRUCK, Course, Fall
from viiwork_workers.engines.guard.known import LONGEST_LINE, Known, recognise, table

LOGS = Path(__file__).parent / "known_logs"
OF_A_ROW = sorted(LOGS.glob("*.log"))
HEALTHY = sorted((LOGS / "healthy").glob("*.log"))


def lines_of(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines()


def row_of(log: Path) -> str:
    """`card-memory` of `card-memory--llama-cpp.log`."""
    return log.stem.partition("--")[0]


def test_every_row_has_a_log_and_every_log_a_row() -> None:
    assert {row_of(log) for log in OF_A_ROW} == {row.id for row in table()}
    assert len({row.id for row in table()}) == len(table())


@pytest.mark.parametrize("log", OF_A_ROW, ids=lambda log: log.stem)
def test_a_log_is_recognised_as_exactly_its_row(log: Path) -> None:
    found = recognise(lines_of(log))
    assert found is not None
    assert found.id == row_of(log)


@pytest.mark.parametrize("log", HEALTHY, ids=lambda log: log.stem)
def test_nothing_is_found_in_the_log_of_a_healthy_engine(log: Path) -> None:
    """They warn of much, and name errors that they did not have."""
    assert recognise(lines_of(log)) is None


def test_the_most_telling_trouble_wins_wherever_it_stands() -> None:
    """A crash often ends with the least telling line, and a late one may tell more than the first."""
    telling, less = lines_of(LOGS / "card-memory.log"), lines_of(LOGS / "part-died.log")
    for lines in (telling + less, less + telling):
        found = recognise(lines)
        assert found is not None
        assert found.id == "card-memory"


def test_an_empty_log_and_an_unknown_one_tell_nothing() -> None:
    assert recognise([]) is None
    assert recognise(["Traceback (most recent call last):", "ZebraError: stripes"]) is None


def test_lines_are_read_to_a_length_and_no_further() -> None:
    """A log may hold a line of megabytes."""
    near = "x" * (LONGEST_LINE - 50) + " Address already in use"
    far = "x" * LONGEST_LINE + " Address already in use"
    assert recognise([near]) is not None
    assert recognise([far]) is None


@pytest.mark.parametrize("row", table(), ids=lambda row: row.id)
def test_a_row_is_written_as_the_others_are(row: Known) -> None:
    """Sentences for people that quote no log, and patterns whose time is bounded."""
    for said in (row.what, row.advice):
        assert said == said.strip()
        assert said[0].isupper() or said[0] == "`"
        assert said.endswith(".")
        assert "\n" not in said
    for pattern in row.patterns:
        assert not re.search(r"(?<!\\)[*+]", pattern), "no unbounded repeats"
        assert not re.search(r"\)\{", pattern), "no repeats of groups"
        re.compile(pattern)


def test_no_log_names_a_machine_of_ours() -> None:
    for log in [*OF_A_ROW, *HEALTHY]:
        assert not re.search(r"(?<![\w/])/(?:root|home|work|tmp/(?!vllm_dist))", log.read_text(encoding="utf-8")), (
            log.name
        )


@pytest.mark.parametrize("returncode", [-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS, 1])
def test_what_was_struck_down_is_started_again_whatever_its_log_says(returncode: int) -> None:
    """The kernel kills without a word; a line from before is then the only one that is known."""
    known = next(row for row in table() if not row.transient)
    fall = Fall("died", "it was killed", struck=returncode in STRUCK).known_as(known)
    assert fall.why == known.what
    assert Course().after(fall).given_up == (returncode == 1)
