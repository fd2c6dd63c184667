"""A fleet's state directory: private, locked by the `up` that runs, and described by `run.json`.

up.lock       held (flock) by the supervisor for as long as it lives; its pid stands in it
run.json      where the server, the API and the children are, for a second terminal
redis.secret  flower.secret  redis.sock  redis/  blobs/  logs/
engines/      sockets, locks and records of the guards that keep engines, and the engines' own scratch folders
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ConfigDict, ValidationError

from viiwork.errors import StartupError


class Record(BaseModel):
    """A part of run.json: frozen; fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ServerRecord(Record):
    """The embedded server as `run.json` tells of it. Either `socket` or `port` is set."""

    kind: str
    version: str
    pid: int
    identity: str
    socket: str | None = None
    port: int | None = None
    secret: str
    """The file that holds the password."""


class ChildRecord(Record):
    """A process that the supervisor keeps."""

    name: str
    role: str
    pid: int
    state: str
    restarts: int = 0
    address: str = ""
    log: str = ""


class SupervisorRecord(Record):
    """The supervisor and what it runs."""

    pid: int
    identity: str
    api_url: str = ""
    flower_url: str = ""
    children: tuple[ChildRecord, ...] = ()
    drained: dict[str, str] = {}
    """Cards that a person has left out, `gpu2`, each with the reason."""
    devices: str = ""
    """The cards that it was told of, `simulated:8xRadeonVII`; empty where nobody named any."""
    engine: str = ""
    """What its engine workers hold, `vllm-gfx906`; empty in what an older supervisor wrote."""


class Run(Record):
    """All of `run.json`."""

    fleet: str
    api_url: str = ""
    """Once more, where programs look for it first."""
    server: ServerRecord | None = None
    supervisor: SupervisorRecord | None = None


class StateDir:
    """The directory's paths and files; made private (0700) when it is opened."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links and change the name people gave
        self.run_file = self.root / "run.json"
        self.logs = self.root / "logs"

    def prepare(self) -> None:
        """Create it. Raises StartupError when that cannot be, or when another user owns it."""
        try:
            self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.getuid():
                raise StartupError(
                    f"the state directory {self.root} belongs to another user.", hint="Give --state-dir."
                )
            self.root.chmod(0o700)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it is not writable"
            raise StartupError(f"the state directory {self.root}: {reason}.", hint="Give --state-dir.") from error

    def read_run(self) -> Run | None:
        """What run.json says; None when it is missing or damaged, which a new `up` simply replaces."""
        try:
            return Run.model_validate_json(self.run_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write_run(self, run: Run) -> None:
        """Replace run.json in one step."""
        write_private(self.run_file, run.model_dump_json(indent=1, exclude_none=True) + "\n")

    def secret(self, name: str) -> str:
        """The password in the file `name`, made when it is missing or too short."""
        path = self.root / name
        with suppress(OSError, UnicodeDecodeError):
            held = path.read_text(encoding="ascii").strip()
            if len(held) >= 32:
                path.chmod(0o600)
                return held
        made = secrets.token_hex(32)
        write_private(path, made + "\n")
        return made


class FleetLock:
    """Held by the one supervisor of a state directory: `with FleetLock(state, fleet=name):`.

    The operating system lets go of it when the supervisor dies, however it dies.
    """

    def __init__(self, state: StateDir, *, fleet: str) -> None:
        self._path = state.root / "up.lock"
        self._fleet = fleet
        self._handle: int | None = None

    def __enter__(self) -> FleetLock:
        if not self.take():
            raise StartupError(
                f"the fleet '{self._fleet}' is already running (pid {self.holder() or 'unknown'}).",
                hint="Stop it with `viiwork down`, or start another one with --fleet NAME.",
            )
        return self

    def take(self) -> bool:
        """Whether it is ours now; False when another process has it."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return True

    def holder(self) -> int:
        """The process that has it; 0 when it does not say."""
        with suppress(OSError, ValueError):
            return int(self._path.read_text(encoding="ascii"))
        return 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, complete or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def tail(path: Path, *, lines: int = 5) -> str:
    """The last lines of a log in one line of at most 400 characters; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(said[-lines:])[-400:]


def rotate(path: Path, *, limit_bytes: int = 10 * 1024 * 1024) -> None:
    """Move a log that has grown over the limit aside, to `NAME.1`; one older copy is kept."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > limit_bytes:
            path.replace(path.with_name(path.name + ".1"))
