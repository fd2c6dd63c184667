"""Keys pressed at a terminal, heard without Enter; the terminal is left as it was found, whatever ends the program."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from types import FrameType, TracebackType
from typing import Any

TERMINATED = 128 + signal.SIGTERM


class Keys:
    """`with Keys() as keys: keys.pressed(within_s=1)`. Where standard input is no terminal, no key is ever pressed.

    SIGTERM ends the program in order meanwhile. For the main thread only.
    """

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._kept: list[Any] = []
        self._on_term: Any = None

    def __enter__(self) -> Keys:
        self._on_term = signal.signal(signal.SIGTERM, _end)
        if self._fd is not None:
            self._kept = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._kept)
        signal.signal(signal.SIGTERM, self._on_term)

    def pressed(self, *, within_s: float) -> str:
        """What was typed; empty when nothing was for so long."""
        if self._fd is None:
            time.sleep(within_s)
            return ""
        ready, _, _ = select.select([self._fd], [], [], within_s)
        if not ready:
            return ""
        typed = os.read(self._fd, 64)
        if not typed:  # the terminal is gone
            self._fd = None
        return typed.decode("utf-8", "replace")


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
