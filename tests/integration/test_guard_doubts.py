"""What a guard takes for trouble, and what not: engines that live and fail, strangers, and its own silence."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
from typing import cast

import psutil
import pytest

from tests.guarded import METRICS, Guarded, stage, until
from viiwork.errors import EngineFault
from viiwork.processes import identity
from viiwork_workers.engines.guard import followed
from viiwork_workers.engines.guard.course import MANY_PORTS, Fall
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.guard.frames import Phase
from viiwork_workers.engines.guard.life import Life
from viiwork_workers.engines.guard.lives import fall_of
from viiwork_workers.engines.guard.port import owner


@pytest.mark.parametrize("status", [503, 500])
async def test_an_engine_that_says_that_it_cannot_work_is_sent_nothing_more(guarded: Guarded, status: int) -> None:
    """Within two looks, and not after `hang_s`."""
    keeper = await guarded.keeper()
    guarded.plan(sick=status, only=(await stage(keeper, "ready")).pid)
    fallen = await stage(keeper, "restarting")
    assert fallen.why == "the engine's health page says that it cannot work"
    assert fallen.fault_of == ""
    await stage(keeper, "ready", life=2)


async def test_a_worker_whose_requests_fail_has_the_engine_looked_at(guarded: Guarded) -> None:
    """Its health page is fine, and its next canary would come in ten minutes."""
    keeper = await guarded.keeper()
    guarded.plan(status=500, only=(await stage(keeper, "ready")).pid)
    keeper.doubt()
    fallen = await stage(keeper, "restarting")
    assert fallen.why == "it answers a test request with HTTP 500"
    assert fallen.fault_of == ""  # a request may have broken it
    keeper.doubt()  # of one that is not ready: nothing
    ready = await stage(keeper, "ready", life=2)
    keeper.doubt()  # of one that is fine: nothing either
    await asyncio.sleep(1.0)
    assert (keeper.phase.stage, keeper.phase.life) == (ready.stage, ready.life)


async def test_one_odd_answer_is_no_garbage(guarded: Guarded) -> None:
    """Before it serves: models that were never tuned end at once now and then. A second odd one would be."""
    guarded.plan(odd=1)
    assert (await stage(await guarded.keeper(), "ready")).life == 1


async def test_jobs_of_an_engine_that_writes_rubbish_are_not_to_blame(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(canary_every_s=0.2))
    guarded.plan(answer="!" * 30, only=(await stage(keeper, "ready")).pid)
    fallen = await stage(keeper, "restarting", "failed")
    assert fallen.fault_of == "engine"
    assert (await stage(keeper, "ready")).fault_of == ""


async def test_the_canary_can_be_switched_off(guarded: Guarded) -> None:
    guarded.plan(answer="!" * 30)
    keeper = await guarded.keeper(guarded.launch(canary=False, canary_every_s=0.1))
    await stage(keeper, "ready")
    keeper.doubt()
    await asyncio.sleep(0.3)
    assert keeper.phase.stage == "ready"


async def test_the_first_answer_has_the_time_of_a_start(guarded: Guarded) -> None:
    """An engine may compile when it is asked first: that is no hang."""
    guarded.plan(slow=1.0)
    keeper = await guarded.keeper(guarded.launch(hang_s=0.3))
    assert (await stage(keeper, "ready", "restarting")).stage == "ready"


async def test_a_page_without_counters_is_told_to_the_worker(guarded: Guarded) -> None:
    """And one that cannot be had any more."""
    guarded.plan(metrics="running 1\n")
    keeper = await guarded.keeper(guarded.launch(metrics=METRICS))
    await stage(keeper, "ready")
    await until(lambda: keeper.load is not None and keeper.load.uncounted, what="it counts nothing")
    guarded.plan(metrics="running 1\noutput 5\n")
    await until(lambda: keeper.load is not None and not keeper.load.uncounted, what="it counts")


async def test_what_passes_is_tried_again_in_words_of_its_own(guarded: Guarded) -> None:
    """A log that cannot be opened stands for a full disk."""
    guarded.files.prepare()
    guarded.files.engine_log.mkdir()
    keeper = await guarded.keeper()
    fallen = await stage(keeper, "restarting", "failed")
    assert (fallen.stage, fallen.why) == ("restarting", "this machine could not start the engine: Is a directory")
    guarded.files.engine_log.rmdir()
    if (
        await stage(keeper, "ready", "failed")
    ).stage == "failed":  # this test was too slow: five tries are quickly made
        keeper.again()
        await stage(keeper, "ready")


async def test_a_card_that_does_not_answer_holds_no_guard_up(guarded: Guarded) -> None:
    """A pipe that nobody writes to stands for it."""
    used = guarded.root / "mem_info_vram_used"
    used.write_text("100", encoding="ascii")
    keeper = await guarded.keeper(guarded.launch(vram_used_file=str(used)))
    first = await stage(keeper, "ready")
    used.unlink()
    os.mkfifo(used)
    os.kill(first.pid, signal.SIGKILL)
    await stage(keeper, "restarting")
    await stage(keeper, "ready", life=2)


async def test_a_guard_that_says_nothing_is_replaced(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, as by a disk that does not answer: it is killed, and its engine ended by the next."""
    keeper = await guarded.keeper()
    first = await stage(keeper, "ready")
    guard = guarded.guard_pid()
    os.kill(guard, signal.SIGSTOP)
    with monkeypatch.context() as hurried:
        hurried.setattr(followed, "MANY_SILENT", 3)
        assert (await stage(keeper, "restarting")).why == followed.GUARD_SILENT
    assert (await stage(keeper, "ready")).pid != first.pid
    assert guarded.guard_pid() != guard
    assert identity(first.pid) is None


