"""The process in which one model's chat template runs: `python -m viiwork.documents.templating`.

A template is a program, and its sandbox bounds neither time nor memory: two loops of 12,000 that write nothing took
56 s, and `'a' * 1000000000` 3.8 GB before anything was rendered. Here the kernel bounds both.

It is told its time and then the templates, each in a line of JSON. From then on a request is a line with a number, and
as many chats, a line each; it answers as many lines. It ends when nobody asks any more.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any, BinaryIO

from viiwork.documents.template import ChatTemplate, Written
from viiwork.errors import SettingsError

MEMORY_BYTES = 1024**3
SLACK = 3
"""So many times as long may it take by the clock on the wall: its owner waits."""
MAX_DESCRIPTORS = 16
NO_TEMPLATE = 3
"""Exit status: what was told is no template. Any other says that it took too much."""


def serve(told: BinaryIO, answers: BinaryIO) -> int:
    """Work until `told` ends; answers the exit status."""
    bounds = json.loads(told.readline())
    _allow_cpu(bounds["cpu_s"])
    try:
        template = ChatTemplate(**json.loads(told.readline()))
    except SettingsError:
        return NO_TEMPLATE
    while header := told.readline():
        chats = [told.readline().decode() for _ in range(int(header))]
        _allow_cpu(bounds["cpu_s"])
        lines = [json.dumps(_said(one)) + "\n" for one in template.write(chats)]
        _allow_cpu(0)
        answers.write("".join(lines).encode())
        answers.flush()
    return 0


def _said(written: Written) -> dict[str, Any] | None:
    if written is None or isinstance(written, str):
        return None if written is None else {"text": written}
    return {"refusal": written.message}


def _allow_cpu(seconds: float) -> None:
    """The signal that says it is over ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, SLACK * seconds)


def shut_in() -> None:
    """Little memory, no files, no core; for good."""
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's business
    shut_in()
    sys.exit(serve(sys.stdin.buffer, sys.stdout.buffer))
