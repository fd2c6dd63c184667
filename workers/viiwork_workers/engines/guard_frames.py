"""What a worker and the guard of its engine say to each other: one JSON object a line, over a Unix socket."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from viiwork.recipes import Launch
from viiwork.wire import Wire

Stage = Literal["starting", "loading", "checking", "ready", "restarting", "failed"]
"""starting: the process is being started; loading: it runs and is not ready; checking: the canary is under way;
restarting: it died and is started again after a pause; failed: given up until a person says `again`."""


class Hello(Wire):
    """The worker's first line: the engine it wants. A guard that holds another one ends it, and starts this."""

    kind: Literal["hello"] = "hello"
    launch: Launch


class Busy(Wire):
    """Said once a second: requests that the worker has in the engine, and the bytes it was ever answered."""

    kind: Literal["busy"] = "busy"
    running: int
    received_bytes: int


class Again(Wire):
    """A person has looked: try once more although it was given up."""

    kind: Literal["again"] = "again"


class End(Wire):
    """The engine is not needed any more: end it, and yourself."""

    kind: Literal["end"] = "end"


class Phase(Wire):
    """Where the engine stands; said at once to whoever connects, and at every change."""

    kind: Literal["phase"] = "phase"
    stage: Stage
    life: int = 0
    """Counts the starts of the process, and of the guard's own looks at a `url`; what was asked of an earlier life is
    lost."""
    url: str = ""
    """Where it answers, while it is `ready`: `http://127.0.0.1:40001`."""
    key: str = ""
    pid: int = 0
    deaths: int = 0
    """Quick ones in a row."""
    restarts: int = 0
    since_s: float = 0.0
    """How long it has been in this stage."""
    why: str = ""
    """What happened, in our own words, never in those of its log."""
    advice: str = ""


class Load(Wire):
    """How loaded it is, by its own metrics; said once a second while it is ready."""

    kind: Literal["load"] = "load"
    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0
    preemptions: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    progress: int = 0
    """Of the counter that its recipe names for this, if it names one."""


Order = Annotated[Hello | Busy | Again | End, Field(discriminator="kind")]
Report = Annotated[Phase | Load, Field(discriminator="kind")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
REPORTS: TypeAdapter[Report] = TypeAdapter(Report)


def line(frame: Wire) -> bytes:
    """One frame as it is sent."""
    return frame.model_dump_json().encode() + b"\n"
