"""What a worker and the guard of its engine say to each other: one JSON object a line, over a Unix socket."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from viiwork.recipes import Launch
from viiwork.wire import Wire

Stage = Literal["starting", "loading", "checking", "ready", "restarting", "failed"]
"""starting: the process is being started; loading: it runs and is not ready; checking: the canary is under way;
restarting: it died and is started again after a pause; failed: given up until a person says `again`."""


FaultOf = Literal["", "engine"]
"""engine: no job made it fall, so those that it had are given back uncharged; empty: one of them may have."""


class Hello(Wire):
    """The worker's first line: the engine it wants. A guard that holds another one ends it, and starts this."""

    kind: Literal["hello"] = "hello"
    launch: Launch
    who: str = ""
    """Drawn by each life of a worker: two that run at once under one name are told apart by it."""


class Busy(Wire):
    """Said once a second: requests that the worker has in the engine, and the bytes it was ever answered."""

    kind: Literal["busy"] = "busy"
    running: int
    received_bytes: int


class Doubt(Wire):
    """Several requests in a row have failed: look at the engine now."""

    kind: Literal["doubt"] = "doubt"


class Again(Wire):
    """A person has looked: try once more although it was given up."""

    kind: Literal["again"] = "again"


class End(Wire):
    """The engine is not needed any more: end it, and yourself."""

    kind: Literal["end"] = "end"


class Phase(Wire):
    """Where the engine stands; said at once to whoever connects, at every change, and every few seconds: a guard that
    says nothing for long is not one any more."""

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
    version: str = ""
    """The engine's, as it says; empty before it was ready, and of one that does not say."""
    since_s: float = 0.0
    """How long it has been in this stage."""
    why: str = ""
    """What happened, in our own words, never in those of its log."""
    advice: str = ""
    fault_of: FaultOf = ""
    """Whose fault the end of the life before was."""
    awaits_turn: bool = False
    """Whether it is started again as soon as the host's power room lets it load."""
    away: bool = False
    """Whether it is a server that somebody else runs, which does not answer."""
    unserved: bool = False
    """Whether it is such a server that answers, and lists other models than the one that is wanted."""
    model: str = ""
    """What such a server calls the model, while it is `ready`; empty where it tells nothing: then as it was named."""


class Load(Wire):
    """How loaded it is, by its own metrics; said once a second while it is ready and that changes."""

    kind: Literal["load"] = "load"
    running: int = 0
    waiting: int = 0
    kv_use: float | None = None
    """None where it does not say."""
    preemptions: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    progress: int = 0
    """Of the counter that its recipe names for this, if it names one."""
    uncounted: bool = False
    """Its recipe names counters of tokens, and its page has none of them now: only what it streams tells whether it
    works."""


class Taken(Wire):
    """Said to a second worker of the same name, which is then shown out: the first one runs."""

    kind: Literal["taken"] = "taken"
    pid: int = 0
    """Of the first."""


Order = Annotated[Hello | Busy | Doubt | Again | End, Field(discriminator="kind")]
Report = Annotated[Phase | Load | Taken, Field(discriminator="kind")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
REPORTS: TypeAdapter[Report] = TypeAdapter(Report)


def line(frame: Wire) -> bytes:
    """One frame as it is sent."""
    return frame.model_dump_json(exclude_none=True).encode() + b"\n"
