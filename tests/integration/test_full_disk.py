"""A disk that was full under the append-only file, and the server's next start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chaos.server import SmallDiskServer
from tests.chaos.stage import stage_settings
from tests.workers import eventually, make_job
from viiwork.errors import StartupError, Unavailable
from viiwork.store import Store
from viiwork.store.opening import make_store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallDiskServer]:
    if refused := SmallDiskServer.refused():
        pytest.skip(f"a small disk cannot be mounted here: {refused}")
    made = SmallDiskServer(stage_settings(tmp_path))
    yield made
    made.stop()


@pytest.fixture
async def store(server: SmallDiskServer) -> AsyncIterator[Store]:
    made = make_store(server.settings, server.url)
    yield made
    await made.close()


async def filled_once(server: SmallDiskServer, store: Store) -> None:
    """A rewrite, then no room in the middle of a write, then room again."""
    await store.client.execute_command("BGREWRITEAOF")

    async def rewritten() -> bool:
        info = await store.client.info("persistence")
        return not info["aof_rewrite_in_progress"] and server.append_only_file.name != "appendonly.aof.1.incr.aof"

    await eventually(rewritten, what="the append-only file rewritten")
    await store.client.set(f"{store.prefix}probe", "x")  # so that a part of the next write finds room
    with server.disk_full():

        async def refused() -> bool:
            try:
                await store.client.set(f"{store.prefix}probe", "x" * 10_000)
            except Exception as error:  # noqa: BLE001 - redis-py has several for MISCONF
                return "MISCONF" in str(error) or "disk" in str(error)
            return False

        await eventually(refused, what="writes refused")
        with pytest.raises(Unavailable):
            await store.submit([make_job()])

    async def taken() -> bool:
        return str((await store.client.info("persistence"))["aof_last_write_status"]) == "ok"

    await eventually(taken, what="writes taken again")


async def test_what_was_taken_after_a_full_disk_is_there_after_a_crash(server: SmallDiskServer, store: Store) -> None:
    """The server leaves zeros in the file where it took half a write back, and would not start on it again."""
    before, after = make_job(), make_job()
    await store.submit([before])
    await filled_once(server, store)
    await store.submit([after])
    while not (await store.confirm()).synced:
        pass
    server.kill()
    gap = b"\0" in server.append_only_file.read_bytes()
    server.start()
    assert {(await store.job(job.id)).id for job in (before, after)} == {before.id, after.id}
    assert b"\0" not in server.append_only_file.read_bytes()
    if not gap:
        pytest.skip("this server leaves no gap: there was nothing to mend")


async def test_other_damage_is_told_with_what_to_do(server: SmallDiskServer, store: Store) -> None:
    """And the file is left as it is."""
    await store.submit([make_job()])
    server.kill()
    damaged = server.append_only_file
    half = damaged.read_bytes()
    damaged.write_bytes(half + b"these are no commands\r\n" + half)
    with pytest.raises(StartupError, match="append-only file") as told:
        server.start()
    assert "viiwork restore" in (told.value.hint or "")
    assert damaged.stat().st_size > 2 * len(half)
    damaged.write_bytes(half)
    server.start()
