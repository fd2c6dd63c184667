"""A large file of jobs into a real door on a real server: bounded memory, and a door that is killed in its middle."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.door import Door
from tests.hands import Hands, recount
from tests.ports import free_port
from tests.workers import eventually
from viiwork.cli.main import run
from viiwork.client import Client
from viiwork.errors import Busy, Unavailable
from viiwork.jobfile import JobFile
from viiwork.jobs import BatchState
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded, open_store

LINES = 20_000
MIB = 1024 * 1024


def job_file(path: Path, *, padding: int = 60) -> JobFile:
    """LINES short requests."""
    with path.open("w") as file:
        for number in range(LINES):
            message = {"role": "user", "content": f"Question {number}: " + "x" * padding}
            file.write(json.dumps({"custom_id": f"c{number}", "messages": [message]}) + "\n")
    return JobFile.of(path)


async def ids_of(store: Store) -> tuple[str, list[str]]:
    """The only batch there is, and the jobs that it counts."""
    (key,) = [key async for key in store.client.scan_iter(match=f"{store.prefix}batch:an_*:jobs")]
    jobs = await store.client.lrange(key, 0, -1)
    return key.removeprefix(f"{store.prefix}batch:").removesuffix(":jobs"), [str(job) for job in jobs]


async def in_thread(work: Callable[[], object]) -> object:
    return await asyncio.to_thread(work)


async def test_a_door_that_is_killed_in_mid_submit_doubles_and_loses_nothing(
    settings: Settings, real_store: Store, tmp_path: Path
) -> None:
    """SIGKILL while the file comes; the same file under the same key, at the next door, goes on where it stopped."""
    await Hands(real_store).beat()
    jobs = job_file(tmp_path / "jobs.jsonl")
    with Door(settings) as first, Client(first.url, retries=0) as client:
        sending = asyncio.create_task(in_thread(lambda: client.submit_file(jobs, idempotency_key="k")))
        await something_taken(real_store)
        first.process.kill()
        with pytest.raises(Unavailable):
            await sending
    batch, taken = await ids_of(real_store)
    assert 0 < len(taken) < LINES
    assert (await real_store.batch(batch)).state is BatchState.UPLOADING
    with Door(settings) as second, Client(second.url) as client:
        status = await asyncio.to_thread(client.submit_file, jobs, idempotency_key="k")
        again = await asyncio.to_thread(client.submit_file, jobs, idempotency_key="k")
    assert (status.id, status.counts.total, status.state) == (batch, LINES, BatchState.RUNNING)
    assert again.id == batch
    _, all_taken = await ids_of(real_store)
    assert all_taken[: len(taken)] == taken
    assert Counter(all_taken) == Counter({f"{batch}-{number}": 1 for number in range(LINES)})
    assert sum((await recount(real_store)).values()) == LINES


async def test_the_command_waits_for_a_door_that_is_started_again(
    settings: Settings, real_store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A person who submits sees one remark, and one batch."""
    await Hands(real_store).beat()
    file = job_file(tmp_path / "jobs.jsonl").path
    with Door(settings, VIIWORK_API_PORT=str(free_port())) as first:
        url = first.url
        command = asyncio.create_task(in_thread(lambda: run(["submit", str(file), "--server", url, "--json"])))
        await something_taken(real_store)
        first.process.kill()
        first.process.wait()
    with Door(settings, VIIWORK_API_PORT=url.rpartition(":")[2]) as second:
        assert second.url == url
        code = await command
    said = capfd.readouterr()
    assert code == 0, said.err
    assert json.loads(said.out)["counts"]["total"] == LINES
    _, taken = await ids_of(real_store)
    assert len(set(taken)) == len(taken) == LINES


async def test_a_large_file_goes_through_in_bounded_memory(
    settings: Settings, real_store: Store, tmp_path: Path
) -> None:
    """40 MB of jobs; the door grows by a fraction of that."""
    await Hands(real_store).beat()
    jobs = job_file(tmp_path / "jobs.jsonl", padding=2000)
    assert jobs.size_bytes > 40_000_000
    with Door(settings) as door, Client(door.url) as client:
        client.fleet()
        process = psutil.Process(door.process.pid)
        before_bytes = process.memory_info().rss
        status = await asyncio.to_thread(client.submit_file, jobs)
        grown_bytes = process.memory_info().rss - before_bytes
        assert (status.counts.total, grown_bytes < 20 * MIB) == (LINES, True), grown_bytes
        await asyncio.to_thread(client.cancel_analysis, status.id)


async def something_taken(store: Store) -> None:
    """Wait until the first jobs of a file have been taken in."""

    async def taken() -> bool:
        depth = await store.client.hgetall(f"{store.prefix}depth")
        return sum(map(int, depth.values())) > 1000

    await eventually(taken, what="the first jobs are taken in")


async def test_a_file_stops_at_the_watermark_and_running_work_still_ends(tmp_path: Path) -> None:
    """A server of 16 MiB and a file of 40: 429 from 80 % on; what was taken can be run; with room the file goes on."""
    small = load_settings(
        {"fleet": {"name": "small", "state_dir": str(tmp_path / "state")}, "redis": {"max_memory_bytes": 16 * MIB}}
    )
    server = embedded.start(small)
    store = await open_store(small)
    try:
        hands = Hands(store)
        await hands.beat()
        jobs = job_file(tmp_path / "jobs.jsonl", padding=2000)
        with Door(small) as door, Client(door.url, busy_patience_s=0) as client:
            with pytest.raises(Busy, match=r"Redis' memory is 8[0-9]% full"):
                await asyncio.to_thread(client.submit_file, jobs, idempotency_key="k")
            batch, taken = await ids_of(store)
            assert (await store.pressure()).fraction < 0.95
            assert await hands.do() in taken
            assert client.analysis(batch).counts.succeeded == 1
            with pytest.raises(Busy):
                client.submit_job([{"role": "user", "content": "hello"}], model="noop")
            await store.client.config_set("maxmemory", 512 * MIB)

            async def taken_again() -> bool:
                try:
                    status = await asyncio.to_thread(client.submit_file, jobs, idempotency_key="k")
                except Busy:  # the door looks once a second
                    return False
                assert (status.id, status.counts.total) == (batch, LINES)
                return True

            await eventually(taken_again, what="the file is taken")
    finally:
        await store.close()
        server.stop()
