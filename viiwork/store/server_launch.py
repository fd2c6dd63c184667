"""Starting the embedded server: its command, where it listens, and whether it came up."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from viiwork.errors import StartupError, StoreUnavailable
from viiwork.processes import collect, end, identity, is_alive
from viiwork.statedir import ServerRecord, StateDir, rotate, tail, write_private
from viiwork.store.aofgaps import clear_unfinished, close_gaps
from viiwork.store.binaries import Binary, find_binary
from viiwork.store.server_config import Address, server_config

READY_S = 20.0
LOADING_S = 900.0
"""Reading a large append-only file takes its time; it is not a failure while the server says that it is loading."""
SOCKET_PATH_BYTES = 107
"""What `sockaddr_un` holds on Linux, less its closing zero."""
SECRET_FILE = "redis.secret"  # noqa: S105 - a file's name
SERVER_DIR = "redis"

REFUSED_LOG = "Bad file format"
"""What a server says of an append-only file that it cannot read."""
BROKEN_LOG = (
    "Its append-only file is damaged by more than gaps of zeros. Keep a copy of it; bring a backup back "
    "(`viiwork restore`), or let the server's own `check-aof --fix` cut it where the damage begins: what came later is "
    "lost then. "
)


class DamagedLog(StartupError):
    """Raised when the server refused its append-only file."""


class AddressError(StartupError):
    """Raised when the server came up but could not listen where it was told; another place may do."""


def launch(state: StateDir, *, limit_bytes: int, lock: int) -> ServerRecord:
    """Start a server that inherits `lock`, and wait until it answers. Raises StartupError with its last words."""
    clear_unfinished(state.root / SERVER_DIR)
    writer = state.root / SERVER_DIR / "server.txt"
    written_by = writer.read_text("utf-8", errors="replace").strip() if writer.exists() else ""
    binary = find_binary(os.environ, written_by=written_by)
    failure = StartupError("the embedded server has no address to listen on.")
    for address in _addresses(state):
        start = partial(_start_at, address, binary, state, limit_bytes=limit_bytes, lock=lock)
        try:
            started = _mended(start, state)
        except AddressError as error:
            failure = error
            continue
        write_private(writer, f"{binary}\n")
        return started
    raise failure


def _mended(start: Callable[[], ServerRecord], state: StateDir) -> ServerRecord:
    """Start it; and once more when all that kept it from its append-only file were gaps of zeros."""
    try:
        return start()
    except DamagedLog:
        if not close_gaps(state.root / SERVER_DIR):
            raise
    return start()


def _start_at(address: Address, binary: Binary, state: StateDir, *, limit_bytes: int, lock: int) -> ServerRecord:
    data, log = state.root / SERVER_DIR, state.logs / "redis.log"
    password = state.secret(SECRET_FILE)
    write_private(data / "redis.conf", server_config(address, data=data, password=password, limit_bytes=limit_bytes))
    rotate(log)
    begin = log.stat().st_size if log.exists() else 0
    record = _record(binary, _spawn(binary, data, log, lock), address, state)
    try:
        _await_ready(record, log=log, begin=begin)
    except BaseException:
        end([(record.pid, record.identity)], grace_s=0)
        collect(record.pid)
        raise
    return record


def _spawn(binary: Binary, data: Path, log: Path, lock: int) -> int:
    """In a session of its own, with nothing of our environment: the tag of the fleet's processes least of all.

    `subprocess` warns of children that outlive it; this one is meant to.
    """
    program = str(binary.path)
    handed = 3 if lock != 3 else 4  # a copy under another number is not closed on exec
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_DUP2, lock, handed),
    ]
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    try:
        return os.posix_spawn(program, [program, str(data / "redis.conf")], env, file_actions=files, setsid=True)
    except OSError as error:
        raise StartupError(f"{program} cannot be started: {os.strerror(error.errno or 0)}.") from error


def _record(binary: Binary, pid: int, address: Address, state: StateDir) -> ServerRecord:
    return ServerRecord(
        kind=binary.kind,
        version=binary.version,
        pid=pid,
        identity=identity(pid) or "",
        socket=address.socket,
        port=address.port,
        secret=str(state.root / SECRET_FILE),
    )


def _await_ready(record: ServerRecord, *, log: Path, begin: int) -> None:
    start_s, patience_s, url = time.monotonic(), READY_S, url_of(record)
    while time.monotonic() - start_s < patience_s:
        if not is_alive(record.pid, record.identity):
            raise _startup_failure(record, log, begin)
        answer = ping(url)
        if answer == "ready":
            return
        if answer == "loading":
            patience_s = LOADING_S
        time.sleep(0.02)
    words = tail(log, lines=3)
    raise StartupError(f"{record.kind} {record.version} does not answer. Its last words: {words}.", hint=f"See {log}.")


def _startup_failure(record: ServerRecord, log: Path, begin: int) -> StartupError:
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read(65_536).decode("utf-8", "replace")
    kind = AddressError if "bind:" in said or "listening" in said or "Unix socket" in said else StartupError
    kind, hint = (DamagedLog, BROKEN_LOG) if REFUSED_LOG in said else (kind, "")
    words = tail(log, lines=3) or "none"
    last = f"{record.kind} {record.version} ended at once. Its last words: {words}."
    return kind(last, hint=f"{hint}See {log}.")


def ping(url: str) -> str:
    """`ready`, `loading`, `slow` (it took the question and did not answer in time) or `silent`."""
    with closing(sync_client(url)) as client:
        try:
            client.ping()
        except BusyLoadingError:
            return "loading"
        except RedisTimeout:
            return "slow"
        except (RedisError, OSError):
            return "silent"
    return "ready"


def sync_client(url: str) -> redis.Redis:
    """A plain client that answers or fails within 2 s, for the moments before there is a store."""
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))


def url_of(record: ServerRecord) -> str:
    """Raises StoreUnavailable when the password's file is gone."""
    try:
        password = Path(record.secret).read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreUnavailable("The embedded server's password file is missing.", hint="Run `viiwork up`.") from error
    if record.socket:
        return f"unix://:{password}@{quote(record.socket)}?db=0"
    return f"redis://:{password}@127.0.0.1:{record.port}/0"


def _addresses(state: StateDir) -> Iterator[Address]:
    """A socket in the state directory; where its path is too long or cannot be bound, a free loopback port.

    A port needs no second directory that others could prepare or a cleaner could empty; the password guards it.
    """
    path = state.root / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        yield Address(socket=str(path))
    run = state.read_run()
    if run is not None and run.server is not None and run.server.port and _free_port(run.server.port):
        yield Address(port=run.server.port)  # after a crash the clients find it where it was
    for _ in range(3):
        yield Address(port=_free_port())


def _free_port(wanted: int = 0) -> int:
    """`wanted` (any, if that is 0) or 0 when it is taken: whoever has it must not be offered our password."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
