"""The owner's side of a chat template's process (`templating`): it must never take its owner down.

It is started when the template is first needed, and waits for the next prompts: 0.3 s once, 0.1 ms a prompt.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from viiwork.documents.helper import PASSED_ON
from viiwork.documents.template import TemplateRefusal, Written
from viiwork.documents.templating import NO_TEMPLATE

log = logging.getLogger("viiwork.documents")

COMMAND = (sys.executable, "-P", "-m", "viiwork.documents.templating")
RENDER_CPU_S = 5.0
"""Of the processor, for one request (some hundred prompts at most); the template has as much to be compiled."""
LAST_WORDS_S = 2.0
"""From the end of its output to its own end."""
MAX_DEATHS = 3
"""In a row; then it is not asked again: what is wrong with it is not in one prompt."""


class Scribe:
    """What `ChatTemplate.write` does, done elsewhere; safe to use from several threads, which then wait in line."""

    def __init__(
        self,
        sources: Mapping[str, str],
        special_tokens: Mapping[str, Any],
        *,
        model: str,
        cpu_s: float = RENDER_CPU_S,
    ) -> None:
        template = {"sources": dict(sources), "special_tokens": dict(special_tokens)}
        self._told = f"{json.dumps({'cpu_s': cpu_s})}\n{json.dumps(template)}\n".encode()
        self._model = model
        self._lock = threading.Lock()
        self._deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None

    def write(self, chats: Sequence[str]) -> list[Written]:
        """Each chat as a prompt; None for all where the process was lost over them."""
        with self._lock:
            if self._deaths >= MAX_DEATHS or not chats:
                return [None] * len(chats)
            try:
                said = self._ask(chats)
            except (OSError, EOFError, ValueError):
                self._lost()
                return [None] * len(chats)
            self._deaths = 0
            return said

    def _ask(self, chats: Sequence[str]) -> list[Written]:
        told, answers = self._pipes()
        told.write("\n".join([str(len(chats)), *chats, ""]).encode())
        told.flush()
        return [_read(answers.readline()) for _ in chats]

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        new = self._process is None
        process = self._process = self._process or _started()
        if process.stdin is None or process.stdout is None:  # cannot be: both are pipes
            raise EOFError
        if new:
            self._end = weakref.finalize(self, _ended, process)
            process.stdin.write(self._told)
        return process.stdin, process.stdout

    def _lost(self) -> None:
        """Count it, and say so when it is not asked again."""
        process, self._process = self._process, None
        hopeless = process is not None and _status(process) == NO_TEMPLATE
        self._end()
        self._deaths = MAX_DEATHS if hopeless else self._deaths + 1
        if self._deaths == MAX_DEATHS:
            why = "cannot be used" if hopeless else "takes too much time or memory"
            log.warning("the chat template of %s %s: prompts go to it uncounted", self._model, why)


def _read(line: bytes) -> Written:
    """One answer. Raises EOFError where the process ended before it."""
    if not line.endswith(b"\n"):
        raise EOFError
    said = json.loads(line)
    if said is None or "text" in said:
        return said and str(said["text"])
    return TemplateRefusal(str(said["refusal"]), param="messages")


def _started() -> subprocess.Popen[bytes]:
    """A session of its own, as the reading helper has; the time zone is for templates that ask for the date."""
    passed = {name: os.environ[name] for name in (*PASSED_ON, "TZ") if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell, nothing from outside
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # it would quote what it was given
        env=passed,
        start_new_session=True,
    )


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """How it ended; None where it has not."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(LAST_WORDS_S)
    return None


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not read any more
            if pipe is not None:
                pipe.close()
    process.wait()
