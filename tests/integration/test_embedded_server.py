"""The embedded server, run for real: found, adopted, replaced and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import psutil
import pytest

from viiwork.errors import StartupError, StoreUnavailable
from viiwork.processes import identity
from viiwork.settings import Settings, load_settings
from viiwork.statedir import FleetLock, StateDir, rotate, write_private
from viiwork.store import embedded
from viiwork.store.embedded import RunningServer
from viiwork.store.endpoint import broker, connect
from viiwork.store.server_check import check_server
from viiwork.store.server_launch import sync_client


def settings_in(root: Path, **redis: Any) -> Settings:
    return load_settings({"fleet": {"state_dir": root}, "redis": {"url": "embedded", **redis}})


def kill(server: RunningServer) -> None:
    """SIGKILL, and wait until it is gone."""
    os.kill(server.record.pid, signal.SIGKILL)
    while server.is_alive():
        time.sleep(0.01)


def bind(squatter: socket.socket, port: int) -> None:
    """The last threads of a killed server hold its port for a moment."""
    while True:
        try:
            return squatter.bind(("127.0.0.1", port))
        except OSError:
            time.sleep(0.02)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A state directory; whatever server is left in it is ended."""
    place = tmp_path / "state"
    yield place
    if place.is_dir():
        embedded.end_server(StateDir(place))
    until_s = time.monotonic() + 30  # what was killed may take a moment to go
    while left := [p for p in psutil.process_iter(["cwd"]) if str(p.info["cwd"] or "").startswith(str(tmp_path))]:
        assert time.monotonic() < until_s, left
        time.sleep(0.05)


def test_a_second_terminal_finds_it_and_nothing_is_left_when_it_stops(root: Path) -> None:
    """run.json appears and goes, and so does the socket."""
    server = embedded.start(settings_in(root))
    with sync_client(embedded.locate(settings_in(root))) as client:
        client.set("a", "1")
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    server.stop()
    assert not server.is_alive()
    assert sorted(entry.name for entry in root.iterdir()) == ["logs", "redis", "redis.secret"]
    with pytest.raises(StoreUnavailable, match="viiwork up"):
        embedded.locate(settings_in(root))


