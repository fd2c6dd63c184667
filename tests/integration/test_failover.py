"""A master with a replica and a sentinel, for real: what outlives a failover, and what the last moment may cost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.hands import Hands
from tests.ports import kept_port
from tests.workers import eventually, make_job
from viiwork.errors import NotFound, StoreUnavailable, ViiworkError
from viiwork.jobs import State
from viiwork.settings import load_settings
from viiwork.store import Store
from viiwork.store.binaries import find_binary
from viiwork.store.endpoint import connect
from viiwork.store.opening import make_store

pytestmark = pytest.mark.slow

SAFE = ("min-replicas-to-write 1", "min-replicas-max-lag 1")
"""The master takes no writes unless a replica has kept up with it for the last second."""


class Pair:
    """Master, replica and sentinel on free loopback ports. The replica logs in as a user that can be shut out."""

    def __init__(self, folder: Path, *, master: tuple[str, ...]) -> None:
        self._folder = folder
        self._ports = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        login = ("user repl on >pw ~* &* +@all",)
        at_once = "repl-diskless-sync-delay 0"  # else it waits 5 s for more replicas
        self.master = self._start("master", "appendonly yes", at_once, *login, *master)
        follow = (f"replicaof 127.0.0.1 {self.master}", "masteruser repl", "masterauth pw", "appendonly yes", *login)
        self.replica = self._start("replica", *follow)

    def watch(self) -> None:
        """Start the sentinel, once there is a replica to be seen: it looks every ten seconds."""
        watch = (
            f"sentinel monitor main 127.0.0.1 {self.master} 1",
            "sentinel down-after-milliseconds main 600000",  # a machine that stands still is no failover
            "sentinel failover-timeout main 3000",
        )
        self.sentinel = self._start("sentinel", *watch)

    @property
    def url(self) -> str:
        return f"sentinel://127.0.0.1:{self.sentinel}/main/0"

    async def lose_master(self) -> None:
        """SIGKILL; and from now on the sentinel takes silence for a death."""
        self._processes["master"].kill()
        self._processes["master"].wait(timeout=60)
        sentinel = connect(f"redis://127.0.0.1:{self.sentinel}/0")
        await sentinel.execute_command("SENTINEL", "SET", "main", "down-after-milliseconds", "500")
        await sentinel.aclose()

    async def cut_replica_off(self) -> None:
        """From now on the replica gets nothing more."""
        client = connect(f"redis://127.0.0.1:{self.master}/0")
        await client.acl_setuser("repl", enabled=False)
        await client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        await client.aclose()

    async def linked(self) -> bool:
        """Whether the replica follows."""
        replica = connect(f"redis://127.0.0.1:{self.replica}/0")
        try:
            return bool((await replica.info("replication")).get("master_link_status") == "up")
        finally:
            await replica.aclose()

    async def known(self) -> bool:
        """Whether the sentinel knows of it."""
        sentinel = connect(f"redis://127.0.0.1:{self.sentinel}/0")
        try:
            return len(await sentinel.execute_command("SENTINEL", "REPLICAS", "main")) == 1
        finally:
            await sentinel.aclose()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(timeout=60)
        self._ports.close()

    def _start(self, name: str, *lines: str) -> int:
        port = self._ports.enter_context(kept_port())
        data = self._folder / name
        data.mkdir()
        config = data / "server.conf"
        config.write_text("\n".join((f"port {port}", "bind 127.0.0.1", f'dir "{data}"', 'save ""', *lines)) + "\n")
        argv = [str(find_binary(os.environ).path), str(config), *(["--sentinel"] if name == "sentinel" else [])]
        with (data / "log").open("wb") as log:
            self._processes[name] = subprocess.Popen(argv, stdout=log, stderr=log)
        return port


@pytest.fixture
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Both servers, in step; a test's parameter is what the master is told besides."""
    made = Pair(tmp_path, master=getattr(request, "param", ()))

    async def linked() -> bool:
        try:
            return await made.linked()
        except (RedisError, OSError):
            return False

    try:
        await eventually(linked, what="a replica that follows")
        made.watch()
        yield made
    finally:
        made.close()


