"""docs/reliability.md promises nothing that no test holds: every test and fault that it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py::[\w:]+)`")
FAULT = re.compile(r"fault: `([^`]+)`")
LAST_COLUMN = re.compile(r"^\|.*\|([^|]*)\|$", re.MULTILINE)
PROMISES = PAGE[PAGE.index("## What is promised") : PAGE.index("## What to set")]


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Every test of the files that the page names, and of the long faults, as pytest knows them."""
    files = sorted({name.partition("::")[0] for name in TEST.findall(PAGE)} | {"tests/chaos/test_long.py"})
    marks = "chaos_long or not chaos_long"  # who names the mark gets the long ones too
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", marks, *files]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return {line for line in told.stdout.splitlines() if "::" in line}


def test_every_test_that_is_named_exists(collected: set[str]) -> None:
    """By its whole name, and so that pytest finds it."""
    known = {name.partition("[")[0] for name in collected}
    assert [name for name in TEST.findall(PAGE) if name not in known] == []


def test_every_fault_that_is_named_is_run(collected: set[str]) -> None:
    """As a case of the long suite."""
    cases = {plain(name.partition("[")[2][:-1]) for name in collected if "test_long.py" in name}
    named = FAULT.findall(PROMISES)
    assert len(named) > 20
    assert [name for name in named if plain(name) not in cases] == []


def test_every_promise_names_what_holds_it() -> None:
    """Each row of each table ends in a test or a fault."""
    rows = [row for row in LAST_COLUMN.findall(PROMISES) if row.strip() not in ("Held by", "---")]
    assert len(rows) > 20
    assert [row for row in rows if not TEST.search(row) and not FAULT.search(row)] == []


def plain(name: str) -> str:
    """A case's name without the backticks that a code span on the page cannot hold."""
    return name.replace("`", "")
