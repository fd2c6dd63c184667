"""The programs in `examples/`, as somebody meets them who types their name alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("program", EXAMPLES, ids=lambda path: path.stem)
def test_without_arguments_each_says_in_one_line_what_it_takes(program: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "WEBHOOK_SECRET"}
    said = subprocess.run(
        [sys.executable, program], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 1
    assert said.stderr.startswith("usage: ")
    assert program.name in said.stderr
    assert len(said.stderr.splitlines()) == 1
