"""Complaints that repeat are told once in a while."""

from __future__ import annotations

import logging

from viiwork_workers.seldom import Seldom


def told(times: list[float], *, template: str = "Redis is away: %s") -> list[float]:
    """Which of these moments' records pass."""
    seldom = Seldom(at_once=3, period_s=30.0)
    passed = []
    for at in times:
        record = logging.LogRecord("test", logging.WARNING, __file__, 1, template, (at,), None)
        record.created = at
        passed += [at] if seldom.filter(record) else []
    return passed


def test_a_burst_passes_and_then_one_a_period() -> None:
    assert told([float(second) for second in range(100)]) == [0, 1, 2, 30, 60, 90]


def test_what_comes_now_and_then_always_passes() -> None:
    moments = [20.0 * n for n in range(50)]
    assert told(moments) == moments


def test_after_a_quiet_while_a_burst_passes_again() -> None:
    assert told([0, 1, 2, 3, 4, 500, 501, 502, 503]) == [0, 1, 2, 500, 501, 502]


def test_each_kind_of_message_counts_by_itself() -> None:
    seldom = Seldom(at_once=1)
    records = [
        logging.LogRecord("test", logging.WARNING, __file__, 1, text, (), None) for text in ("one", "other", "one")
    ]
    assert [seldom.filter(record) for record in records] == [True, True, False]