@pytest.fixture
async def store(pair: Pair, tmp_path: Path) -> AsyncIterator[Store]:
    """A store that asks the sentinel who the master is."""
    settings = load_settings({"fleet": {"state_dir": str(tmp_path / "state")}, "redis": {"url": pair.url}})
    made = make_store(settings, pair.url)

    async def up() -> bool:
        try:
            await made.ping()
            return await pair.linked() and await pair.known()
        except (ViiworkError, RedisError, OSError):
            return False

    await eventually(up, what="a sentinel that knows the replica")
    yield made
    await made.close()


async def replicated(store: Store) -> None:
    """Wait until the replica has all that was written."""
    while await store.client.execute_command("WAIT", "1", "1000") < 1:
        pass


async def failed_over(store: Store, pair: Pair) -> None:
    """Wait until the sentinel has made the replica the master, and our client has found it."""

    async def promoted() -> bool:
        try:
            told = await store.client.info("replication")
            server = await store.client.info("server")
        except (RedisError, OSError):
            return False
        return told["role"] == "master" and int(server["tcp_port"]) == pair.replica

    await eventually(promoted, within_s=90, what="the replica promoted")


async def test_what_the_replica_had_goes_on_and_ends_once(store: Store, pair: Pair) -> None:
    """Jobs that wait, jobs that run and the fences of those that run."""
    jobs = [make_job() for _ in range(6)]
    await store.submit(jobs)
    hands = Hands(store)
    await hands.beat()
    done, held = await hands.do(), (await hands.take()).fence
    await replicated(store)
    await pair.lose_master()
    await failed_over(store, pair)
    assert (await store.job(done)).state is State.SUCCEEDED
    assert (await hands.commit(held))[0] == "ok"
    await hands.beat()
    await hands.do_all()
    records = await store.read(("HMGET", f"{store.prefix}job:{job.id}", "state", "commits") for job in jobs)
    assert [tuple(record) for record in records] == [("succeeded", "1")] * len(jobs)


async def test_what_the_replica_did_not_have_is_lost_though_it_was_confirmed(store: Store, pair: Pair) -> None:
    """Replication is asynchronous: WAITAOF speaks of the master's own disk. And nothing is committed twice."""
    known = make_job()
    await store.submit([known])
    hands = Hands(store)
    await hands.beat()
    await replicated(store)
    await pair.cut_replica_off()
    late = make_job()
    await store.submit([late])
    assert (await store.confirm()).synced
    fence = (await hands.take()).fence
    assert (await hands.commit(fence))[0] == "ok"
    await pair.lose_master()
    await failed_over(store, pair)
    with pytest.raises(NotFound):
        await store.job(late.id)
    assert (await store.job(known.id)).state is State.QUEUED, "its end is lost with the master"
    assert (await hands.commit(fence))[0] == "fenced"
    again = Hands(store)
    await again.beat()
    assert await again.do_all() == [known.id]
    (commits,) = await store.read([("HGET", f"{store.prefix}job:{known.id}", "commits")])
    assert commits == "1"


@pytest.mark.parametrize("pair", [SAFE], indirect=True, ids=["min-replicas-to-write 1"])
async def test_a_master_that_waits_for_its_replica_takes_nothing_without_it(store: Store, pair: Pair) -> None:
    """So the window is a second or two, and not as long as the two are apart."""

    async def taken() -> bool:
        try:
            await store.submit([make_job()])
        except StoreUnavailable:
            return False  # the replica fell back for a moment
        return True

    await eventually(taken, what="work taken while both are in step")
    await pair.cut_replica_off()

    async def refused() -> bool:
        try:
            await store.submit([make_job()])
        except StoreUnavailable:
            return True
        return False

    await eventually(refused, what="new work refused")
