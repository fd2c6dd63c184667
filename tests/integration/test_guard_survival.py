"""Worker, guard and engine: whoever dies, the others go on, and nothing is left that nobody keeps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from unittest.mock import AsyncMock

import psutil
import pytest

from tests.guarded import WITHIN_S, Guarded, stage, until
from viiwork.errors import EngineFault
from viiwork.processes import identity
from viiwork_workers.engines.guard import followed
from viiwork_workers.engines.guard import link as guard_link
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.guard.frames import Phase, line


async def test_the_engine_of_a_dead_worker_is_adopted_by_its_next_life(guarded: Guarded) -> None:
    """Checked first; the same process, in another life, since what the dead worker asked is lost."""
    first = await guarded.keeper()
    ready = await stage(first, "ready")
    await first.close(keep=True)
    guarded.plan(slow=3.0)  # or the check may be over before anybody looks
    second = await guarded.keeper()
    seen = [second.phase]
    while seen[-1].stage != "ready":
        seen.append(await second.changed(seen[-1]))
    assert seen[0].stage == "checking"
    assert (seen[-1].pid, seen[-1].url, seen[-1].key) == (ready.pid, ready.url, ready.key)
    assert seen[-1].life == ready.life + 1


async def test_garbage_is_not_adopted(guarded: Guarded) -> None:
    first = await guarded.keeper()
    ready = await stage(first, "ready")
    await first.close(keep=True)
    guarded.plan(answer="!" * 40, only=ready.pid)
    second = await guarded.keeper()
    assert "makes no sense" in (await stage(second, "restarting")).why
    assert (await stage(second, "ready")).pid != ready.pid


async def test_an_engine_that_loads_is_kept_too(guarded: Guarded) -> None:
    """A worker that dies while a large model loads costs no second load."""
    guarded.plan(loading=100_000)
    first = await guarded.keeper()
    loading = await stage(first, "loading")
    await first.close(keep=True)
    second = await guarded.keeper()
    assert (second.phase.stage, second.phase.pid) == ("loading", loading.pid)
    assert second.phase.life == loading.life


async def test_another_engine_than_the_one_that_runs_is_started_anew(guarded: Guarded) -> None:
    """Never an address of the old one is told to the worker that wants the new."""
    first = await guarded.keeper()
    ready = await stage(first, "ready")
    await first.close(keep=True)
    second = await guarded.keeper(guarded.launch(context_tokens=4096))
    assert second.phase.url != ready.url
    assert (await stage(second, "ready")).pid != ready.pid
    assert identity(ready.pid) is None


async def test_nobody_is_waited_for_longer_than_agreed(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(keep_s=0.2))
    await stage(keeper, "ready")
    await keeper.close(keep=True)
    await until(lambda: guarded.everyone() == [], what="engine and guard are gone")
    assert not guarded.files.record.exists()


async def test_a_killed_guard_is_replaced_and_its_engine_ended(guarded: Guarded) -> None:
    """Told at once; lives count on, so that nothing asked of the old one is waited for."""
    guarded.plan(helper=True)
    keeper = await guarded.keeper()
    ready = await stage(keeper, "ready")
    people = guarded.people()
    os.kill(guarded.guard_pid(), signal.SIGKILL)
    fallen = await keeper.changed(ready)
    assert (fallen.stage, fallen.why, fallen.restarts) == ("restarting", "the engine's guard was killed", 1)
    again = await stage(keeper, "ready")
    assert again.life > ready.life
    assert again.restarts == 1
    assert set(people).isdisjoint(guarded.people())
    assert [identity(pid) for pid in people] == [None, None]


async def test_when_worker_and_guard_are_killed_the_next_worker_ends_what_is_left(guarded: Guarded) -> None:
    """By the record, and by the mark where the record is lost."""
    guarded.plan(helper=True)
    first = await guarded.keeper()
    await stage(first, "ready")
    people = guarded.people()
    guard = guarded.guard_pid()
    await first.close(keep=True)
    os.kill(guard, signal.SIGKILL)
    guarded.files.record.unlink()
    second = await guarded.keeper()
    await stage(second, "ready")
    assert [identity(pid) for pid in people] == [None, None]


async def test_closing_when_the_guard_has_been_killed_leaves_nothing(guarded: Guarded) -> None:
    guarded.plan(helper=True)
    keeper = await guarded.keeper()
    await stage(keeper, "ready")
    os.kill(guarded.guard_pid(), signal.SIGKILL)
    await keeper.close()
    assert guarded.everyone() == []


async def test_a_stopped_guard_is_killed_when_it_does_not_end(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viiwork_workers.engines.guard.followed.END_S", 0.5)
    monkeypatch.setattr("viiwork_workers.engines.guard.followed.LAST_WORD_S", 0.5)
    keeper = await guarded.keeper(guarded.launch(stop_grace_s=0.5))
    await stage(keeper, "ready")
    os.kill(guarded.guard_pid(), signal.SIGSTOP)
    await keeper.close()
    assert guarded.everyone() == []


async def test_closing_while_it_loads_waits_for_nothing(guarded: Guarded) -> None:
    guarded.plan(loading=100_000)
    keeper = await guarded.keeper()
    await stage(keeper, "loading")
    await keeper.close()
    assert guarded.everyone() == []


async def test_a_worker_that_comes_while_the_former_engine_ends_waits_for_it(guarded: Guarded) -> None:
    """Two models do not fit on one card."""
    guarded.plan(helper=True, stubborn=True)
    first = await guarded.keeper(guarded.launch(stop_grace_s=1.0))
    await stage(first, "ready")
    old = guarded.people()
    closing = asyncio.create_task(first.close())
    await until(lambda: not guarded.files.socket.exists(), what="the guard lets nobody in any more")
    guarded.plan()
    second = await guarded.keeper()
    await stage(second, "ready")
    assert [identity(pid) for pid in old] == [None, None]
    await closing
    assert second.phase.stage == "ready"


async def test_a_guard_that_cannot_be_started_is_a_fault_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_link, "GUARD", ("/nowhere/python",))
    keeper = FollowedKeeper(Guarded(tmp_path).launch(), state_dir=tmp_path / "state")
    with pytest.raises(EngineFault, match="the guard of gpu0's engine cannot be started: No such file or directory"):
        await keeper.open()
    await keeper.close()


async def test_a_guard_that_ends_at_once_is_a_fault_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_link, "GUARD", (guard_link.GUARD[0], "-c", "raise SystemExit(3)"))
    keeper = FollowedKeeper(Guarded(tmp_path).launch(), state_dir=tmp_path / "state")
    with pytest.raises(EngineFault, match=r"ended at once\. See .*guard-gpu0\.log"):
        await keeper.open()
    await keeper.close()


async def test_the_guard_carries_no_secret_of_its_worker(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the mark of the fleet, by which orphans are found, is passed on to the engine too."""
    monkeypatch.setenv("VIIWORK_REDIS_URL", "redis://:secret@nowhere")
    monkeypatch.setenv("VIIWORK_SUPERVISED_BY", "/some/fleet")
    ready = await stage(await guarded.keeper(), "ready")
    for pid in (guarded.guard_pid(), ready.pid):
        environ = psutil.Process(pid).environ()
        assert "VIIWORK_REDIS_URL" not in environ
        assert environ["VIIWORK_SUPERVISED_BY"] == "/some/fleet"
    assert os.getsid(guarded.guard_pid()) == guarded.guard_pid()


