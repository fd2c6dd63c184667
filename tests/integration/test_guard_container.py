"""A guard whose engine is in a container, by a fake `docker` that writes its calls down; a real one: tests/docker."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.fakes.docker import fake_docker
from tests.guarded import SCRIPT, Guarded, stage
from viiwork.containers.client import Client
from viiwork.containers.container import Container
from viiwork.recipes import Launch

HEX = "0" * 64


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    return fake_docker(tmp_path / "bin")


def boxed(guarded: Guarded, docker: Path) -> Launch:
    """The small engine, as if in an image."""
    client = Client(kind="docker", program=str(docker), environ={"HOME": "/home/me"})
    argv = (sys.executable, "-I", "-S", str(SCRIPT), "{port}", "-", str(guarded.plan_file))
    container = Container(client=client, image=HEX, options=("--read-only",))
    return guarded.launch(argv=argv, env={"API_KEY": "{key}"}, container=container, canary=False)


def calls(docker: Path) -> list[list[str]]:
    return [json.loads(line) for line in (docker.parent / "calls.jsonl").read_text("utf-8").splitlines()]


def named(docker: Path, word: str) -> list[list[str]]:
    return [call for call in calls(docker) if call[0] == word]


async def test_it_is_looked_for_run_stopped_and_removed(guarded: Guarded, docker: Path) -> None:
    """In the foreground under its labels, and its key by a variable's name alone."""
    keeper = await guarded.keeper(boxed(guarded, docker))
    ready = await stage(keeper, "ready")
    (run,) = named(docker, "run")
    assert run.index("--read-only") < run.index("--label") < run.index("--env") < run.index("--entrypoint")
    assert f"viiwork.engine={guarded.files.mark}" in run
    assert f"viiwork.state={guarded.files.state_dir}" in run
    assert run[run.index("--entrypoint") + 2] == HEX
    assert "API_KEY" in run
    assert not any(ready.key in word for call in calls(docker) for word in call)
    assert psutil.Process(ready.pid).environ()["API_KEY"] == ready.key
    await keeper.close()
    assert named(docker, "stop") == [["stop", "--time", "5", "id-1"]]
    assert named(docker, "rm") == [["rm", "--force", "--volumes", "id-1"]]


async def test_a_killed_guards_container_is_ended_before_the_next_is_run(guarded: Guarded, docker: Path) -> None:
    keeper = await guarded.keeper(boxed(guarded, docker))
    await stage(keeper, "ready")
    before = guarded.guard_pid()
    os.kill(before, signal.SIGKILL)
    await keeper.changed(keeper.phase)
    await stage(keeper, "ready")
    assert [call[0] for call in calls(docker) if call[0] in ("run", "stop", "rm")] == ["run", "stop", "rm", "run"]
    assert guarded.guard_pid() != before


async def test_a_daemon_that_refuses_is_told_by_the_table_of_known_errors(guarded: Guarded, docker: Path) -> None:
    """What cannot pass by itself is not tried twice."""
    (docker.parent / "refusal").write_text("docker: permission denied while trying to connect to the Docker daemon\n")
    keeper = await guarded.keeper(boxed(guarded, docker))
    failed = await stage(keeper, "failed")
    assert failed.why.startswith("This user may not use Docker.")
    assert "usermod -aG docker" in failed.advice
