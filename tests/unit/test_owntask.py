"""Tasks of one's own, and what a summary is wished to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.abilities import Ability, missing
from viiwork.cli.owntask import find_own, read_own
from viiwork.cli.taskflags import read_wishes
from viiwork.documents.taskcheck import check_options
from viiwork.documents.tasks import messages_for
from viiwork.documents.tasktexts import task_text
from viiwork.errors import UsageError
from viiwork.work import AnalysisTask, Label, StepInput, TaskOptions
from viiwork_workers.engines.extractive.engine import CANNOT


def said(**options: object) -> str:
    step = StepInput(task=AnalysisTask.SUMMARIZE, options=TaskOptions.model_validate(options), text="x")
    return messages_for(step)[1].content


@pytest.mark.parametrize("task", AnalysisTask)
def test_every_task_is_written_down(task: AnalysisTask) -> None:
    """Nothing is left unfilled in what a model is told."""
    step = StepInput(task=task, options=TaskOptions(json_schema={}, question="q", prompt="p"), text="")
    for stage in ("map", "reduce"):
        assert "{" not in messages_for(step.model_copy(update={"stage": stage}))[1].content.replace(
            '{"quote"', ""
        ).replace("{}", "")
    assert task_text(task).merge


def test_what_a_user_writes_is_filled_in_once() -> None:
    """A question may have braces of its own."""
    step = StepInput(task=AnalysisTask.ASK, options=TaskOptions(question="What is {not_answered}?"), text="x")
    assert "Question: What is {not_answered}?" in messages_for(step)[1].content


def test_a_summary_is_told_its_length_style_and_language() -> None:
    assert "in at most five sentences, in the language of the document." in said()
    assert "in one or two sentences, in German." in said(length="short", language=" German\n")
    assert "begins with `- `" in said(style="bullets")


def test_wishes_are_for_summaries_and_for_language_models() -> None:
    with pytest.raises(UsageError, match="style means nothing for ask"):
        check_options(AnalysisTask.ASK, TaskOptions(question="q", style="prose"))
    step = StepInput(task=AnalysisTask.SUMMARIZE, options=TaskOptions(language="German"), text="x")
    assert missing(step, CANNOT) is Ability.WISHES
    assert missing(step.model_copy(update={"options": TaskOptions()}), CANNOT) is None
    with pytest.raises(UsageError, match="--length huge: there is no such length"):
        read_wishes(None, length="huge", style="", language="")


def test_a_task_of_ones_own_is_a_file_or_a_name(tmp_path: Path) -> None:
    """With the schema that lies beside it."""
    folder = tmp_path / "viiwork" / "tasks"
    folder.mkdir(parents=True)
    (folder / "s.json").write_text('{"type": "object", "properties": {"a": {}}}')
    (folder / "bill.toml").write_text('task = "extract"\nschema = "s.json"\nmax_tokens = 9\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    found = find_own("bill", environ)
    assert found == folder / "bill.toml"
    own = read_own(found)
    assert (own.task, own.schema_, own.max_tokens) == (
        AnalysisTask.EXTRACT,
        {"type": "object", "properties": {"a": {}}},
        9,
    )
    assert find_own("summarize", environ) is find_own("none", environ) is find_own("../bill", environ) is None
    (folder / "kinds.toml").write_text('task = "classify"\n[labels]\nbill = "asks for money"\nother = ""\n')
    assert read_own(folder / "kinds.toml").classes[0] == Label(name="bill", description="asks for money")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("task = \n", "(at line 1, column 8)"),
        ('task = "guess"', "task: input should be 'summarize'"),
        ('task = "ask"\nquestoin = "?"', "questoin: extra inputs are not permitted"),
        ('task = "extract"\nschema = "none.json"', "none.json: no such file or directory"),
        ('task = "ask"\nmax_tokens = 0', "max_tokens: input should be greater than"),
    ],
)
def test_a_file_that_is_no_task_is_named_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        read_own(tmp_path / "own.toml")
    assert reason in str(refused.value)
    assert str(tmp_path) in str(refused.value)
