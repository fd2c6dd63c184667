"""Where a guard keeps what concerns one worker's engine: socket, lock, record and logs."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from viiwork import guardrecord

ENGINE_OF = guardrecord.ENGINE_OF


@dataclass(frozen=True, slots=True)
class GuardFiles:
    """`state_dir` is absolute."""

    state_dir: Path
    worker: str

    @classmethod
    def of(cls, state_dir: Path, worker: str) -> GuardFiles:
        """The same names from wherever they are asked for."""
        return cls(Path(os.path.abspath(state_dir)), worker)  # noqa: PTH100 - resolve() would follow links

    @property
    def room(self) -> Path:
        return self.state_dir / guardrecord.ROOM

    @property
    def socket(self) -> Path:
        return self.room / f"{self.worker}.sock"

    @property
    def lock(self) -> Path:
        return self.room / f"{self.worker}.lock"

    @property
    def record(self) -> Path:
        return guardrecord.record_file(self.state_dir, self.worker)

    @property
    def engine_log(self) -> Path:
        return self.state_dir / "logs" / f"engine-{self.worker}.log"

    @property
    def diary(self) -> Path:
        return self.state_dir / "logs" / f"guard-{self.worker}.log"

    @property
    def mark(self) -> str:
        """What ENGINE_OF is set to."""
        return f"{self.state_dir}:{self.worker}"

    def prepare(self) -> None:
        """Make the directories, for their owner alone. Raises OSError."""
        for directory in (self.room, self.diary.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)


class GuardLock:
    """Held by a worker's one guard for as long as it lives; the system lets go of it, however the guard dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Whether it is ours now; False when another guard has it. Raises OSError."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None
