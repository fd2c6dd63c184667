"""Starting an engine's process, and seeing its end and that of everything it leaves behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from viiwork.containers.client import Said
from viiwork.processes import identity
from viiwork.recipes.launch import KEY, PORT
from viiwork_workers.engines.guard.tree import Person

PORTS = range(20_000, 32_768)
"""Below those that the system gives to outgoing connections: minutes pass until a large model binds its port."""
TRIES = 200
SET_CHILD_SUBREAPER = 36
LONGEST_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where one life of an engine answers, and what its clients must show."""

    port: int
    key: str

    @classmethod
    def new(cls) -> Address:
        """A free loopback port and a random key, for one start. Raises OSError when no port is free."""
        return cls(free_port(), secrets.token_urlsafe(32))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, text: str) -> str:
        """A word of the command, or a variable's value."""
        return text.replace(PORT, str(self.port)).replace(KEY, self.key)


def free_port() -> int:
    """One that nothing listens on now. Raises OSError."""
    for port in (*random.sample(PORTS, TRIES), 0):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no port is free")


class Child:
    """A running engine's first process. `ended` holds its exit code once it has one, negative for a signal."""

    def __init__(self, process: subprocess.Popen[bytes], person: Person) -> None:
        self.pid = process.pid
        self.person = person
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process = process

    def look(self) -> None:
        """Take note of its end."""
        returncode = self._process.poll()
        if returncode is not None and not self.ended.done():
            self.ended.set_result(returncode)


def spawn(argv: Sequence[str], environ: Mapping[str, str], *, log: int) -> Child:
    """Start it in a session of its own, with nothing of our environment. Raises OSError."""
    process = subprocess.Popen(  # noqa: S603 - the recipe's command, no shell
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    return Child(process, (process.pid, identity(process.pid) or ""))


class Reaper:
    """Takes note of the end of every process that is ours or has become ours by losing its parent."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._asked: dict[int, tuple[subprocess.Popen[bytes], asyncio.Future[int]]] = {}

    def listen(self) -> None:
        """On the running loop, as the process that inherits its descendants' orphans."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def watch(self, child: Child) -> None:
        """Whose exit code is wanted; it may have ended already."""
        self._child = child
        self.reap()

    async def ask(self, argv: Sequence[str], environ: Mapping[str, str], *, limit_s: float) -> Said:
        """Run a program to its end, and what it said; one that cannot be run, or takes too long, has code -1.

        Here, since whoever else waited for it would find that its exit code has been taken.
        """
        try:
            with _memory() as out, _memory() as err:
                code = await self._run(argv, environ, (out.fileno(), err.fileno()), limit_s=limit_s)
                said, complained = (_text(file) for file in (out, err))
                return Said(code, said, complained)
        except (OSError, TimeoutError) as error:
            return Said(-1, err=type(error).__name__)

    async def _run(
        self, argv: Sequence[str], environ: Mapping[str, str], to: tuple[int, int], *, limit_s: float
    ) -> int:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - words of ours, no shell; nobody waits
            argv, env=environ, stdin=subprocess.DEVNULL, stdout=to[0], stderr=to[1], start_new_session=True
        )
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[process.pid] = process, code
        self.reap()
        try:
            return await asyncio.wait_for(asyncio.shield(code), limit_s)
        finally:
            if not code.done():
                process.kill()
                await asyncio.shield(code)

    def reap(self) -> None:
        """Look at who has ended first: exit codes of what was started here are taken by their `Popen` alone."""
        self._look()
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in self._asked or (self._child is not None and ended.si_pid == self._child.pid):
                    self._look()
                else:
                    os.waitpid(ended.si_pid, 0)

    def _look(self) -> None:
        if self._child is not None:
            self._child.look()
        for pid, (process, code) in list(self._asked.items()):
            if (returncode := process.poll()) is not None:
                del self._asked[pid]
                if not code.done():
                    code.set_result(returncode)


def _memory() -> BinaryIO:
    """A file in memory: a full disk must not keep an engine from being ended."""
    return os.fdopen(os.memfd_create("said"), "w+b")


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(LONGEST_ANSWER_BYTES).decode("utf-8", "replace")
