"""A served door with a stand-in worker, and the command line that asks it. A file may have a `service` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import Cli, Said
from service import Service


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A door that commands find by VIIWORK_URL; its worker does nothing where the file says `IDLE = True`."""
    with Service(tmp_path / "state", idle=getattr(request.module, "IDLE", False)) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in the test's folder, on a screen of 160 columns, on a computer without a fleet."""
    from viiwork.cli.main import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-fleet"))
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object) -> Said:
        code = run([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call
