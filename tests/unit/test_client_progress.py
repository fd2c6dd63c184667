"""What people see of a wait: on terminals, in notebooks, in log files."""

from __future__ import annotations

import io

import pytest

from viiwork.client.progress import Bar, display
from viiwork.jobs import BatchState, BatchStatus, Counts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class OutStream(io.StringIO):
    """What a notebook's kernel puts in the place of standard output."""

    __module__ = "ipykernel.iostream"


def at(settled: int, *, failed: int = 0, total: int = 40) -> BatchStatus:
    counts = Counts(total=total, succeeded=settled - failed, failed=failed)
    state = BatchState.COMPLETED if settled == total else BatchState.RUNNING
    return BatchStatus.model_construct(state=state, counts=counts, paused=False)


def shown(stream: io.StringIO, *statuses: BatchStatus) -> str:
    with display(stream=stream) as made:
        for status in statuses:
            made.progress(status)
    return stream.getvalue()


def test_a_log_has_a_line_for_each_tenth() -> None:
    """Not one for each look."""
    text = shown(io.StringIO(), *(at(settled) for settled in range(41)))
    assert text.splitlines() == [f"{settled} of 40 done" for settled in range(0, 41, 4)]


def test_a_notebook_has_one_line_that_changes() -> None:
    """Nothing of a longer text is left standing."""
    text = shown(OutStream(), at(9, failed=1), at(9, failed=1), at(10))
    assert text == "\r9 of 40 done, 1 failed\r10 of 40 done         \n"


def test_a_notebook_is_found_by_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which people look at, rather than at standard error."""
    output = OutStream()
    monkeypatch.setattr("sys.stdout", output)
    with display() as made:
        made.progress(at(3))
    assert "3 of 40 done" in output.getvalue()


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    assert isinstance(display(stream=terminal), Bar)
    assert "40 of 40 done" in shown(terminal, at(1), at(40))
