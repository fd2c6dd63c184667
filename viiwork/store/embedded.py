"""The embedded server: a private Redis-compatible server under the state directory, started by `viiwork up`.

The server inherits a lock (`redis/server.lock`) and holds it for as long as it lives, however its supervisor ended.
So a second server can never open the same append-only file, and a new `up` adopts the one that still runs.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from viiwork.errors import StartupError, StoreUnavailable
from viiwork.processes import end, identity, is_alive, wait_gone
from viiwork.settings import Settings
from viiwork.statedir import Run, ServerRecord, StateDir, rotate, tail, write_private
from viiwork.store.binaries import Binary, find_binary
from viiwork.store.endpoint import normalise
from viiwork.store.server_config import Address, max_memory_bytes, server_config

READY_S = 20.0
LOADING_S = 900.0
"""Reading a large append-only file takes its time; it is not a failure while the server says that it is loading."""
STOP_GRACE_S = 30.0
SOCKET_PATH_BYTES = 107
"""What `sockaddr_un` holds on Linux, less its closing zero."""
SECRET_FILE = "redis.secret"  # noqa: S105 - a file's name


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The fleet's own server, started or adopted. It outlives the process that started it."""

    record: ServerRecord
    state: StateDir
    adopted: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """For redis-py, with the password: never print it."""
        return url_of(self.record)

    def is_alive(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            return False
        return is_alive(self.record.pid, self.record.identity)

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM makes it write out its append-only file; SIGKILL comes only after the grace."""
        end([(self.record.pid, self.record.identity)], grace_s=grace_s)
        if self.process is not None:
            self.process.wait(timeout=5)
        forget(self.state)


def start(settings: Settings) -> RunningServer:
    """Adopt the fleet's live server, or start one. The caller holds the fleet's lock.

    Raises StartupError with the server's last words when it does not come up.
    """
    state = StateDir(settings.state_dir)
    state.prepare()
    data = _data_dir(state)
    with _data_lock(data) as lock:
        if lock is not None:
            return _launch(settings, state, lock)
    adopted = _adopt(settings, state)
    if adopted is not None:
        return adopted
    _end_holders(data)
    with _data_lock(data) as lock:
        if lock is None:
            raise StartupError(
                f"another server holds {data} and does not answer.", hint="End it, or give another --state-dir."
            )
        return _launch(settings, state, lock)


def locate(settings: Settings) -> str:
    """The redis-py URL of this fleet's Redis, embedded or not. Raises StoreUnavailable when no `up` runs one."""
    if settings.redis.url != "embedded":
        return normalise(settings.redis.url)
    run = StateDir(settings.state_dir).read_run()
    if run is None or run.server is None:
        raise StoreUnavailable(f"The fleet '{settings.fleet.name}' is not running.", hint="Start it with `viiwork up`.")
    return url_of(run.server)


def running(state: StateDir) -> RunningServer | None:
    """The live server that `run.json` tells of, or None."""
    run = state.read_run()
    if run is None or run.server is None or not is_alive(run.server.pid, run.server.identity):
        return None
    return RunningServer(run.server, state, adopted=True)


def end_server(state: StateDir) -> bool:
    """Stop the server of a state directory that no supervisor holds; False when there was none."""
    found = running(state)
    if found is not None:
        found.stop()
        return True
    data = _data_dir(state)
    with _data_lock(data) as lock:
        if lock is not None:
            forget(state)
            return False
    _end_holders(data)
    forget(state)
    return True


def url_of(record: ServerRecord) -> str:
    """Raises StoreUnavailable when the password's file is gone."""
    try:
        password = Path(record.secret).read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreUnavailable("The embedded server's password file is missing.", hint="Run `viiwork up`.") from error
    if record.socket:
        return f"unix://:{password}@{quote(record.socket)}?db=0"
    return f"redis://:{password}@127.0.0.1:{record.port}/0"


def forget(state: StateDir) -> None:
    """Take the server out of run.json, and its stale socket out of the directory."""
    run = state.read_run()
    if run is not None and run.server is not None and run.server.socket:
        Path(run.server.socket).unlink(missing_ok=True)
    if run is None or run.supervisor is None:
        state.run_file.unlink(missing_ok=True)
    else:
        state.write_run(run.model_copy(update={"server": None}))


def _adopt(settings: Settings, state: StateDir) -> RunningServer | None:
    """The server of an `up` that was killed, if it answers to our password."""
    found = running(state)
    if found is None:
        return None
    deadline = time.monotonic() + LOADING_S
    with suppress(StoreUnavailable):
        while (answer := _ping(found.url)) == "loading" and time.monotonic() < deadline and found.is_alive():
            time.sleep(0.1)
        if answer == "ready" and found.is_alive():
            _resize(found.url, max_memory_bytes(settings))
            return found
    return None


def _launch(settings: Settings, state: StateDir, lock: int) -> RunningServer:
    data = _data_dir(state)
    writer = data / "server.txt"
    binary = find_binary(os.environ, written_by=writer.read_text("utf-8").strip() if writer.exists() else "")
    failure: StartupError | None = None
    for address in _addresses(state):
        try:
            server = _spawn(binary, settings, state, lock, address)
        except AddressError as error:
            failure = error
            continue
        write_private(writer, f"{binary}\n")
        return server
    raise failure or StartupError("the embedded server has no address to listen on.")


class AddressError(StartupError):
    """Raised when the server came up but could not listen where it was told; another place may do."""


def _spawn(binary: Binary, settings: Settings, state: StateDir, lock: int, address: Address) -> RunningServer:
    data, log = _data_dir(state), state.logs / "redis.log"
    rotate(log)
    config = data / "redis.conf"
    password = state.secret(SECRET_FILE)
    limit = max_memory_bytes(settings)
    write_private(config, server_config(address, data=data, password=password, limit_bytes=limit))
    with log.open("ab") as output:
        begin = output.tell()
        log.chmod(0o600)
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell; the binary was found by its well-known name
                [str(binary.path), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=data,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            raise StartupError(f"{binary.path} cannot be started: {os.strerror(error.errno or 0)}.") from error
    record = ServerRecord(
        kind=binary.kind,
        version=binary.version,
        pid=process.pid,
        identity=identity(process.pid) or "",
        socket=address.socket,
        port=address.port,
        secret=str(state.root / SECRET_FILE),
    )
    try:
        _await_ready(process, url_of(record), log=log, begin=begin, binary=binary)
    except BaseException:
        process.kill()
        process.wait()
        raise
    run = state.read_run() or Run(fleet=settings.fleet.name)
    state.write_run(run.model_copy(update={"server": record}))
    return RunningServer(record, state, process=process)


def _await_ready(process: subprocess.Popen[bytes], url: str, *, log: Path, begin: int, binary: Binary) -> None:
    start_s = time.monotonic()
    patience_s = READY_S
    while time.monotonic() - start_s < patience_s:
        if process.poll() is not None:
            raise _startup_failure(binary, log, begin)
        answer = _ping(url)
        if answer == "ready":
            return
        if answer == "loading":
            patience_s = LOADING_S
        time.sleep(0.02)
    raise StartupError(f"{binary} does not answer. Its last words: {tail(log, lines=3)}.", hint=f"See {log}.")


def _startup_failure(binary: Binary, log: Path, begin: int) -> StartupError:
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read(65_536).decode("utf-8", "replace")
    kind = AddressError if "bind:" in said or "listening" in said or "Unix socket" in said else StartupError
    return kind(f"{binary} ended at once. Its last words: {tail(log, lines=3) or 'none'}.", hint=f"See {log}.")


def _ping(url: str) -> str:
    """`ready`, `loading` or `silent`."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        client.ping()
    except BusyLoadingError:
        return "loading"
    except (RedisError, OSError):
        return "silent"
    finally:
        client.close()
    return "ready"


def _resize(url: str, limit_bytes: int) -> None:
    """An adopted server gets the memory limit that the settings give now."""
    client = redis.Redis.from_url(url, socket_timeout=2)
    with suppress(RedisError):
        client.config_set("maxmemory", limit_bytes)
    client.close()


def _addresses(state: StateDir) -> Iterator[Address]:
    """A socket in the state directory; where its path is too long or cannot be bound, a free loopback port.

    A port needs no second directory that others could prepare or a cleaner could empty; the password guards it.
    """
    path = state.root / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        yield Address(socket=str(path))
    run = state.read_run()
    if run is not None and run.server is not None and run.server.port:
        yield Address(port=run.server.port)  # after a crash the clients find it where it was
    for _ in range(3):
        yield Address(port=_free_port())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _data_lock(data: Path) -> Iterator[int | None]:
    """The lock on the server's data, to be handed down to the server; None while a live server has it."""
    handle = os.open(data / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield handle
    finally:
        os.close(handle)


def _end_holders(data: Path) -> None:
    """End servers that hold the data and cannot be adopted: they are known by their working directory."""
    holders = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            who = identity(process.pid)
            if who and process.pid != os.getpid() and Path(process.cwd()) == data and "server" in process.name():
                holders.append((process.pid, who))
    end(holders, grace_s=STOP_GRACE_S)
    wait_gone(holders, timeout_s=5)


def _data_dir(state: StateDir) -> Path:
    data = state.root / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    return data
