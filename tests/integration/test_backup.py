"""Backup and restore on real servers: what comes back, what is refused, and what is left after a failure."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.hands import Hands, field, keys, sealed_batch
from tests.workers import make_job
from viiwork.cli.main import run
from viiwork.errors import Conflict, StartupError, StoreUnavailable, UsageError
from viiwork.jobs import State
from viiwork.settings import Settings, load_settings
from viiwork.statedir import FleetLock, StateDir
from viiwork.store import Store, embedded, halfway
from viiwork.store.backup import Step, back_up
from viiwork.store.endpoint import connect
from viiwork.store.leases import Verdict
from viiwork.store.manifest import Manifest
from viiwork.store.opening import make_store, open_store
from viiwork.store.pairing import Pairing
from viiwork.store.rdb import stream_rdb
from viiwork.store.restore import restore
from viiwork.store.scratch import Scratch, prefer
from viiwork.work import Answer

LONG = "a long text " * 3000


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Settings]:
    """A fleet that was never started, on an embedded server of its own."""
    root = tmp_path / "new" / "state"
    yield load_settings({"fleet": {"name": "new", "state_dir": str(root)}, "redis": {"url": "embedded"}})
    if root.is_dir():
        embedded.end_server(StateDir(root))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.tar.gz"


async def back_up_of(store: Store, settings: Settings, file: Path) -> Manifest:
    return await back_up(store, file, url=settings.redis.url)


class Reopened:
    """`async with Reopened(settings) as store:` the embedded server of a restored fleet, up for a while."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Store:
        self._server = embedded.start(self._settings)
        self._store = await open_store(self._settings)
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        self._server.stop()


