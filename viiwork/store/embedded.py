"""The embedded server: a private Redis-compatible server under the state directory, started by `viiwork up`.

The server inherits a lock (`redis/server.lock`) and holds it for as long as it lives, however its supervisor ended.
So a second server can never open the same append-only file, and a new `up` adopts the one that still runs.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from redis.exceptions import RedisError

from viiwork.errors import StartupError, StoreUnavailable
from viiwork.processes import collect, end, identity, is_alive
from viiwork.settings import Settings
from viiwork.statedir import Run, ServerRecord, StateDir
from viiwork.store.endpoint import normalise
from viiwork.store.server_config import max_memory_bytes
from viiwork.store.server_launch import LOADING_S, READY_S, SERVER_DIR, launch, ping, sync_client, url_of

STOP_GRACE_S = 30.0
LOCK_S = 30.0
"""A killed server is a zombie to see while its last threads still hold the lock: for as long as a slow disk syncs."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The fleet's own server, started or adopted. It outlives the process that started it."""

    record: ServerRecord
    state: StateDir
    adopted: bool = False

    @property
    def url(self) -> str:
        """For redis-py, with the password: never print it."""
        return url_of(self.record)

    def is_alive(self) -> bool:
        alive = is_alive(self.record.pid, self.record.identity)
        if not alive and not self.adopted:
            collect(self.record.pid)
        return alive

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM makes it write out its append-only file; SIGKILL comes only after the grace."""
        end([(self.record.pid, self.record.identity)], grace_s=grace_s)
        self.is_alive()
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
    with _data_lock(data, patience_s=LOCK_S) as lock:
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
    data = state.root / SERVER_DIR
    if not data.is_dir():
        return False
    with _data_lock(data) as lock:
        if lock is not None:
            forget(state)
            return False
    _end_holders(data)
    forget(state)
    return True


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
    patience_s, began_s = {"loading": LOADING_S, "slow": READY_S}, time.monotonic()
    with suppress(StoreUnavailable):
        while (answer := ping(found.url)) in patience_s and found.is_alive():
            if time.monotonic() - began_s > patience_s[answer]:
                break
            time.sleep(0.1)
        if answer == "ready" and found.is_alive():
            _resize(found.url, max_memory_bytes(settings))
            return found
    return None


def _launch(settings: Settings, state: StateDir, lock: int) -> RunningServer:
    record = launch(state, limit_bytes=max_memory_bytes(settings), lock=lock)
    run = state.read_run() or Run(fleet=settings.fleet.name)
    state.write_run(run.model_copy(update={"server": record}))
    return RunningServer(record, state)


def _resize(url: str, limit_bytes: int) -> None:
    """An adopted server gets the memory limit that the settings give now."""
    with closing(sync_client(url)) as client, suppress(RedisError):
        client.config_set("maxmemory", limit_bytes)


@contextmanager
def _data_lock(data: Path, *, patience_s: float = 0.0) -> Iterator[int | None]:
    """The lock on the server's data, to be handed down to the server; None while a live server has it."""
    handle = os.open(data / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_s
    try:
        while not (held := _lock(handle)) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield handle if held else None
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _end_holders(data: Path) -> None:
    """End servers that hold the data and cannot be adopted: they are known by their working directory."""
    holders, place = [], str(data.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            who = identity(process.pid)
            if who and process.pid != os.getpid() and process.cwd() == place and "server" in process.name():
                holders.append((process.pid, who))
    end(holders, grace_s=STOP_GRACE_S)


def _data_dir(state: StateDir) -> Path:
    data = state.root / SERVER_DIR
    data.mkdir(mode=0o700, exist_ok=True)
    return data
