"""The worker's end of the line to its engine's guard: found, started, and seen to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping

from viiwork.processes import SUPERVISED_BY, collect, identity, is_alive, send, wait_gone
from viiwork_workers.engines.guard.door import LONGEST_LINE_BYTES
from viiwork_workers.engines.guard.files import GuardFiles, GuardLock
from viiwork_workers.engines.guard.record import end_containers, forget_record, sweep
from viiwork_workers.engines.guard.tree import Person
from viiwork_workers.engines.simulated.child import PASSED_ON

GUARD = (sys.executable, "-P", "-m", "viiwork_workers.engines.guard")
"""`-P`: a file in the working directory must not be imported in place of a module."""
POLL_S = 0.02
START_S = 150.0
"""A guard may have to wait for its forerunner, which ends an engine; it listens then within a second."""
HURRIED_GRACE_S = 5.0

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(files: GuardFiles) -> Ends | None:
    """To the guard that lives; None when none listens. Raises OSError."""
    line = socket.socket(socket.AF_UNIX)
    line.setblocking(False)
    try:
        room = os.open(files.room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # by the directory's handle: the path of a socket may have 108 bytes
            line.connect(f"/proc/self/fd/{room}/{files.socket.name}")
        finally:
            os.close(room)
        return await asyncio.open_unix_connection(sock=line, limit=LONGEST_LINE_BYTES)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):  # the last: so many wait there already
        line.close()
        return None
    except BaseException:
        line.close()
        raise


def start(files: GuardFiles, environ: Mapping[str, str]) -> int:
    """Start a guard, in a session of its own and with no secret of ours; its pid. Raises OSError."""
    files.prepare()
    passed = {name: environ[name] for name in (*PASSED_ON, SUPERVISED_BY) if name in environ}
    diary = os.open(files.diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # Not subprocess.Popen: it complains of processes that outlive it, and this one is meant to.
        return os.posix_spawn(
            GUARD[0],
            [*GUARD, str(files.state_dir), files.worker],
            passed,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, diary, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(diary)


async def find_or_start(files: GuardFiles, environ: Mapping[str, str]) -> Ends:
    """The line to this worker's guard. Raises OSError, TimeoutError when there is none and none can be started.

    Cancelled, it takes back the guard that it has started.
    """
    files.prepare()
    if (ends := await connect(files)) is not None:
        return ends
    pid = start(files, environ)
    guard = (pid, identity(pid) or "")
    try:
        async with asyncio.timeout(START_S):
            while (ends := await connect(files)) is None:
                _must_run(guard)
                await asyncio.sleep(POLL_S)
            return ends
    except BaseException:
        send(*guard, signal.SIGTERM)
        raise


def _must_run(guard: Person) -> None:
    if not runs(guard):
        raise ConnectionError("it ended at once")


def peer(writer: asyncio.StreamWriter) -> Person | None:
    """The guard at the other end; None when it is gone."""
    line = writer.get_extra_info("socket")
    pid, _, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    who = identity(pid)
    return (pid, who) if who is not None else None


def runs(guard: Person) -> bool:
    """Whether that very guard lives; one that was a child of ours and has ended leaves no zombie."""
    collect(guard[0])
    return is_alive(*guard)


async def see_end(files: GuardFiles, guard: Person | None, *, within_s: float) -> bool:
    """The end of a guard and of its engine; whether something was left that had to be ended from here."""
    grace_s = None
    if guard is not None:
        send(*guard, signal.SIGTERM)  # it may have been told already: that makes no difference to it
        if await asyncio.to_thread(wait_gone, [guard], timeout_s=within_s) and send(*guard, signal.SIGKILL):
            grace_s = HURRIED_GRACE_S
            await asyncio.to_thread(wait_gone, [guard], timeout_s=HURRIED_GRACE_S)
        collect(guard[0])
    lock = GuardLock(files.lock)
    if not lock.take():
        return False  # another life of this worker has a guard already, and an engine
    try:
        boxes = await asyncio.to_thread(end_containers, files)
        left = await sweep(files, grace_s=grace_s)
        forget_record(files)
        return bool(left or boxes)
    finally:
        lock.release()