class TestRoundTrip:
    """What was there is there again."""

    async def test_jobs_batches_and_files_come_back(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        """Under another prefix, on another server; inputs and results over 16 KiB can be read."""
        batch = await sealed_batch(real_store, 6, text=LONG)
        hands = Hands(real_store)
        await hands.beat()
        done = [await hands.take() for _ in range(2)]
        for claim in done:
            assert (await hands.commit(claim.fence, Verdict.SUCCEEDED, Answer(text=LONG + claim.fence.job)))[0] == "ok"
        await real_store.release("batch.noop")
        held = (await hands.take()).fence
        before = await keys(real_store)

        manifest = await back_up_of(real_store, settings, file)
        assert (manifest.prefix, manifest.blobs) == (settings.prefix, 8)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        restored = await restore(empty, file)
        assert (restored.given_back, restored.missing, restored.blobs) == (1, 0, 8)

        async with Reopened(empty) as store:
            status = await store.batch(batch)
            assert (status.counts.total, status.counts.succeeded) == (6, 2)
            for claim in done:
                answer = (await store.job(claim.fence.job)).answer
                assert answer is not None
                assert answer.text == LONG + claim.fence.job
            assert (await store.job(held.job)).state in (State.WAITING, State.QUEUED)
            assert await field(store, held.job, "strikes") in (None, "0")
            after = await keys(store)
            assert {key for key in before if key.startswith(("job:", "batch:"))} <= set(after)
            assert halfway.MARK not in after
            again = Hands(store)
            await again.beat()
            assert len(await again.do_all()) == 4
            assert (await store.batch(batch)).finished

    async def test_only_the_fleets_own_keys_are_read_or_written(
        self, lone_store: Store, lone_url: str, settings: Settings, file: Path
    ) -> None:
        """A server may hold other programs' data, on either side."""
        await lone_store.submit([make_job()])
        strange = "somebody:elses"
        target = settings.model_copy(
            update={
                "fleet": settings.fleet.model_copy(update={"state_dir": file.parent / "second"}),
                "redis": settings.redis.model_copy(update={"url": lone_url, "prefix": f"{settings.prefix}second*:"}),
            }
        )
        await lone_store.client.set(strange, "1")
        await back_up(lone_store, file, url=lone_url)
        before = set(await lone_store.client.keys("*"))
        await restore(target, file)
        new = set(await lone_store.client.keys("*")) - before
        assert new
        assert all(key.startswith(target.prefix) for key in new)
        assert await lone_store.client.get(strange) == "1"

    async def test_times_to_live_come_along(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        """To the same moment, not for as long again."""
        await real_store.admit(tenant="t", key="k", fingerprint="f", id="job_x")
        (key,) = await keys(real_store, "idem:*")
        ends = await real_store.client.pexpiretime(f"{real_store.prefix}{key}")
        await back_up_of(real_store, settings, file)
        await restore(empty, file)
        async with Reopened(empty) as store:
            assert await store.client.pexpiretime(f"{store.prefix}{key}") == ends > 0

    async def test_files_that_come_and_go_meanwhile_are_in_it_or_not_needed(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        """Jobs come in, are done and are purged while the backup runs; what it names is there."""
        stop = asyncio.Event()

        async def churn() -> None:
            hands = Hands(real_store)
            await hands.beat()
            while not stop.is_set():
                jobs = [make_job(text=LONG) for _ in range(3)]
                await real_store.submit(jobs)
                for _ in jobs:
                    fence = (await hands.take()).fence
                    await hands.commit(fence, Verdict.SUCCEEDED, Answer(text=LONG))
                    await real_store.release("batch.noop")

        churning = asyncio.create_task(churn())
        try:
            for n in range(3):
                target = file.with_name(f"{n}.tar")
                await asyncio.sleep(0.05)
                await back_up_of(real_store, settings, target)
        finally:
            stop.set()
            await churning
        assert (await restore(empty, file.with_name("2.tar"))).missing == 0

    async def test_the_directory_and_redis_of_the_new_fleet_know_each_other(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        """By another id than the old ones', so that neither can be taken for the other."""
        await Pairing(real_store, real_store.blobs.root).seal()
        old = await Pairing(real_store, real_store.blobs.root).read()
        await back_up_of(real_store, settings, file)
        await restore(empty, file)
        async with Reopened(empty) as store:
            new = await Pairing(store, store.blobs.root).read()
            assert new[0] == new[1] != old[0]


class TestRefusals:
    """Nothing is overwritten, nothing half is taken for whole."""

    async def test_a_fleet_that_holds_work_is_left_alone(
        self, real_store: Store, settings: Settings, file: Path
    ) -> None:
        job = make_job()
        await real_store.submit([job])
        await back_up_of(real_store, settings, file)
        with pytest.raises(Conflict, match="holds work already"):
            await restore(settings, file)
        assert (await real_store.job(job.id)).state is State.QUEUED

    async def test_a_directory_with_files_is_left_alone(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        await back_up_of(real_store, settings, file)
        blobs = make_store(empty, settings.redis.url).blobs
        kept = await blobs.put(b"mine")
        with pytest.raises(Conflict, match="holds work already"):
            await restore(empty, file)
        assert await blobs.read(kept.id) == b"mine"

    async def test_a_fleet_that_runs_is_left_alone(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        await back_up_of(real_store, settings, file)
        state = StateDir(empty.state_dir)
        state.prepare()
        with FleetLock(state, fleet="new"), pytest.raises(StartupError, match="already running"):
            await restore(empty, file)

    async def test_a_damaged_backup_touches_nothing(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        await real_store.submit([make_job(text=LONG)])
        await back_up_of(real_store, settings, file)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UsageError, match="not a whole backup"):
            await restore(empty, file)
        assert not empty.state_dir.exists()

    async def test_a_file_that_is_there_is_not_overwritten(
        self, real_store: Store, settings: Settings, file: Path
    ) -> None:
        file.write_text("precious")
        with pytest.raises(UsageError, match="there already"):
            await back_up_of(real_store, settings, file)
        assert file.read_text() == "precious"

    async def test_a_strange_blob_directory_is_not_backed_up(
        self, real_store: Store, settings: Settings, file: Path
    ) -> None:
        """As on another host than the fleet's."""
        await Pairing(real_store, real_store.blobs.root).seal()
        (real_store.blobs.root / "belongs-to").unlink()
        with pytest.raises(Conflict, match="does not belong to this Redis"):
            await back_up_of(real_store, settings, file)

    async def test_a_place_that_cannot_be_written_is_one_line(
        self, real_store: Store, settings: Settings, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="cannot be written"):
            await back_up_of(real_store, settings, tmp_path / "no" / "such" / "folder.tar")

    async def test_a_user_without_the_right_to_copy_is_told(self, real_store: Store, settings: Settings) -> None:
        """An ACL without SYNC, as with many hosted servers."""
        await real_store.client.acl_setuser(
            "reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-sync", "-replconf"]
        )
        options = {**real_store.client.connection_pool.connection_kwargs, "username": "reader", "password": "pw"}
        client = connect(f"unix://reader:pw@{options['path']}") if options.get("path") else Redis(**options)
        try:
            with pytest.raises(StoreUnavailable, match="does not let this user"):
                async for _ in stream_rdb(client):
                    pass
        finally:
            await client.aclose()
            await real_store.client.acl_deluser("reader")


class TestBrokenOff:
    """A backup or restore that dies leaves nothing that could be taken for a whole one."""

    async def test_a_backup_that_fails_leaves_nothing(self, real_store: Store, settings: Settings, file: Path) -> None:
        """Neither half a file nor its links in the blob directory."""
        await real_store.submit([make_job(text=LONG)])

        def stop_when_packing(step: Step) -> None:
            if step.what == "packing the files":
                raise RuntimeError("the disk is gone")

        with pytest.raises(RuntimeError):
            await back_up(real_store, file, url=settings.redis.url, told=stop_when_packing)
        assert [path.name for path in file.parent.iterdir() if path.name not in ("state", "new")] == []
        assert list(real_store.blobs.root.glob(".backup-*")) == []

    async def test_a_restore_that_was_broken_off_goes_on(
        self, real_store: Store, settings: Settings, empty: Settings, file: Path
    ) -> None:
        """Nobody can start the fleet before it is whole, and another backup is refused."""
        batch = await sealed_batch(real_store, 600, text="short")
        await real_store.submit([make_job(text=LONG)])
        await back_up_of(real_store, settings, file)
        other = file.with_name("other.tar")
        await back_up_of(real_store, settings, other)

        def die_among_the_records(step: Step) -> None:
            if step.what == "restoring the records":
                raise RuntimeError("the power is gone")

        with pytest.raises(RuntimeError):
            await restore(empty, file, told=die_among_the_records)
        with pytest.raises(Conflict, match="another backup was broken off"):
            await restore(empty, other)
        server = embedded.start(empty)
        with pytest.raises(StoreUnavailable, match="viiwork restore"):
            await open_store(empty)
        server.stop()
        assert (await restore(empty, file)).missing == 0
        async with Reopened(empty) as store:
            assert (await store.batch(batch)).counts.total == 600
        assert list(empty.state_dir.glob("restore-*")) == []

    async def test_the_server_of_a_killed_restore_is_ended_by_the_next(self, tmp_path: Path) -> None:
        """It outlives whoever started it, with all of the backup in its memory."""
        left = load_settings({"fleet": {"state_dir": str(tmp_path / "restore-killed")}, "redis": {"url": "embedded"}})
        server = embedded.start(left)
        with Scratch(tmp_path):
            assert not server.is_alive()
            assert not left.state_dir.exists()

    async def test_a_new_fleet_takes_the_kind_of_server_that_wrote_the_backup(self, tmp_path: Path) -> None:
        """The other kind could not read it; one that has data keeps its own."""
        state = StateDir(tmp_path / "state")
        state.prepare()
        prefer(state, "Valkey 9.1.2")
        prefer(state, "Redis 7.0.15")
        assert (state.root / "redis" / "server.txt").read_text() == "Valkey 9.1.2\n"


class TestTheCommands:
    """`viiwork backup` and `viiwork restore`."""

    @pytest.fixture
    def command(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., tuple[int, str, str]]:
        def call(settings: Settings, *arguments: str) -> tuple[int, str, str]:
            monkeypatch.setenv("VIIWORK_REDIS_URL", settings.redis.url)
            monkeypatch.setenv("VIIWORK_REDIS_PREFIX", settings.redis.prefix)
            monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", str(settings.state_dir))
            code = run(list(arguments))
            said = capfd.readouterr()
            return code, said.out, said.err

        return call

    async def test_both_say_what_they_did(
        self,
        command: Callable[..., tuple[int, str, str]],
        real_store: Store,
        settings: Settings,
        empty: Settings,
        file: Path,
    ) -> None:
        """For people on one line, for programs as JSON; progress goes to standard error."""
        await real_store.submit([make_job(text=LONG)])
        code, said, progress = await asyncio.to_thread(command, settings, "backup", str(file))
        assert code == 0
        assert "1 files" in said
        assert "copying Redis" in progress
        code, said, _ = await asyncio.to_thread(command, empty, "restore", str(file), "--json")
        assert code == 0
        told = json.loads(said)
        assert told["blobs"] == 1
        assert told["backup"]["prefix"] == settings.prefix

    async def test_without_redis_nothing_is_written(
        self, command: Callable[..., tuple[int, str, str]], empty: Settings, file: Path
    ) -> None:
        code, _, said = await asyncio.to_thread(command, empty, "backup", str(file))
        assert code == 3
        assert "viiwork up" in said
        assert not file.exists()


def test_the_dump_is_read_from_a_stream_that_redis_py_keeps_private(redis_url: str) -> None:
    """If redis-py renames it or reads ahead, this fails and not somebody's backup."""

    async def begin() -> bytes:
        client = connect(redis_url)
        try:
            async for piece in stream_rdb(client):
                return piece
            return b""
        finally:
            await client.aclose()

    assert asyncio.run(begin()).startswith((b"REDIS", b"VALKEY"))
