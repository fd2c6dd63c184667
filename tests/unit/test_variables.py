"""Variables that look like a setting and are none: a remark each, and never a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from viiwork.cli.main import run
from viiwork.settings import load_settings, variables
from viiwork.variables import passed_over

ROOT = Path(__file__).resolve().parents[2]
READ_BY = ("viiwork", "workers", "deploy", "docs", "compose.yaml", "README.md")
NAME = re.compile(r"\bVIIWORK_[A-Z0-9_]*[A-Z0-9]")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VIIWORK_QUEU_BEAT_S", "Did you mean VIIWORK_QUEUE_BEAT_S?"),
        ("VIIWORK_QUEUEBEAT_S", "Did you mean VIIWORK_QUEUE_BEAT_S?"),
        ("VIIWORK_URLL", "Did you mean VIIWORK_URL?"),
        ("viiwork_url", "Did you mean VIIWORK_URL?"),
        ("VIIWORK_CONFG", "Did you mean VIIWORK_CONFIG?"),
        ("VIIWORK_ZZZ", "docs/settings.md has those that are."),
    ],
)
def test_one_that_nothing_reads_is_named_with_what_may_be_meant(name: str, meant: str) -> None:
    """By the name that was set."""
    (line,) = passed_over([name, "PATH", "VIIWORK", "VIIWORK_"])
    assert line == f"viiwork: the variable {name} is no setting and is passed over. {meant}"


def test_settings_are_read_however_they_are_written() -> None:
    """As letters large or small."""
    assert passed_over([*variables(), *map(str.lower, variables())]) == []


def test_every_variable_that_the_project_names_is_known() -> None:
    """In its code, its compose file and its pages: a new one must be listed, or people are told that it is none."""
    files = [path for top in READ_BY for path in ([ROOT / top] if (ROOT / top).is_file() else (ROOT / top).rglob("*"))]
    texts = (path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".md", ".yaml", ".service"))
    named = {name for text in texts for name in NAME.findall(text)}
    assert len(named) > 20
    assert passed_over([*named, "VIIWORK_GPU7"]) == []


def test_a_remark_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And is made once, on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIIWORK_QUEU_BEAT_S", "3")
    monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("VIIWORK_URL", raising=False)
    monkeypatch.setattr("viiwork.cli.options.DEFAULT_URL", "http://127.0.0.1:9")  # which nobody serves
    assert load_settings().queue.beat_s == 1.0
    assert run(["models", "list", "--dir", str(tmp_path)]) == 0
    said = capfd.readouterr()
    assert said.err.count("Did you mean VIIWORK_QUEUE_BEAT_S?") == 1
    assert "VIIWORK" not in said.out
    assert run(["status"]) == 3, "nothing runs there"
    assert capfd.readouterr().err.count("Did you mean VIIWORK_QUEUE_BEAT_S?") == 1
