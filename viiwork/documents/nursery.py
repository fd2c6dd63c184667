"""The helper process that forks one bounded child for each document: `python -m viiwork.documents.nursery`.

It has one thread, holds no document and no secret, and has the parsers loaded, so that a fork costs milliseconds.
Its standard input is a sequenced-packet socket to its owner. The owner sends `{"id", "path", "name", "way", "limits"}`
with the write end of a pipe, or `{"cancel": id}`. The child writes its JSON to the pipe, and the helper reports
`{"id", "status", "late"}` once the child has ended. When the owner's end closes, for whatever reason, the helper
kills its children and ends; when the helper dies, the kernel kills them.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from viiwork.documents.limits import MAX_REQUEST_BYTES, Limits
from viiwork.documents.outcomes import Unread
from viiwork.documents.parse import look_into, parse

MAX_DESCRIPTORS = 64
SAMPLES = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj "
    b"4 0 obj<</Length 48>>stream\nBT /F 9 Tf 9 9 Td (the tenant pays the rent) Tj ET\nendstream endobj "
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj trailer<</Root 1 0 R>>",
    "Grüße aus Köln, façade, déjà vu".encode("latin-1"),
    b"<html><body><p>The tenant pays the rent.</p></body></html>",
)
"""Read once in the helper: ours, so they may be."""
PARENT_POLL_S = 1.0
"""The socket's end tells when the owner is gone, unless some fork of the owner still holds it; then this does."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: the request it works on and when it must have ended, on the monotonic clock."""

    id: int
    deadline_s: float


class Nursery:
    """Forks, watches and reaps the children of one owner."""

    def __init__(self, owner: socket.socket, *, parent_pid: int) -> None:
        self._owner = owner
        self._parent_pid = parent_pid
        self._children: dict[int, Child] = {}
        self._late: set[int] = set()
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Work until the owner is gone; no child outlives the call."""
        self._watch_children()
        self._selector.register(self._owner, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        try:
            while os.getppid() == self._parent_pid and self._turn():
                pass
        finally:
            self._end_all()

    def _watch_children(self) -> None:
        """Let the end of a child wake the selector."""
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)

    def _turn(self) -> bool:
        """One wait and what came of it; False when the owner is gone."""
        ready = {key.fileobj for key, _ in self._selector.select(self._patience_s())}
        if self._wake_in in ready:
            with suppress(BlockingIOError):
                self._wake_in.recv(4096)
        self._kill_late()
        try:
            self._reap()
            return self._owner not in ready or self._listen()
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _patience_s(self) -> float:
        due = min((child.deadline_s for pid, child in self._children.items() if pid not in self._late), default=None)
        return PARENT_POLL_S if due is None else min(PARENT_POLL_S, max(0.0, due - time.monotonic()))

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if child.deadline_s <= now and pid not in self._late:
                self._late.add(pid)
                os.kill(pid, signal.SIGKILL)  # safe from reuse: it is not reaped yet

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                child = self._children.pop(pid)
                report = {"id": child.id, "status": os.waitstatus_to_exitcode(status), "late": pid in self._late}
                self._late.discard(pid)
                self._owner.send(json.dumps(report).encode())

    def _listen(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._owner, MAX_REQUEST_BYTES, 4)
        if not data:
            return False
        request = json.loads(data)
        if "cancel" in request:
            self._cancel(request["cancel"])
        else:
            self._fork(request, descriptors[0])
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _cancel(self, request_id: int) -> None:
        for pid, child in self._children.items():
            if child.id == request_id:
                os.kill(pid, signal.SIGKILL)

    def _fork(self, request: dict[str, Any], output: int) -> None:
        limits = Limits(**request["limits"])
        helper_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            read_and_exit(request, limits, output, helper_pid=helper_pid)
        self._children[pid] = Child(id=request["id"], deadline_s=time.monotonic() + limits.wall_s)

    def _end_all(self) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def read_and_exit(request: dict[str, Any], limits: Limits, output: int, *, helper_pid: int) -> NoReturn:
    """The whole life of a child: shut in, read, answer, end without running anybody's exit handlers."""
    code = 1
    try:
        output = _let_go(output)
        _die_with(helper_pid)
        _shut_in(limits)
        _write(output, _answer(request, limits))
        code = 0
    except BaseException:  # noqa: BLE001 - a child must end here, whatever a parser throws, and say nothing of the text
        code = 1
    finally:
        os._exit(code)


def _let_go(output: int) -> int:
    """Drop the helper's descriptors and signals; the parsers' complaints, which may quote the text, go nowhere."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the owner has gone: nobody wants the answer
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.dup2(output, 3)
    os.closerange(4, 4096)
    return 3


def _die_with(helper_pid: int) -> None:
    """Be killed when the helper dies. The helper has one thread, so the signal cannot follow the wrong one."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != helper_pid:
        os._exit(1)


def _shut_in(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, 0),  # a reader writes no files; its pipe is not counted
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))


def _answer(request: dict[str, Any], limits: Limits) -> bytes:
    try:
        way = tuple(request["way"])
        found = look_into(Path(request["path"]), name=request["name"], limits=limits, way=way)
        answer = json.dumps(asdict(found), ensure_ascii=False).encode()
    except Unread as reason:
        return _fault(reason.code, reason.detail)
    except MemoryError:
        return _fault("too_big", ": it needs more memory than a document may take")
    except RecursionError:
        return _fault("damaged", ": its parts stand inside each other far too deep")
    if len(answer) > limits.output_bytes:
        return _fault("too_big", f": its text is over {limits.output_bytes:,} bytes")
    return answer


def _fault(code: str, detail: str) -> bytes:
    return json.dumps({"document": None, "code": code, "detail": detail}).encode()


def _write(output: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(output, view) :]


def warm_up() -> None:
    """Load before the first fork what each child would load again, a third of a small document's time."""
    for sample in SAMPLES:
        parse(sample, name="", limits=Limits())


def main() -> None:
    """Serve the owner at the other end of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's business
    warm_up()
    gc.collect()
    gc.set_threshold(50_000)  # documents are many small objects and few circles: looking for those took a tenth
    gc.freeze()  # keep the collector from touching, and so copying, the pages that the children share
    with socket.socket(fileno=os.dup(0)) as owner:
        Nursery(owner, parent_pid=os.getppid()).serve()


# Opened here: a child may hardly open anything.
LIBC = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    main()
