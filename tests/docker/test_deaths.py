"""Container, guard, worker, daemon: whichever dies, what is left of the others is found and ended, or taken over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.docker.boxed import boxed_section, client, containers, image, inspected
from tests.guarded import stage
from tests.integration.test_guard_worker import card, serves
from tests.kit.case import Case, keeper_of
from tests.kit.works import chat, step
from tests.kit.writing import Hearing
from tests.workers import Fleet, eventually
from viiwork.containers.client import ask
from viiwork.errors import EngineDied, StartupError
from viiwork.fleet.leftovers import Leftovers
from viiwork.settings import Settings
from viiwork.statedir import StateDir
from viiwork.store import Store
from viiwork_workers.engines.base import Engine
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.guard.files import GuardFiles
from viiwork_workers.engines.guard.record import read_record

SLOWLY = ("--token-s", "0.01")


def case_of(folder: Path, *, environ: Mapping[str, str] | None = None, **container: Any) -> Case:
    return Case(
        boxed_section(folder, flags=SLOWLY, **container), writes=True, environ=dict(environ or {}), start_s=60.0
    )


def guard_of(state_dir: Path) -> int:
    record = read_record(GuardFiles.of(state_dir, "cpu0"))
    assert record is not None
    return record.guard[0]


async def why(engine: Engine) -> str:
    """Why it was given up."""

    async def given_up() -> bool:
        told = engine.signals()
        return told is not None and bool(told.failed)

    await eventually(given_up, what="it is given up")
    told = engine.signals()
    assert told is not None
    return told.failed


async def test_it_may_do_no_more_than_it_needs(tmp_path: Path) -> None:
    """And nothing of it is left afterwards; what it said is in the engine's log."""
    state = tmp_path / "state"
    async with case_of(tmp_path).loaded(tmp_path) as engine:
        (one,) = containers(state)
        told = inspected(one)
        host, settings = told["HostConfig"], told["Config"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert (host["NetworkMode"], host["IpcMode"], host["PidMode"]) == ("host", "private", "")
        assert "no-new-privileges" in host["SecurityOpt"]
        assert 0 < host["Memory"] < psutil.virtual_memory().total
        assert host["PidsLimit"] == 4096
        assert (host["Privileged"], host["Devices"], host["LogConfig"]["Type"]) == (False, [], "none")
        assert settings["User"] == f"{os.getuid()}:{os.getgid()}"
        writable = {mount["Source"] for mount in told["Mounts"] if mount["RW"]}
        assert writable == {str(state / "engines" / "home"), str(state / "engines" / "cpu0")}
        key = keeper_of(engine).phase.key
        commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        assert not any(key in command for command in commands)
        assert any(one_of.startswith("VLLM_API_KEY=") for one_of in settings["Env"])
    assert containers(state) == []
    assert "fake vllm server" in (state / "logs" / "engine-cpu0.log").read_text("utf-8")


async def test_a_killed_container_gives_its_jobs_back_and_a_new_one_comes(tmp_path: Path) -> None:
    """In the middle of a stream, by `docker kill`."""
    async with case_of(tmp_path).loaded(tmp_path) as engine:
        hearing = Hearing()
        running = asyncio.ensure_future(engine.run(chat("Tell me more.", tokens=1_000), hearing.manner))

        async def begun() -> bool:
            return len(hearing.pieces) > 3

        await eventually(begun, what="the stream's first pieces")
        (first,) = containers(tmp_path / "state")
        ask(client(), ["kill", first])
        with pytest.raises(EngineDied):
            await asyncio.wait_for(running, 30)
        assert "was killed" in keeper_of(engine).phase.why
        await asyncio.wait_for(engine.until_ready(), 60)
        assert (await engine.run(step())).text
        (second,) = containers(tmp_path / "state")
        assert second != first


async def test_the_container_of_a_killed_guard_is_ended_by_the_next_one(tmp_path: Path) -> None:
    async with case_of(tmp_path).loaded(tmp_path) as engine:
        (first,) = containers(tmp_path / "state")
        os.kill(guard_of(tmp_path / "state"), signal.SIGKILL)
        keeper = keeper_of(engine)
        await keeper.changed(keeper.phase)
        await stage(keeper, "ready")
        (second,) = containers(tmp_path / "state")
        assert second != first


async def test_what_guard_and_worker_left_is_ended_by_down(tmp_path: Path) -> None:
    """`viiwork down` and the next `up` do this, by the record and the label; a stranger's container stays."""
    case = case_of(tmp_path)
    stranger = ask(client(), ["run", "-d", "--label", "viiwork.state=/another", str(image()), "sleep", "600"])
    try:
        async with case.loaded(tmp_path) as engine:
            keeper = keeper_of(engine)
            await keeper.close(keep=True)
            os.kill(guard_of(tmp_path / "state"), signal.SIGKILL)
            assert len(containers(tmp_path / "state")) == 1
            said: list[str] = []
            await asyncio.to_thread(Leftovers(StateDir(tmp_path / "state"), tell=said.append).end, grace_s=5.0)
            assert containers(tmp_path / "state") == []
            assert any("containers of engines" in line for line in said)
        assert inspected(stranger.out.strip())["State"]["Running"]
    finally:
        ask(client(), ["rm", "-f", stranger.out.strip()])


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    engine = settings.engine.model_validate(settings.engine.model_dump() | boxed_section(tmp_path))
    return settings.model_copy(update={"engine": engine})


async def test_a_killed_worker_finds_its_container_again(fleet: Fleet, real_store: Store, settings: Settings) -> None:
    """The very same: the model is not loaded a second time."""
    fleet.start("cpu0")
    first = await card(real_store, state="ready")
    before = containers(settings.state_dir)
    fleet.kill("cpu0")
    fleet.start("cpu0")
    second = await card(real_store, state="ready", but=first.pid)
    assert second.engine_pid == first.engine_pid != 0
    assert containers(settings.state_dir) == before
    assert await serves(real_store)
    assert fleet.stop("cpu0") == 0
    assert containers(settings.state_dir) == []


async def test_a_daemon_that_is_away_is_said_before_anything_starts(tmp_path: Path) -> None:
    away = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    with pytest.raises(StartupError, match=r"the Docker daemon does not answer\. sudo systemctl start docker"):
        make_engine(case_of(tmp_path).settings(tmp_path), card="cpu0", environ=os.environ | away)


async def test_a_daemon_that_goes_away_later_is_a_death_that_is_told(tmp_path: Path) -> None:
    """It is tried again: a daemon comes back."""
    async with case_of(tmp_path).loading(tmp_path) as engine:
        keeper = keeper_of(engine)
        container = keeper._launch.container
        assert container is not None
        gone = container.client.model_copy(update={"environ": {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}})
        boxed = container.model_copy(update={"client": gone})
        await stage(keeper, "ready")
        await keeper.close()
        other = type(keeper)(keeper._launch.model_copy(update={"container": boxed}), state_dir=tmp_path / "state")
        await other.open()
        try:
            fallen = await stage(other, "restarting")
            assert fallen.why == "The Docker daemon does not answer."
        finally:
            await other.close()


async def test_a_program_that_the_image_lacks_is_given_up_at_once(tmp_path: Path) -> None:
    section = boxed_section(tmp_path)
    recipe = Path(section["kind"])
    recipe.write_text(recipe.read_text("utf-8").replace('"{python}"', '"no-such-program"'), "utf-8")
    async with Case(section).loading(tmp_path) as engine:
        assert "cannot be started in its container" in await why(engine)


async def test_too_much_memory_ends_the_container_and_is_told(tmp_path: Path) -> None:
    """Of this engine alone."""
    async with case_of(tmp_path, memory_bytes=8 << 20).loading(tmp_path) as engine:
        assert "took more memory than its container may" in (await stage(keeper_of(engine), "restarting")).why
