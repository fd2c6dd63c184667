"""The seam to the operating system's processes: who is alive, who is who, and how to end one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

POLL_S = 0.02
SUPERVISED_BY = "VIIWORK_SUPERVISED_BY"
"""Carried by every process of a fleet (and what it starts): its state directory. Orphans are found by it."""


def identity(pid: int) -> str | None:
    """Something that no other process ever has, though its number may come again; None when nobody has it.

    On Linux it is the boot id and the start tick, which a change of the clock cannot touch.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _portable_identity(pid)
    fields = stat.rpartition(")")[2].split()  # the command's name may hold spaces and brackets
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _portable_identity(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except (psutil.Error, ValueError):
        return None


def is_alive(pid: int, expected_identity: str) -> bool:
    """Whether the very process that was recorded still runs."""
    return pid > 0 and identity(pid) == expected_identity


def send(pid: int, expected_identity: str, number: signal.Signals) -> bool:
    """Signal that very process; False when it is gone."""
    if not is_alive(pid, expected_identity):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def wait_gone(people: Iterable[tuple[int, str]], *, timeout_s: float) -> list[tuple[int, str]]:
    """Wait until these processes have ended; those that have not are returned."""
    left = list(people)
    deadline = time.monotonic() + timeout_s
    while left := [(pid, who) for pid, who in left if is_alive(pid, who)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    return left


def collect(pid: int) -> None:
    """Take note of the end of a child of ours, so that it is no zombie any more; others are left alone."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end(people: Iterable[tuple[int, str]], *, grace_s: float) -> int:
    """SIGTERM, a grace, SIGKILL. Returns how many were there."""
    present = [(pid, who) for pid, who in people if send(pid, who, signal.SIGTERM)]
    for pid, who in wait_gone(present, timeout_s=grace_s):
        send(pid, who, signal.SIGKILL)
    wait_gone(present, timeout_s=5.0)
    for pid, _ in present:
        collect(pid)
    return len(present)


def tagged(name: str, value: str) -> list[tuple[int, str]]:
    """Processes of this user that were started with the variable `name` set to `value`, grandchildren included."""
    return [person for person, environ in environments() if environ.get(name) == value]


def environments() -> Iterator[tuple[tuple[int, str], dict[str, str]]]:
    """Every other process of this user, and the variables that it was started with.

    One that gives itself a title may have written over them: vLLM's EngineCore does, by setproctitle.
    """
    me = os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != me:
                continue
            environ, who = process.environ(), identity(process.pid)
            if who is not None:
                yield (process.pid, who), environ


def descendants(pid: int) -> list[tuple[int, str]]:
    """All that this process started, and what those did, as far as their parents live."""
    found = []
    with suppress(psutil.Error):
        found = psutil.Process(pid).children(recursive=True)
    return [(child.pid, who) for child in found if (who := identity(child.pid)) is not None]


def commands() -> Iterator[tuple[int, list[str], dict[str, str]]]:
    """Everybody else's pid, command line and, of this user's processes, environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid():
                continue
            argv, environ = process.cmdline(), {}
            with suppress(psutil.AccessDenied):
                environ = process.environ()
            yield process.pid, argv, environ