async def test_a_stranger_that_talks_nonsense_changes_nothing(guarded: Guarded) -> None:
    """Nor one that says `end` without having said who it is."""
    keeper = await guarded.keeper()
    ready = await stage(keeper, "ready")
    for said in (b"\xff\n", b"{}\n", json.dumps({"kind": "end"}).encode() + b"\n"):
        ends = await guard_link.connect(guarded.files)
        assert ends is not None
        reader, writer = ends
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert keeper.phase == ready
    assert psutil.pid_exists(ready.pid)


async def test_a_fall_is_heard_although_the_next_start_comes_with_it(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was held up reads both at once; whose fault the fall was is said in the first alone."""
    near, far = socket.socketpair()
    ends = await asyncio.open_unix_connection(sock=near)
    monkeypatch.setattr(followed, "find_or_start", AsyncMock(return_value=ends))
    monkeypatch.setattr(followed, "peer", lambda writer: None)
    told = [
        Phase(stage="ready", life=1),
        Phase(stage="restarting", life=1, fault_of="engine"),
        Phase(stage="starting", life=2),
    ]
    far.sendall(b"".join(map(line, told)))
    keeper, heard = FollowedKeeper(guarded.launch(), state_dir=guarded.root / "state"), list[Phase]()

    async def hear() -> None:
        while len(heard) < len(told):
            heard.append(await keeper.changed(heard[-1] if heard else keeper.phase))

    hearing = asyncio.create_task(hear())
    await asyncio.sleep(0)
    await keeper.open()
    async with asyncio.timeout(WITHIN_S):
        await hearing
    assert heard == told
    await keeper.close(keep=True)
    far.close()