def test_everything_it_keeps_is_private(root: Path) -> None:
    """Directories 0700; files with secrets 0600."""
    embedded.start(settings_in(root))
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for name in ("run.json", "redis.secret", "redis/redis.conf", "logs/redis.log"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((root / "redis.sock").stat().st_mode) == 0o700


def test_its_password_is_on_no_command_line_and_in_no_log(root: Path) -> None:
    """It stands in two files, and nobody gets in without it."""
    server = embedded.start(settings_in(root))
    password = (root / "redis.secret").read_text().strip()
    assert password not in " ".join(psutil.Process(server.record.pid).cmdline())
    assert password not in str(psutil.Process(server.record.pid).environ())
    assert password not in (root / "logs" / "redis.log").read_text()
    assert password not in (root / "run.json").read_text()
    assert password not in repr(server)

    async def knock() -> None:
        client = connect(f"unix://{root}/redis.sock")
        try:
            await check_server(client)
        finally:
            await client.aclose()

    with pytest.raises(StoreUnavailable, match="password"):
        asyncio.run(knock())


def test_data_outlive_a_stop_and_a_kill(root: Path) -> None:
    """The append-only file is written out on SIGTERM, and every second besides."""
    server = embedded.start(settings_in(root))
    with sync_client(server.url) as client:
        client.set("before", "stop")
    server.stop()
    server = embedded.start(settings_in(root))
    with sync_client(server.url) as client:
        assert client.get("before") == b"stop"
        client.set("before", "kill")
        while client.execute_command("WAITAOF", 1, 0, 500)[0] < 1:
            pass
    kill(server)
    server = embedded.start(settings_in(root))
    with sync_client(server.url) as client:
        assert client.get("before") == b"kill"


def test_a_live_server_is_adopted_with_the_memory_that_the_settings_give_now(root: Path) -> None:
    """One server, whoever started it."""
    first = embedded.start(settings_in(root))
    second = embedded.start(settings_in(root, max_memory_bytes=77 * 1024**2))
    assert second.adopted
    assert second.record == first.record
    with sync_client(second.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(77 * 1024**2)}
    second.stop()
    assert not first.is_alive()


def test_a_live_server_that_is_slow_to_answer_is_waited_for_and_adopted(root: Path) -> None:
    """A machine that stands still is no reason to end it: workers are connected to it."""
    first = embedded.start(settings_in(root))
    os.kill(first.record.pid, signal.SIGSTOP)
    going_on = threading.Timer(2.5, os.kill, (first.record.pid, signal.SIGCONT))  # it is asked for 2 s at a time
    going_on.start()
    second = embedded.start(settings_in(root))
    going_on.join()
    assert (second.adopted, second.record.pid) == (True, first.record.pid)


def test_a_server_outlives_the_process_that_started_it(root: Path) -> None:
    """As when `up` is SIGKILLed: the next one takes it over."""
    starter = (
        "import os, signal, sys; from pathlib import Path; from viiwork.settings import load_settings;"
        "from viiwork.store import embedded;"
        "embedded.start(load_settings({'fleet': {'state_dir': Path(sys.argv[1])}, 'redis': {'url': 'embedded'}}));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", starter, str(root)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert embedded.start(settings_in(root)).adopted


def test_a_recycled_pid_is_not_taken_for_the_server(root: Path) -> None:
    """Its number may belong to somebody else by now: that process is left alone."""
    server = embedded.start(settings_in(root))
    kill(server)
    state = StateDir(root)
    run = state.read_run()
    assert run is not None
    me = server.record.model_copy(update={"pid": os.getpid()})
    state.write_run(run.model_copy(update={"server": me}))
    fresh = embedded.start(settings_in(root))
    assert not fresh.adopted
    assert fresh.record.pid != os.getpid()


@pytest.mark.parametrize("damage", [b"", b"{not json", b'{"fleet": 3}', b"\xff\xfe"])
def test_a_damaged_run_file_leads_to_one_fresh_server_with_the_old_data(root: Path, damage: bytes) -> None:
    """The live server that nobody can describe is ended gently first; two never share the data."""
    old = embedded.start(settings_in(root))
    with sync_client(old.url) as client:
        client.set("a", "1")
    (root / "run.json").write_bytes(damage)
    fresh = embedded.start(settings_in(root))
    assert not old.is_alive()
    with sync_client(fresh.url) as client:
        assert client.get("a") == b"1"


def test_a_server_that_no_longer_knows_our_password_is_replaced(root: Path) -> None:
    """Somebody removed the secret's file."""
    old = embedded.start(settings_in(root))
    (root / "redis.secret").unlink()
    fresh = embedded.start(settings_in(root))
    assert not old.is_alive()
    assert fresh.is_alive()


def test_a_path_too_long_for_a_socket_leads_to_a_loopback_port(tmp_path: Path) -> None:
    """With blanks and quotes in it, and the same port after a crash."""
    deep = tmp_path / ('a "b" ' * 10) / ("c" * 60)
    server = embedded.start(settings_in(deep))
    try:
        assert server.record.socket is None
        with sync_client(embedded.locate(settings_in(deep))) as client:
            client.ping()
        listening = {c.laddr.ip for c in psutil.Process(server.record.pid).net_connections("inet")}
        assert listening == {"127.0.0.1"}
        kill(server)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bind(probe, server.record.port or 0)
        again = embedded.start(settings_in(deep))
        assert again.record.port == server.record.port
    finally:
        embedded.end_server(StateDir(deep))


def test_a_port_that_was_taken_meanwhile_is_replaced_by_another(tmp_path: Path) -> None:
    """The remembered port is a wish."""
    deep = tmp_path / ("c" * 120)
    server = embedded.start(settings_in(deep))
    kill(server)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind(squatter, server.record.port or 0)
        squatter.listen()
        try:
            again = embedded.start(settings_in(deep))
            assert again.record.port not in (None, server.record.port)
        finally:
            embedded.end_server(StateDir(deep))


def test_two_fleets_do_not_meet(tmp_path: Path) -> None:
    """Two directories, two servers, two passwords."""
    one, two = (embedded.start(settings_in(tmp_path / name)) for name in ("one", "two"))
    try:
        assert one.record.pid != two.record.pid
        with sync_client(one.url) as client:
            client.set("a", "1")
        with sync_client(two.url) as client:
            assert client.get("a") is None
    finally:
        one.stop()
        assert two.is_alive()
        two.stop()


def test_a_server_that_cannot_start_says_its_last_words(root: Path) -> None:
    """Here: an append-only file that is not one."""
    embedded.start(settings_in(root)).stop()
    manifest = root / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")
    with pytest.raises(StartupError, match=r"last words.*redis\.log") as caught:
        embedded.start(settings_in(root))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_state_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartupError, match="state directory"):
        embedded.start(settings_in(tmp_path / "file"))


def test_a_server_in_its_own_session_does_not_hear_the_terminal(root: Path) -> None:
    """Ctrl-C goes to the foreground group, which it is not in."""
    server = embedded.start(settings_in(root))
    assert os.getsid(server.record.pid) == server.record.pid != os.getsid(0)


def test_kombu_reaches_it_through_the_socket(tmp_path: Path) -> None:
    """With a blank in the path, and without showing the password."""
    root = tmp_path / "a b"
    server = embedded.start(settings_in(root))
    try:
        made = broker(server.url)
        with kombu.Connection(made.url, transport_options=made.transport_options) as connection:
            connection.default_channel.client.ping()
            password = (root / "redis.secret").read_text().strip()
            assert password not in connection.as_uri()
    finally:
        server.stop()


def test_the_second_supervisor_is_told_who_holds_the_fleet(root: Path) -> None:
    """One line with the pid; and the lock goes with the process that had it."""
    state = StateDir(root)
    state.prepare()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from viiwork.statedir import *;"
            "lock = FleetLock(StateDir(Path(sys.argv[1])), fleet='f'); lock.take();"
            "print('held', flush=True); time.sleep(60)",
            str(root),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StartupError, match=rf"already running \(pid {holder.pid}\)"), FleetLock(state, fleet="f"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with FleetLock(state, fleet="f"):
        pass


def test_a_file_is_replaced_whole_and_leaves_no_scraps(tmp_path: Path) -> None:
    """Even where the old one was open to others."""
    path = tmp_path / "run.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_that_has_grown_is_moved_aside(tmp_path: Path) -> None:
    """One older copy is kept."""
    log = tmp_path / "api.log"
    log.write_bytes(b"x" * 11)
    rotate(log, limit_bytes=10)
    assert not log.exists()
    assert (tmp_path / "api.log.1").exists()


def test_a_process_is_known_by_more_than_its_number() -> None:
    """And a zombie is nobody."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert identity(os.getpid()) not in (None, identity(child.pid)), "it was started at another moment"
    child.communicate(b"\n")
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert identity(zombie.pid) is None
    zombie.wait()
