"""The helper process that forks bounded children to read documents: `python -m viiwork.documents.nursery`.

It has one thread, holds no document and no secret, and has the parsers loaded, so that a fork costs milliseconds.
Its standard input is a sequenced-packet socket to its owner. The owner sends `{"id", "path", "name", "way", "group",
"limits"}` with the write end of a pipe, or `{"cancel": id}`. A child writes its JSON to the pipe, and the helper
reports `{"id", "status", "late", "alone"}` once it has. A child may then get another document of the same group, which
saves a fork and thousands of page faults; one that ends badly in a child that had read others is for the owner to have
read `alone`, so that it is charged with nothing but its own. When the owner's end closes, for whatever reason, the
helper kills its children and ends; when the helper dies, the kernel kills them.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from viiwork.documents.limits import MAX_REQUEST_BYTES, Limits
from viiwork.documents.parse import parse
from viiwork.documents.readchild import READ, Birth, live

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
IDLE_S = 2.0
"""How long a child waits for another document of its group."""
MOST_IDLE = 4


@dataclass(slots=True)
class Child:
    """A running child: the request it works on, and when it must have ended, on the monotonic clock."""

    line: socket.socket
    group: str
    id: int
    deadline_s: float
    documents: int = 1
    """That it was given so far."""

    @property
    def is_idle(self) -> bool:
        return self.id == 0


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
        ready = [key for key, _ in self._selector.select(self._patience_s())]
        whose = {key.fileobj for key in ready}
        if self._wake_in in whose:
            with suppress(BlockingIOError):
                self._wake_in.recv(4096)
        try:
            for key in ready:
                if key.data is not None:
                    self._hear(key.data)
            self._end_late()
            self._reap()
            return self._owner not in whose or self._listen()
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _patience_s(self) -> float:
        due = min((child.deadline_s for pid, child in self._children.items() if pid not in self._late), default=None)
        return PARENT_POLL_S if due is None else min(PARENT_POLL_S, max(0.0, due - time.monotonic()))

    def _hear(self, pid: int) -> None:
        """A child has written its answer and waits for more, or has closed its end: then it is about to be reaped."""
        child = self._children[pid]
        if _said(child.line) != READ:
            self._selector.unregister(child.line)
            return
        self._report(child, status=0, late=False)
        child.id, child.deadline_s = 0, time.monotonic() + IDLE_S
        idle = [pid for pid, one in self._children.items() if one.is_idle and pid not in self._late]
        if len(idle) > MOST_IDLE:
            self._end(min(idle, key=lambda pid: self._children[pid].deadline_s))

    def _end_late(self) -> None:
        now = time.monotonic()
        for pid in [pid for pid, one in self._children.items() if one.deadline_s <= now and pid not in self._late]:
            self._end(pid)

    def _end(self, pid: int) -> None:
        self._late.add(pid)
        os.kill(pid, signal.SIGKILL)  # safe from reuse: it is not reaped yet

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                child = self._children.pop(pid)
                if child.line in self._selector.get_map():
                    self._selector.unregister(child.line)
                child.line.close()
                if not child.is_idle:
                    self._report(child, status=os.waitstatus_to_exitcode(status), late=pid in self._late)
                self._late.discard(pid)

    def _report(self, child: Child, *, status: int, late: bool) -> None:
        report = {"id": child.id, "status": status, "late": late, "alone": child.documents == 1}
        self._owner.send(json.dumps(report).encode())

    def _listen(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._owner, MAX_REQUEST_BYTES, 4)
        if not data:
            return False
        request = json.loads(data)
        if "cancel" in request:
            self._cancel(request["cancel"])
        elif not self._give(request, data, descriptors[0]):
            self._fork(request, descriptors[0])
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _cancel(self, request_id: int) -> None:
        for pid, child in self._children.items():
            if child.id == request_id:
                os.kill(pid, signal.SIGKILL)

    def _give(self, request: dict[str, Any], data: bytes, output: int) -> bool:
        """Hand the document to an idle child of its group; False when there is none."""
        for pid, child in self._children.items():
            if child.is_idle and child.group == request["group"] and pid not in self._late:
                try:
                    socket.send_fds(child.line, [data], [output])
                except OSError:  # it was killed a moment ago
                    continue
                child.id, child.documents = request["id"], child.documents + 1
                child.deadline_s = time.monotonic() + request["limits"]["wall_s"]
                return True
        return False

    def _fork(self, request: dict[str, Any], output: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        birth = Birth(request, output, theirs, os.getpid())
        pid = os.fork()
        if pid == 0:
            live(birth)
        theirs.close()
        deadline_s = time.monotonic() + request["limits"]["wall_s"]
        self._children[pid] = Child(ours, request["group"], request["id"], deadline_s)
        self._selector.register(ours, selectors.EVENT_READ, data=pid)

    def _end_all(self) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _said(line: socket.socket) -> bytes:
    try:
        return line.recv(len(READ))
    except OSError:
        return b""


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


if __name__ == "__main__":
    main()
