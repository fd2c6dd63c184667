"""A container's healthcheck: whether the worker of that name beats."""

from __future__ import annotations

import socket

import pytest

from tests.workers import Fleet, eventually
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.alive import is_alive, main


async def test_a_worker_is_alive_by_its_beats_and_no_other_is(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    """A real worker; once it was killed its beats grow older than a lease."""
    name = f"cpu0@{socket.gethostname()}"
    assert not await is_alive(settings, name)
    fleet.start("cpu0")
    await eventually(lambda: is_alive(settings, name))
    assert not await is_alive(settings, f"cpu1@{socket.gethostname()}")
    fleet.kill("cpu0")

    async def silent() -> bool:
        return not await is_alive(settings, name)

    await eventually(silent)


def test_without_a_name_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """As every program does."""
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_without_a_server_it_is_not_healthy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, without the password."""
    monkeypatch.setenv("VIIWORK_REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    assert main(["cpu0"]) == 3
    said = capsys.readouterr().err
    assert "hush" not in said
    assert len(said.splitlines()) == 1
