"""What progress comes to where no terminal is: a line at every tenth, every minute and at the end, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from viiwork.cli import progress, pulling
from viiwork.cli.pace import Milestones
from viiwork.cli.steps import Steps
from viiwork.cli.up import Screen
from viiwork.fleet.report import Event
from viiwork.jobs import BatchState, BatchStatus, Counts, Lane
from viiwork.store.backup import Step

GIB = 1024**3


class Clock:
    """A monotonic clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Any:
    """The lines on standard error since they were last asked for."""
    return lambda: capfd.readouterr().err.splitlines()


def status(done: int, *, total: int = 1000, **fields: Any) -> BatchStatus:
    base = {"id": "an_x", "state": BatchState.RUNNING, "tenant": "t", "lane": Lane.BATCH, "model": "m", "task": "ask"}
    return BatchStatus(**{**base, "counts": Counts(total=total, succeeded=done), "created_ms": 0, **fields})


class TestMilestones:
    def test_a_tenth_further_or_a_minute_later(self) -> None:
        """From what was told last, by which everything is measured."""
        told = Milestones()
        shares = [(n, n / 1000) for n in range(0, 31)]
        assert [now_s for now_s, share in shares if told.reached(now_s, share)] == [0]
        assert told.reached(31, 0.1)
        assert not told.reached(90, 0.199)
        assert told.reached(91, 0.199)
        assert not told.reached(92, 0.298)
        assert told.reached(92, 0.2999999999999)

    def test_what_is_told_at_once_counts_as_told(self) -> None:
        told = Milestones()
        assert told.reached(0, 0)
        assert told.reached(50, 0.05, at_once=True)
        assert not told.reached(100, 0.14)
        assert told.reached(110, 0.05), "a minute later, though it went back"


class TestAnalysis:
    def test_a_long_one_is_a_line_a_tenth(self, clock: Clock, said: Any) -> None:
        """Looked at every second for 1,000 s, with 30 s a tenth at first."""
        lines = progress.Lines(clock=clock)
        for done in range(0, 1000, 3):
            lines.progress(status(done))
            clock.now_s += 1
        lines.progress(status(1000, state=BatchState.COMPLETED))
        told = [line.split(" of ")[0] for line in said()]
        tenths = [0, 102, 204, 306, 408, 510, 612, 714, 816, 918, 1000]
        assert told == [f"analysing: {done}" for done in tenths]

    def test_a_slow_one_is_a_line_a_minute(self, clock: Clock, said: Any) -> None:
        """Also while nothing moves: that is what one wants to know."""
        lines = progress.Lines(clock=clock)
        for second in range(240):
            lines.progress(status(min(second, 90) // 30))
            clock.now_s += 1
        assert len(said()) == 4

    def test_a_pause_is_told_at_once_and_once(self, clock: Clock, said: Any) -> None:
        """A night of it is no line a minute."""
        lines = progress.Lines(clock=clock)
        lines.progress(status(0))
        for _ in range(1000):
            clock.now_s += 1
            lines.progress(status(0, paused=True))
        lines.progress(status(0))
        assert [line.endswith("paused") for line in said()] == [False, True, False]

    def test_why_jobs_run_one_at_a_time_is_told_when_it_begins(self, clock: Clock, said: Any) -> None:
        """And again only when an engine dies after the last of them has ended."""
        lines = progress.Lines(clock=clock)
        for suspects in (0, 12, 11, 5, 0, 0, 1):
            lines.progress(status(1, suspects=suspects))
        reasons = [line for line in said() if "died" in line]
        assert [line.split(" run")[0] for line in reasons] == ["12 jobs", "1 job"]

    def test_a_short_upload_is_no_line_and_a_long_one_a_line_a_tenth(self, clock: Clock, said: Any) -> None:
        """With the last one, whole."""
        short = progress.Lines(clock=clock)
        for sent in range(0, 101):
            short.upload(sent, 100)
        assert said() == []
        lines = progress.Lines(clock=clock)
        for sent in range(0, 1001):
            lines.upload(sent * 1024, 1000 * 1024)
            lines.upload(sent * 1024, 1000 * 1024)
            clock.now_s += 0.1
        told = said()
        assert len(told) == 11
        assert told[-1] == "uploading: 1000.0 of 1000.0 KiB"


class TestPull:
    def test_a_large_file_is_a_line_a_tenth_of_all(self, clock: Clock, said: Any) -> None:
        """What was here before counts; the file itself has its own line at its end."""
        lines = pulling.Lines(clock=clock)
        lines.planned("abc", files=2, total_bytes=10 * GIB, here_bytes=2 * GIB)
        lines.begun("model.safetensors", 7 * GIB)
        for _ in range(700):
            clock.now_s += 0.5
            lines.came(GIB // 100)
        lines.done("model.safetensors", 7 * GIB, "fetched")
        told = said()
        assert len(told) == 1 + 6 + 1
        assert told[1].startswith("3.0 GiB of 10.0 GiB (30%)")
        assert told[1].endswith(" a second")
        assert told[-1].startswith("model.safetensors (7.0 GiB, ")

    def test_a_slow_file_is_a_line_a_minute(self, clock: Clock, said: Any) -> None:
        lines = pulling.Lines(clock=clock)
        lines.planned("abc", files=1, total_bytes=100 * GIB, here_bytes=0)
        lines.begun("model.safetensors", 100 * GIB)
        for _ in range(300):
            clock.now_s += 1
            lines.came(1024)
        assert len(said()) == 1 + 5

    def test_small_files_are_a_line_each(self, clock: Clock, said: Any) -> None:
        """None of them takes long enough for more."""
        lines = pulling.Lines(clock=clock)
        lines.planned("abc", files=3, total_bytes=3000, here_bytes=0)
        for name in "abc":
            lines.begun(name, 1000)
            lines.came(1000)
            clock.now_s += 0.3
            lines.done(name, 1000, "fetched")
        assert len(said()) == 1 + 3


class TestSteps:
    @pytest.mark.parametrize(("total", "lines"), [(1000, 1 + 10), (0, 1 + 2)])
    def test_a_long_step_is_a_line_a_tenth(self, clock: Clock, said: Any, total: int, lines: int) -> None:
        """Of one whose end nobody knows, a line a minute."""
        steps = Steps(clock=clock)
        steps.show(Step("restoring"))
        for done in range(1, 1001):
            clock.now_s += 0.1
            steps.show(Step("restoring", done, total, "keys"))
        assert len(said()) == lines


class TestUp:
    def test_a_model_that_loads_is_a_line_a_minute(self, clock: Clock, said: Any) -> None:
        """What else changes is told at once."""
        screen = Screen(as_json=False, stop="", clock=clock)
        for second in range(150):
            screen.show(
                Event(kind="progress", text=f"1 of 2 processes are ready; waiting for gpu0: loading ({second} s)")
            )
            clock.now_s += 1
        assert len(said()) == 3
        screen.show(Event(kind="progress", text="ready"))
        assert said() == ["ready"]
