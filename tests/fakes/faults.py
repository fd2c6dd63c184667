"""What may go wrong with a fake server: at its start by `--fault`, in one request by a mark in its prompt.

A mark is `[[name]]` or `[[name 5]]`: after so many tokens. `[[name once]]` strikes in one life only, as told by a
file in `--scratch`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r"\[\[([a-z0-9-]+)(?: (once|\d+))?(?: (once|\d+))?\]\]")
LOADING = ("die", "out-of-memory", "port-taken", "no-model", "hang")
"""At the start: after half of `--load-s`, `hang` for ever."""
SERVING = ("die", "out-of-memory", "hang", "freeze", "garbage", "error", "cut", "500", "503", "bad-json", "misshapen")
"""In a request. hang: nothing is generated any more, though it answers its health; freeze: nothing answers at all;
error: inside a stream that began with 200; misshapen: the shape that was asked for is not held."""
LOGS = {
    "die": 'Traceback (most recent call last):\n  File "fake.py", line 1, in <module>\nRuntimeError: fake: it ends\n',
    "out-of-memory": (
        "(EngineCore pid=1) ERROR [core.py:861] EngineCore failed to start.\n"
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of "
        "15.98 GiB of which 12.00 MiB is free.\n"
    ),
    "port-taken": "OSError: [Errno 98] error while attempting to bind on address: address already in use\n",
    "no-model": (
        "OSError: Can't load the configuration of '/models/none'. If you were trying to load it from "
        "'https://huggingface.co/models', make sure you don't have a local directory with the same name.\n"
        "ValueError: Invalid repository ID or local directory specified: '/models/none'.\n"
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes in one request, and after how many tokens."""

    name: str = ""
    after_tokens: int = 3


HEALTHY = Fault()


def marked(prompt: str, *, scratch: Path | None) -> Fault:
    """The fault that the prompt asks for."""
    found = MARK.search(prompt)
    if found is None or found[1] not in SERVING:
        return HEALTHY
    words = [word for word in found.groups()[1:] if word]
    if "once" in words and not _first_time(found[1], scratch):
        return HEALTHY
    return Fault(found[1], next((int(word) for word in words if word.isdigit()), 3))


def _first_time(name: str, scratch: Path | None) -> bool:
    if scratch is None:
        raise ValueError("`once` needs --scratch")
    try:
        (scratch / f"struck-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def begin_life(scratch: Path | None) -> int:
    """Counts this start; 1 for the first."""
    if scratch is None:
        return 1
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lives").open("a+") as lives:
        lives.write("x")
        lives.flush()
        return lives.tell()
