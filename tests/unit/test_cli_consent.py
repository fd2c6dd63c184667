"""What takes hours is asked for first: on a terminal; elsewhere it is refused with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from viiwork.cli.consent import check_wanted
from viiwork.cli.estimate import Reckoner
from viiwork.documents.room import Room
from viiwork.errors import UsageError
from viiwork.multipart import FileDocument
from viiwork.runs import Run
from viiwork.work import AnalysisTask, TaskOptions

HOUR_S = 3600.0
RUN = Run(
    task="summarize",
    model="m",
    finished_ms=1,
    calls=64,
    prompt_tokens=64_000,
    output_tokens=6400,
    seconds=HOUR_S,
    slots=8,
)


def knowing(*runs: Run) -> Reckoner:
    """A fleet of eight slots that remembers these."""
    room = Room(1000, 100, False, lambda text: len(text.split()))
    return Reckoner(
        model="m",
        engine="an engine",
        slots=8,
        room=room,
        task=AnalysisTask.SUMMARIZE,
        options=TaskOptions(),
        runs=runs,
        remarks=(),
    )


@pytest.fixture
def files(tmp_path: Path) -> Sequence[FileDocument]:
    """Sixteen of some 2,000 words: about as much as what took an hour."""
    for n in range(16):
        (tmp_path / f"{n}.txt").write_text("Words that stand here are many. " * 330)
    return [FileDocument(path, name=path.name) for path in sorted(tmp_path.iterdir())]


def test_what_takes_long_is_refused_where_nobody_can_be_asked(files: Sequence[FileDocument]) -> None:
    """It says how long, and what to do."""
    with pytest.raises(UsageError) as refusal:
        check_wanted(knowing(RUN), files, above_hours=0.1, asks=None)
    assert "--yes" in str(refusal.value)
    assert "min" in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_on_a_terminal_a_no_sends_nothing_and_a_yes_goes_on(
    files: Sequence[FileDocument], capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole estimate stands above the question, on standard error."""
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(typer.Exit) as end:
        check_wanted(knowing(RUN), files, above_hours=0.1, asks=no)
    assert end.value.exit_code == 130
    check_wanted(knowing(RUN), files, above_hours=0.1, asks=lambda _question: True)
    said = capsys.readouterr()
    assert len(asked) == 1
    assert "Go on?" in asked[0]
    assert "Tokens in" in said.err
    assert not said.out


@pytest.mark.parametrize(("runs", "above_hours"), [((), 0.0), ((RUN,), 1000.0), ((RUN,), 2.0)])
def test_what_is_soon_done_or_not_known_is_not_asked_for(
    files: Sequence[FileDocument], runs: tuple[Run, ...], above_hours: float
) -> None:
    """By sizes alone it is under a thousand hours; over two it might be, and reading says that it is not."""
    check_wanted(knowing(*runs), files, above_hours=above_hours, asks=None)
