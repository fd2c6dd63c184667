"""What a process of the API is handed: the listening socket, and a pipe by which it says that it answers there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from viiwork.variables import LISTENER, READY


class ReadyPipe:
    """`with ReadyPipe(listener, tell=…) as handed:` start the process with `handed.env` and `handed.numbers`.

    Without a listener nothing is handed down.
    """

    def __init__(self, listener: int | None, *, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._listener = listener
        self._reads = self._writes = -1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The files that the process inherits."""
        return () if self._listener is None else (self._listener, self._writes)

    @property
    def env(self) -> dict[str, str]:
        """How it learns of them."""
        return {} if self._listener is None else {LISTENER: str(self._listener), READY: str(self._writes)}

    def __enter__(self) -> ReadyPipe:
        if self._listener is not None:
            self._reads, self._writes = os.pipe()
            asyncio.get_running_loop().add_reader(self._reads, self._hear)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._listener is not None:
            os.close(self._writes)  # the process has its own; when that is closed, the end is heard

    def _hear(self) -> None:
        said = os.read(self._reads, 1)
        asyncio.get_running_loop().remove_reader(self._reads)
        os.close(self._reads)
        if said:
            self._tell()
