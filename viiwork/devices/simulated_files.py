"""A simulated card's state in files, so that all processes of this host see and change the same card.

gpu2.json        what it did since some moment; replaced whole, under gpu2.lock
gpu2.gone        while it is there, the card is off the bus: `touch` it, `rm` it
gpu2.resetting   while it is there, its driver starts again
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from viiwork.devices.base import State
from viiwork.errors import UsageError

TROUBLES: tuple[State, ...] = ("gone", "resetting")


class CardRecord(BaseModel):
    """One card since `at_s` of the host's monotonic clock."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at_s: float
    load: float = Field(default=0.0, ge=0.0, le=1.0)
    vram_used_bytes: int = Field(default=0, ge=0)
    cap_w: float | None = Field(default=None, gt=0.0)
    fan: bool = True
    celsius: dict[str, float] = {}


class CardFiles:
    """The files of one card. Reading makes none."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def state(self) -> State:
        """What is wrong with it, by the marks beside its file."""
        return next((trouble for trouble in TROUBLES if self._path(trouble).exists()), "ok")

    def mark(self, state: State) -> None:
        """Set what is wrong with it; `ok` mends it. Raises UsageError if the folder cannot be written."""
        for trouble in TROUBLES:
            if trouble != state:
                self._path(trouble).unlink(missing_ok=True)
        if state != "ok":
            self._prepare()
            self._path(state).touch(mode=0o600)

    def record(self) -> CardRecord | None:
        """What was last written; None for a card that nobody has used, or whose file is not ours."""
        try:
            return CardRecord.model_validate_json(self._path("json").read_bytes())
        except (OSError, ValidationError):
            return None

    def change(self, change: Callable[[CardRecord | None], CardRecord]) -> None:
        """Replace the record by what follows from it; nobody else changes it meanwhile. Raises UsageError."""
        self._prepare()
        with self._locked():
            self._write(change(self.record()).model_dump_json())

    def _write(self, text: str) -> None:
        handle, fresh = tempfile.mkstemp(dir=self._folder, prefix=f".{self._name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(fresh).replace(self._path("json"))
        finally:
            with suppress(FileNotFoundError):
                Path(fresh).unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path("lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            hint = f"Choose another state directory. ({error.strerror})"
            raise UsageError(f"{self._folder}: simulated cards cannot be kept there.", hint=hint) from error

    def _path(self, end: str) -> Path:
        return self._folder / f"{self._name}.{end}"
