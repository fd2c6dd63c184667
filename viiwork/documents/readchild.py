"""The life of a child of the nursery: shut in, it reads a document, or a few one after the other, and ends."""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import to_json

from viiwork.documents.limits import MAX_REQUEST_BYTES, MIB, Limits
from viiwork.documents.outcomes import Unread
from viiwork.documents.parse import look_into

SHARED = 16
"""Documents of a group that one child reads at most."""
SHARED_BYTES = 256 * MIB
"""What a child may have held at its worst to be given another document: what it does not need lies about in pieces."""
MAX_DESCRIPTORS = 64
PR_SET_PDEATHSIG = 1
READ = b"read"
"""What a child says when it has written its answer and would take another document."""


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child is born with: its first request, where the answer goes, and how it asks for more."""

    request: dict[str, Any]
    output: int
    line: socket.socket
    """To the helper; of a child for one document nothing comes over it."""
    helper_pid: int


def live(birth: Birth) -> NoReturn:
    """Read, answer, end without running anybody's exit handlers."""
    code = 1
    try:
        limits = Limits(**birth.request["limits"])
        output, line = _let_go(birth)
        _die_with(birth.helper_pid)
        _shut_in(limits, documents=SHARED if birth.request["group"] else 1)
        _serve(birth.request, output, line, limits)
        code = 0
    except BaseException:  # noqa: BLE001 - a child must end here, whatever a parser throws, and say nothing of the text
        code = 1
    finally:
        os._exit(code)


def _serve(request: dict[str, Any], output: int, line: socket.socket, limits: Limits) -> None:
    """The first document, and of its group as many more as the helper sends while all goes well."""
    for number in range(SHARED):
        try:
            answer, good = _answer(request, limits), True
        except Unread as reason:
            answer, good = _fault(reason.code, reason.detail), False
        except MemoryError:
            if number:
                raise  # what it read before may have taken the room: the owner has this one read alone
            answer, good = _fault("too_big", ": it needs more memory than a document may take"), False
        except RecursionError:
            answer, good = _fault("damaged", ": its parts stand inside each other far too deep"), False
        _write(output, answer)
        if not (good and request["group"] and number + 1 < SHARED and _is_light()):
            return
        os.close(output)
        line.send(READ)
        data, descriptors, _, _ = socket.recv_fds(line, MAX_REQUEST_BYTES, 1)
        if not data:
            return
        request, output = json.loads(data), descriptors[0]
        _allow_time(limits)


def _let_go(birth: Birth) -> tuple[int, socket.socket]:
    """Drop the helper's descriptors and signals; the parsers' complaints, which may quote the text, go nowhere."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the owner has gone: nobody wants the answer
    kept = [fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (birth.output, birth.line.fileno())]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for place, end in enumerate((nowhere, nowhere, nowhere, *kept)):
        os.dup2(end, place)
    os.closerange(5, 4096)
    birth.line.detach()
    return 3, socket.socket(fileno=4)


def _die_with(helper_pid: int) -> None:
    """Be killed when the helper dies. The helper has one thread, so the signal cannot follow the wrong one."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != helper_pid:
        os._exit(1)


def _shut_in(limits: Limits, *, documents: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, 0),  # a reader writes no files; its pipe is not counted
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    most_s = (limits.cpu_s + 1) * documents
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, most_s))


def _allow_time(limits: Limits) -> None:
    """The processor time of one more document."""
    _, most_s = resource.getrlimit(resource.RLIMIT_CPU)
    used_s = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (min(most_s - 1, used_s + limits.cpu_s), most_s))


def _is_light() -> bool:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < SHARED_BYTES


def _answer(request: dict[str, Any], limits: Limits) -> bytes:
    way = tuple(request["way"])
    found = look_into(Path(request["path"]), name=request["name"], limits=limits, way=way)
    answer = to_json(found)
    if len(answer) > limits.output_bytes:
        raise Unread("too_big", f": its text is over {limits.output_bytes:,} bytes")
    return answer


def _fault(code: str, detail: str) -> bytes:
    return json.dumps({"document": None, "code": code, "detail": detail}).encode()


def _write(output: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(output, view) :]


# Opened here: a child may hardly open anything.
LIBC = ctypes.CDLL(None, use_errno=True)
