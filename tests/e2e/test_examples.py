"""The examples, as a newcomer starts them, on a real fleet with the preview engine."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.workers import bare_environ

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLES = str(ROOT / "samples" / "documents")
NOTICE = "What is the notice period?"
Example = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fleet that all of them share."""
    environ = bare_environ() | {"VIIWORK_FLEET_STATE_DIR": str(tmp_path_factory.mktemp("up") / "state")}

    def viiwork(*arguments: str) -> str:
        argv = [sys.executable, "-m", "viiwork.cli", *arguments]
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=True).stdout

    told = json.loads(viiwork("up", "--engine", "extractive", "--port", "0", "--no-flower", "--detach", "--json"))
    yield told["api_url"]
    viiwork("down", "--now")


@pytest.fixture
def example(up: str) -> Example:
    """Runs one of them to its end."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(ROOT / "examples" / name), *arguments]
        environ = bare_environ() | {"VIIWORK_URL": up, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
        ended = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    return run


def test_a_folder_is_summarized(example: Example) -> None:
    """Each file has a line, the bad ones their reason; how far it is goes to standard error."""
    ended = example("analyze_folder.py", SAMPLES)
    assert ended.returncode == 0, ended.stderr
    *rows, end = ended.stdout.splitlines()
    assert end.endswith("18 of 23 have a summary")
    assert any(row.startswith("bad-encrypted.pdf: ") and "password" in row for row in rows)
    assert ended.stderr.endswith("23 of 23 done, 5 failed\n")


def test_answers_are_a_table_with_their_pages(example: Example) -> None:
    """A row for each file, also for those that cannot be read."""
    ended = example("stream_rows.py", SAMPLES, NOTICE)
    rows = {row["document"]: row for row in csv.DictReader(ended.stdout.splitlines())}
    assert (ended.returncode, len(rows)) == (0, 23)
    assert "three months" in rows["lease-kiln-street.docx"]["quote"] + rows["lease-kiln-street.docx"]["answer"]
    assert rows["bad-damaged.pdf"]["error"].startswith("damaged: ")


def test_files_are_sorted_into_classes(example: Example) -> None:
    """And counted, with those that could not be read."""
    ended = example("classify.py", SAMPLES)
    counts = {line.split()[1]: int(line.split()[0]) for line in ended.stdout.splitlines()}
    assert (ended.returncode, sum(counts.values()), counts["encrypted"]) == (0, 23, 1)
    assert counts["contract"] >= 1


def test_several_analyses_run_side_by_side(example: Example) -> None:
    """One line for each question."""
    ended = example("many_at_once.py", SAMPLES, NOTICE, "Who signed?")
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2), ended.stderr
    assert "of 23 files have an answer" in ended.stdout


@pytest.mark.parametrize(("name", "argument"), [("extract.py", SAMPLES), ("ask.py", "What is a lease?")])
def test_what_needs_a_language_model_says_so_in_a_line(example: Example, name: str, argument: str) -> None:
    """The preview engine is none."""
    ended = example(name, argument)
    assert (ended.returncode, ended.stdout.strip()) == (1, "")
    assert ended.stderr.startswith("unsupported_task: ")
    assert len(ended.stderr.splitlines()) == 1