async def test_a_guard_speaks_though_nothing_changes(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without metrics there is no load to tell of."""
    said: list[object] = []
    take = FollowedKeeper._take

    def heard(keeper: FollowedKeeper, report: Phase) -> None:
        said.append(report)
        take(keeper, report)

    monkeypatch.setattr(FollowedKeeper, "_take", heard)
    keeper = await guarded.keeper()
    ready = await stage(keeper, "ready")
    said.clear()
    await until(lambda: len(said) == 2, what="it says again where it stands")
    assert keeper.phase == ready


async def test_a_guard_that_cannot_be_started_yet_is_started_later(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one that was tried waited for a former one, and was killed meanwhile."""
    monkeypatch.setattr(followed, "OPEN_S", 0.1)
    guarded.files.prepare()
    held = os.open(guarded.files.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        keeper = await guarded.keeper()
        await until(lambda: bool(guarded.everyone()), what="a guard waits")
        os.kill(guarded.everyone()[0], signal.SIGKILL)
        await stage(keeper, "restarting")
    finally:
        os.close(held)
    await stage(keeper, "ready")


async def test_a_second_worker_of_one_name_is_refused(guarded: Guarded) -> None:
    """Two would take the engine from each other for ever. The first one serves on, with the same engine."""
    first = await guarded.keeper()
    ready = await stage(first, "ready")
    second = FollowedKeeper(guarded.launch(context_tokens=999), state_dir=guarded.root / "state")
    with pytest.raises(EngineFault, match=f"another worker named gpu0 is running here: process {os.getpid()}"):
        await second.open()
    await second.close()
    assert first.phase.model_copy(update={"since_s": 0}) == ready.model_copy(update={"since_s": 0})
    assert psutil.pid_exists(ready.pid)


async def test_a_stranger_on_the_engines_port_sees_neither_key_nor_jobs(guarded: Guarded) -> None:
    """Minutes pass until a large engine binds its port, and everybody can read in `ps` which one it will be."""
    there = guarded.root / "go"
    guarded.plan(late=str(there))
    keeper = await guarded.keeper()
    loading = await stage(keeper, "loading")
    port = int(psutil.Process(loading.pid).cmdline()[4])
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    stranger = await asyncio.start_server(answer, "127.0.0.1", port)
    async with stranger:
        fallen = await stage(keeper, "restarting", "ready")
    assert (fallen.stage, fallen.deaths) == ("restarting", 0)
    assert fallen.why == "another process has taken the engine's port"
    assert heard
    assert not any(b"authorization" in head.lower() for head in heard)
    there.touch()
    assert (await stage(keeper, "ready")).life <= 1 + MANY_PORTS


def test_whose_a_port_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert owner(port, [os.getpid()]) == "ours"
        assert owner(port, [os.getppid()]) == "another"
    assert owner(port, [os.getpid()]) == "unknown"
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        assert owner(everywhere.getsockname()[1], [os.getpid()]) == "ours"


async def test_what_an_engine_says_that_was_told_to_end_is_no_trouble(guarded: Guarded) -> None:
    """A healthy vLLM writes that its core died when somebody sends it SIGTERM."""
    guarded.plan(say=["vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."])
    keeper = await guarded.keeper()
    first = await stage(keeper, "ready")
    os.kill(first.pid, signal.SIGTERM)
    assert (await stage(keeper, "restarting")).why == "the engine's process was killed by signal 15"
    await stage(keeper, "ready", life=2)


async def test_a_defect_in_how_an_engine_is_looked_after_ends_that_life_alone() -> None:
    class Defect:
        async def live(self) -> Fall:
            raise OverflowError("a number with 400 digits")

    fall = await fall_of(cast("Life", Defect()))
    assert (fall.how, fall.why) == ("died", "a defect in the guard (OverflowError)")


async def test_a_guard_that_ends_has_its_worker_let_go_of_the_engine_first(guarded: Guarded) -> None:
    """vLLM does not end while somebody still reads its stream."""
    guarded.plan(helper=True, stubborn=True)
    keeper = await guarded.keeper(guarded.launch(stop_grace_s=1.0))
    ready = await stage(keeper, "ready")
    os.kill(guarded.guard_pid(), signal.SIGTERM)
    left = await keeper.changed(ready)
    assert (left.stage, left.fault_of) == ("starting", "engine")
    guarded.plan()
    await stage(keeper, "ready", life=2)
