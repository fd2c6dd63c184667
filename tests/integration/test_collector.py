"""The sweeper of the blob directory, on a real server: what goes, what stays, and when it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hands import Hands
from tests.workers import Fleet, eventually, make_job
from viiwork.cli.main import run
from viiwork.errors import Conflict, StoreUnavailable
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.blobdir import Orphan
from viiwork.store.collector import AGAIN_MS, EVERY_MS, Collector
from viiwork.store.intake import Fence
from viiwork.store.leases import Verdict
from viiwork.store.mentions import BLOB_FIELDS, glob_escaped
from viiwork.store.pairing import FILE, Pairing, may_pair
from viiwork.store.sketch import NameSketch
from viiwork.store.snapshot import Snapshot, clear_stale
from viiwork.work import Answer

LUA = Path(__file__).resolve().parents[2] / "viiwork" / "store" / "lua"
DAY_S = 24 * 3600.0
LONG = "x" * 40_000


def collector(store: Store, *, grace_s: float = DAY_S) -> Collector:
    return Collector(store, grace_s=grace_s, pause_s=0.0)


def files(store: Store) -> set[str]:
    """The blobs and unfinished uploads that lie in the directory."""
    return {path.name for path in store.blobs.root.rglob("*") if path.is_file() and len(path.name) == 32}


def age(store: Store, *, hours: float = 48.0) -> None:
    """Make every file of the directory that much older."""
    then = time.time() - hours * 3600
    for path in store.blobs.root.rglob("*"):
        os.utime(path, (then, then))


def abandoned_upload(store: Store) -> Path:
    """What a killed API leaves of a file that was still coming in."""
    incoming = store.blobs.root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    path = incoming / ("ab" * 16)
    path.write_bytes(b"half a fi")
    return path


class TestWhatGoes:
    """Nothing that a record names, everything else that is old."""

    async def test_a_killed_upload_leaves_nothing_behind(self, real_store: Store) -> None:
        """Neither the files that had come in whole nor the half one."""
        await real_store.blobs.put(b"a document that no job was made for")
        abandoned_upload(real_store)
        await real_store.submit([make_job(text=LONG)])
        age(real_store)
        found = await collector(real_store).collect()
        assert (found.blobs, found.uploads) == (1, 1)
        assert (found.blob_bytes, found.upload_bytes) == (35, 9)
        assert len(files(real_store)) == 1

    async def test_the_output_of_a_fenced_commit_goes(self, real_store: Store) -> None:
        """It was written before the commit was refused; the accepted one stays and can be read."""
        job = make_job(text=LONG)
        await real_store.submit([job])
        hands = Hands(real_store)
        await hands.beat()
        fence = (await hands.take()).fence
        late = Fence(job.id, fence.attempt, "somebody else's")
        assert (await hands.commit(late, Verdict.SUCCEEDED, Answer(text=LONG)))[0] == "fenced"
        assert (await hands.commit(fence, Verdict.SUCCEEDED, Answer(text=LONG + "!")))[0] == "ok"
        age(real_store)
        assert (await collector(real_store).collect()).blobs == 1
        answer = (await real_store.job(job.id)).answer
        assert answer is not None
        assert answer.text == LONG + "!"

    async def test_what_is_younger_than_the_grace_stays(self, real_store: Store) -> None:
        """Its record may be about to be written."""
        await real_store.submit([make_job(text=LONG)])
        await real_store.blobs.put(b"young")
        abandoned_upload(real_store)
        before = files(real_store)
        age(real_store, hours=23)
        assert (await collector(real_store).collect()).blobs == 0
        assert files(real_store) == before

    async def test_a_dry_run_lists_and_removes_nothing(self, real_store: Store) -> None:
        await real_store.submit([make_job(text=LONG)])
        orphan = (await real_store.blobs.put(b"orphan")).id
        age(real_store)
        before, heard = files(real_store), list[Orphan]()
        found = await collector(real_store).collect(dry_run=True, told=heard.append)
        assert found.dry_run
        assert found.blobs == 1
        assert [(entry.kind, entry.path.name) for entry in heard] == [("blob", orphan)]
        assert files(real_store) == before
        assert not (real_store.blobs.root / FILE).exists()

    async def test_files_of_other_names_are_left_alone(self, real_store: Store) -> None:
        """Whoever put them there knows why."""
        await real_store.submit([make_job(text=LONG)])
        strange = [real_store.blobs.root / "ab" / "notes.txt", real_store.blobs.root / "README"]
        for path in strange:
            path.parent.mkdir(exist_ok=True)
            path.write_text("mine")
        age(real_store)
        await collector(real_store).collect()
        assert all(path.exists() for path in strange)

    async def test_a_directory_that_is_not_there_is_swept_at_once(self, real_store: Store) -> None:
        assert (await collector(real_store).collect()).records == 0

    async def test_many_pages_of_records_are_read_to_the_end(self, real_store: Store) -> None:
        """More than one page of SCAN; none of the named blobs goes."""
        await real_store.submit([make_job(text=LONG if n % 100 == 0 else "short") for n in range(1000)])
        age(real_store)
        before = files(real_store)
        found = await collector(real_store).collect()
        assert (found.records, found.blobs) == (1000, 0)
        assert files(real_store) == before

    def test_it_reads_the_fields_that_a_purge_reads(self) -> None:
        """A new field that names a blob must be known to both."""
        named = re.search(r"HMGET', job_key\(job_id\), ([^)]*)\)", (LUA / "purge.lua").read_text("utf-8"))
        assert named is not None
        assert set(re.findall(r"'(\w+)'", named[1])) == set(BLOB_FIELDS)
        written = set(re.findall(r"\b\w+_blob\b", "".join(path.read_text("utf-8") for path in LUA.glob("*.lua"))))
        assert written <= set(BLOB_FIELDS)


class TestStrangers:
    """A fleet that is pointed at another Redis must not lose its files."""

    async def test_blobs_of_which_none_is_named_are_not_taken_for_garbage(self, real_store: Store) -> None:
        """As when redis.url names an empty server."""
        await real_store.blobs.put(b"somebody's work")
        age(real_store)
        with pytest.raises(Conflict, match=r"does not belong to this Redis.*--adopt"):
            await collector(real_store).collect()
        assert len(files(real_store)) == 1

    async def test_saying_that_they_belong_together_is_enough(self, real_store: Store) -> None:
        """From then on they are known to each other."""
        await real_store.blobs.put(b"garbage, and I know it")
        age(real_store)
        assert (await collector(real_store).collect(adopt=True)).blobs == 1
        await real_store.blobs.put(b"more of it")
        age(real_store)
        assert (await collector(real_store).collect()).blobs == 1

    async def test_once_they_know_each_other_another_redis_is_refused(self, real_store: Store) -> None:
        """Whatever the other one names."""
        await real_store.submit([make_job(text=LONG)])
        await collector(real_store).collect()
        await real_store.client.delete(f"{real_store.prefix}blobdir")
        orphan = (await real_store.blobs.put(b"orphan")).id
        age(real_store)
        with pytest.raises(Conflict):
            await collector(real_store).collect()
        assert orphan in files(real_store)

    @pytest.mark.parametrize(
        ("here", "there", "has_blobs", "named", "verdict"),
        [
            ("a", "a", True, False, True),
            ("a", "b", True, True, False),
            ("a", "", True, True, False),
            ("", "b", False, True, False),
            ("", "", False, False, True),
            ("", "", True, True, True),
            ("", "", True, False, False),
        ],
    )
    def test_the_rule(self, *, here: str, there: str, has_blobs: bool, named: bool, verdict: bool) -> None:
        """Ids decide; where there are none yet, a blob that is named does."""
        assert may_pair(in_directory=here, in_redis=there, has_blobs=has_blobs, some_are_named=named) is verdict

    async def test_the_id_is_written_once(self, real_store: Store) -> None:
        pairing = Pairing(real_store, real_store.blobs.root)
        await pairing.seal()
        first = await pairing.read()
        await pairing.seal()
        assert await pairing.read() == first
        assert first[0] == first[1] != ""


class TestTurns:
    """One run in six hours for the whole fleet, and never just after Redis came up."""

    @pytest.fixture
    def settled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("viiwork.store.collector.SETTLED_S", 0.0)

    @pytest.mark.usefixtures("settled")
    async def test_only_one_of_a_fleet_sweeps(self, real_store: Store) -> None:
        runs = await asyncio.gather(*(collector(real_store).run(owner=f"w{n}") for n in range(4)))
        assert [run for run in runs if run is not None] == []  # no blob directory: no turn is taken
        await real_store.submit([make_job(text=LONG)])
        runs = await asyncio.gather(*(collector(real_store).run(owner=f"w{n}") for n in range(4)))
        assert len([run for run in runs if run is not None]) == 1
        left_ms = await real_store.client.pttl(f"{real_store.prefix}gc")
        assert EVERY_MS - 60_000 < left_ms <= EVERY_MS

    async def test_a_server_that_has_only_just_started_is_left_alone(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A commit that waited for it may name an old blob."""
        monkeypatch.setattr("viiwork.store.collector.SETTLED_S", 1e9)
        await real_store.submit([make_job(text=LONG)])
        assert await collector(real_store).run(owner="w") is None

    @pytest.mark.usefixtures("settled")
    async def test_it_tends_until_it_is_told_to_stop(self, real_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sweep that is under way is given up at once."""
        monkeypatch.setattr("viiwork.store.collector.LOOK_S", 0.01)
        await real_store.submit([make_job(text=LONG)])
        orphan = (await real_store.blobs.put(b"orphan")).id
        age(real_store)
        stop = asyncio.Event()
        tending = asyncio.create_task(collector(real_store).tend(stop, owner="w"))

        async def swept() -> bool:
            return orphan not in files(real_store)

        await eventually(swept, what="a sweep")
        stop.set()
        await tending

    async def test_a_worker_sweeps_by_itself(self, real_store: Store, fleet: Fleet) -> None:
        """In a fleet whose directory and Redis know each other."""
        assert await Pairing(real_store, real_store.blobs.root).meet()
        orphan = (await real_store.blobs.put(b"orphan")).id
        await real_store.submit([make_job(text=LONG, model="nobody")])
        age(real_store)
        fleet.start("cpu0", module="tests.tidy")

        async def swept() -> bool:
            return orphan not in files(real_store)

        await eventually(swept, what="a sweep by a worker")
        assert len(files(real_store)) == 1
        assert fleet.stop("cpu0") == 0

    @pytest.mark.usefixtures("settled")
    async def test_a_host_with_another_directory_takes_no_turn(self, real_store: Store) -> None:
        """The right one would wait for six hours."""
        await real_store.submit([make_job(text=LONG)])
        await collector(real_store).collect()
        (real_store.blobs.root / FILE).write_text("another\n")
        assert await collector(real_store).run(owner="w") is None
        assert not await real_store.client.exists(f"{real_store.prefix}gc")

    @pytest.mark.usefixtures("settled")
    async def test_a_turn_that_was_broken_off_comes_again_soon(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not only after six hours."""
        await real_store.submit([make_job(text=LONG)])
        sweep = collector(real_store)

        async def broken_off(**_: object) -> None:
            raise StoreUnavailable("Redis went away.")

        monkeypatch.setattr(sweep, "collect", broken_off)
        with pytest.raises(StoreUnavailable):
            await sweep.run(owner="w")
        assert 0 < await real_store.client.pttl(f"{real_store.prefix}gc") <= AGAIN_MS

    async def test_a_server_exchanged_in_mid_sweep_ends_it(
        self, real_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A SCAN cursor means nothing to another server, so records may have been passed over."""
        await real_store.submit([make_job(text=LONG)])
        await real_store.blobs.put(b"orphan")
        age(real_store)
        sweep, read, asked = collector(real_store), real_store.read, iter(range(100))

        async def another_each_time(commands: object) -> object:
            answer = await read(commands)  # type: ignore[arg-type] # handed through as it came
            if isinstance(answer[0], dict) and "run_id" in answer[0]:
                answer[0]["run_id"] = f"server-{next(asked)}"
            return answer

        monkeypatch.setattr(real_store, "read", another_each_time)
        with pytest.raises(StoreUnavailable, match="started anew"):
            await sweep.collect()
        assert len(files(real_store)) == 2


class TestSnapshots:
    """What a killed backup leaves goes; what a living one holds stays."""

    async def test_a_stale_one_is_cleared_and_a_living_one_is_not(self, real_store: Store) -> None:
        await real_store.blobs.put(b"kept")
        root = real_store.blobs.root
        with Snapshot(root) as living:
            assert living.take() == 1
            killed = root / ".backup-killed"
            killed.mkdir()
            (killed / "lock").touch()
            assert clear_stale(root) == 1
            assert [path.read_bytes() for path in living.files()] == [b"kept"]
        assert list(root.glob(".backup-*")) == []

    async def test_it_keeps_what_is_removed_afterwards_and_takes_what_comes_later(self, real_store: Store) -> None:
        first = (await real_store.blobs.put(b"first")).id
        with Snapshot(real_store.blobs.root) as snapshot:
            snapshot.take()
            await real_store.blobs.delete(first)
            second = (await real_store.blobs.put(b"second")).id
            assert snapshot.take() == 1
            assert {path.name for path in snapshot.files()} == {first, second}


class TestTheCommand:
    """`viiwork gc`."""

    @pytest.fixture
    def command(
        self, settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., tuple[int, str, str]]:
        monkeypatch.setenv("VIIWORK_REDIS_URL", settings.redis.url)
        monkeypatch.setenv("VIIWORK_REDIS_PREFIX", settings.prefix)
        monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", str(settings.state_dir))

        def call(*arguments: str) -> tuple[int, str, str]:
            code = run(["gc", *arguments])
            said = capfd.readouterr()
            return code, said.out, said.err

        return call

    async def test_it_says_what_it_would_remove_and_then_what_it_removed(
        self, command: Callable[..., tuple[int, str, str]], real_store: Store
    ) -> None:
        await real_store.submit([make_job(text=LONG)])
        orphan = (await real_store.blobs.put(b"orphan")).id
        age(real_store)
        code, said, _ = await asyncio.to_thread(command, "--dry-run")
        assert code == 0
        assert f"blob    {orphan}  6 bytes, 48 h old" in said
        assert "Would remove 1 blob and 0 broken-off uploads (0.0 MiB); 1 record read." in said
        code, said, _ = await asyncio.to_thread(command, "--json")
        assert code == 0
        assert json.loads(said)["blobs"] == 1
        assert orphan not in files(real_store)

    async def test_a_grace_under_an_hour_is_refused(self, command: Callable[..., tuple[int, str, str]]) -> None:
        """It could take the files of an upload that is under way."""
        code, _, said = await asyncio.to_thread(command, "--older-than", "0")
        assert code == 2
        assert "older-than" in said

    async def test_without_redis_it_says_so(
        self, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VIIWORK_REDIS_URL", "redis://127.0.0.1:1")
        code, _, said = await asyncio.to_thread(command)
        assert code == 3
        assert said.startswith("viiwork: Redis does not answer")


def test_a_prefix_is_taken_literally_in_a_pattern() -> None:
    assert glob_escaped(r"a*b?[c]\:") == r"a\*b\?\[c\]\\:"


def test_a_sketch_never_forgets_a_name() -> None:
    """And hardly ever remembers one too many, even when it is far too small."""
    sketch, names = NameSketch(bits=1 << 12), [f"{n:032x}" for n in range(400)]
    for name in names:
        sketch.add(name)
    assert all(name in sketch for name in names)
    wrong = sum(f"{n:032x}" in sketch for n in range(10_000, 20_000))
    assert wrong < 1000
