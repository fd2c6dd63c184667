"""The `viiwork` command as a process on a terminal of its own, where Ctrl-C is heard."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import subprocess
import sys
import termios
import time
from typing import Any

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
INTERRUPT = "\x03"
WITHIN_S = 60.0


def environment(url: str) -> dict[str, str]:
    """What a command gets: the service's address, and a screen of 120 by 50."""
    return {**os.environ, "VIIWORK_URL": url, "COLUMNS": "120", "LINES": "50", "TERM": "xterm"}


class Terminal:
    """`with Terminal(["ask", "Why?"], url=url) as terminal:`"""

    def __init__(self, arguments: list[str], *, url: str) -> None:
        self._near, self._far = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "viiwork.cli.main", *arguments],
            stdin=self._far,
            stdout=self._far,
            stderr=self._far,
            env=environment(url),
            start_new_session=True,
            preexec_fn=_take_terminal,  # Ctrl-C reaches only those whose terminal it is
        )
        self.raw = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._near)
        os.close(self._far)

    @property
    def screen(self) -> str:
        """What was written, line ends as the program meant them, without colours and movements."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def attributes(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._far)

    def type(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` has appeared."""
        until_s = time.monotonic() + WITHIN_S
        while text not in self.screen:
            assert time.monotonic() < until_s, self.screen
            assert self.process.poll() is None or self._more(), self.screen
            self._more()

    def end(self) -> int:
        """Wait for the end; answers the exit code."""
        until_s = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < until_s, self.screen
            self._more()
        while self._more():
            pass
        return self.process.wait()

    def _more(self) -> bool:
        """Take what is there, waiting for it a moment."""
        os.set_blocking(self._near, False)
        try:
            some = os.read(self._near, 65536)
        except BlockingIOError:
            time.sleep(0.01)
            return False
        self.raw += some.decode("utf-8", "replace")
        return bool(some)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
