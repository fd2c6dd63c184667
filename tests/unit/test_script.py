"""The script that a recipe's command runs: looked for before anything starts, and named with the recipe's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from viiwork.errors import SettingsError
from viiwork.recipes.check import check_fleet
from viiwork.settings import EngineSection, Settings

Complaint = Callable[..., str]
BESIDE = "title = 'x'\ncommand = [{}, '--port', '{{port}}']\n"


@pytest.fixture
def complaint() -> Complaint:
    """The one line with which `up`, and a worker, refuse an engine."""

    def refused(kind: str, worker: str = "cpu0") -> str:
        with pytest.raises(SettingsError) as caught:
            check_fleet(Settings(engine=EngineSection(kind=kind)), (worker,), environ={"PATH": "/bin:/usr/bin"})
        assert (caught.value.exit_code, caught.value.param) == (2, "engine.kind")
        line = str(caught.value)
        assert "\n" not in line
        return line

    return refused


@pytest.mark.parametrize(
    "words",
    ["'{python}', '{here}/serve.py'", "'{python}', '-u', '-X', 'dev', '{here}/serve.py'", "'sh', '{here}/serve.py'"],
)
def test_a_script_that_is_not_beside_its_recipe_is_named_before_anything_starts(
    complaint: Complaint, tmp_path: Path, words: str
) -> None:
    """An engine without it would be started five times, and each time only its log would say why."""
    mine = tmp_path / "my.toml"
    mine.write_text(BESIDE.format(words))
    said = complaint(str(mine))
    assert said == f"{mine}: command: {tmp_path}/serve.py is not there. Put it there, or name another."


def test_the_hint_of_a_recipe_stands_where_its_script_is_missing(complaint: Complaint, tmp_path: Path) -> None:
    mine = tmp_path / "my.toml"
    mine.write_text("install = 'Copy it.'\n" + BESIDE.format("'{python}', '{here}/serve.py'"))
    assert complaint(str(mine)).endswith("serve.py is not there. Copy it.")


def test_a_program_beside_its_recipe_must_be_there_and_may_be_run(complaint: Complaint, tmp_path: Path) -> None:
    mine, program = tmp_path / "my.toml", tmp_path / "serve"
    mine.write_text(BESIDE.format("'{here}/serve'"))
    assert complaint(str(mine)).startswith(f"{mine}: command: {program} is not there.")
    program.write_text("#!/bin/sh\n")
    assert complaint(str(mine)).startswith(f"{mine}: command: {program} may not be run.")


def test_the_script_looked_for_is_that_of_the_recipe_that_the_worker_takes(
    complaint: Complaint, tmp_path: Path
) -> None:
    """A recipe may send workers without a card to another, which has a script of its own."""
    first, second = tmp_path / "my.toml", tmp_path / "on-cpu.toml"
    first.write_text("on_cpu = '{here}/on-cpu.toml'\n" + BESIDE.format("'{python}', '{here}/serve.py'"))
    second.write_text(BESIDE.format("'{python}', '{here}/slowly.py'"))
    assert complaint(str(first), worker="cpu0").startswith(f"{second}: command: {tmp_path}/slowly.py")
    assert complaint(str(first), worker="gpu0").startswith(f"{first}: command: {tmp_path}/serve.py")


@pytest.mark.parametrize(
    "words",
    [
        "'{python}', '-m', 'server', '{here}/new'",
        "'{python}', '-c', 'pass', '{here}/new'",
        "'{python}', '-u', 'serve.py'",
        "'{python}', '{here}/serve-{alias}.py'",
        "'sh', '--log', '{here}/new.log'",
    ],
)
def test_what_need_not_be_there_before_the_engine_is_not_looked_for(tmp_path: Path, words: str) -> None:
    """A file that it is to write, one whose name is not known yet, and a module's own arguments."""
    (tmp_path / "my.toml").write_text(BESIDE.format(words))
    settings = Settings(engine=EngineSection(kind=str(tmp_path / "my.toml")))
    check_fleet(settings, ("cpu0",), environ={"PATH": "/bin:/usr/bin"})


def test_a_script_that_is_beside_its_recipe_is_taken(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(BESIDE.format("'{python}', '{here}/serve.py'"))
    (tmp_path / "serve.py").write_text("")
    check_fleet(Settings(engine=EngineSection(kind=str(tmp_path / "my.toml"))), ("cpu0",), environ={})
