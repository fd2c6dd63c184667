"""What CI makes of what pip-audit finds."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(
    ("vulns", "code", "said"),
    [
        ([], 0, []),
        ([{"id": "PYSEC-1", "fix_versions": []}], 0, ["  left 1.0: PYSEC-1, WARNING: not mended yet"]),
        ([{"id": "PYSEC-2", "fix_versions": ["1.1", "2.0"]}], 1, ["  left 1.0: PYSEC-2, mended in 1.1, 2.0"]),
    ],
)
def test_only_what_can_be_mended_fails(audit: ModuleType, vulns: list[Any], code: int, said: list[str]) -> None:
    """All else is a warning."""
    assert audit.verdict([{"name": "left", "version": "1.0", "vulns": vulns}]) == (said, code)
    assert audit.verdict([{"name": "skipped", "skip_reason": "not on PyPI"}]) == ([], 0)


@pytest.mark.parametrize("program", ["#!/bin/sh\necho no network >&2; exit 1\n", None])
def test_offline_is_a_warning(
    audit: ModuleType, tmp_path: Path, program: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or where pip-audit is not to be had."""
    stand_in = tmp_path / "pip-audit"
    if program:
        stand_in.write_text(program)
        stand_in.chmod(stat.S_IRWXU)
    assert audit.main(str(stand_in), "dev.lock") == 0
    assert "WARNING: dev.lock could not be checked" in capsys.readouterr().out
