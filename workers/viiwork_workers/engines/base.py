"""The seam to whatever answers a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from viiwork.abilities import Ability
from viiwork.jobs import Lane
from viiwork.work import Answer, EngineWork

OnText = Callable[[str], None]
"""Hears each new piece of an answer while it is written."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a job is to be answered, besides what it asks."""

    lane: Lane = Lane.BATCH
    on_text: OnText | None = None
    """Hears the answer as it is written, from engines that write one piece after the other; what it heard and the
    answer's text are the same."""


PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What a worker tells the fleet about the engine that it holds."""

    name: str
    """The engine's kind as people see it: `extractive preview`, `simulated Radeon VII`."""
    model: str
    """The served alias."""
    slots: int
    """Requests that may be in flight at once, K."""
    context_tokens: int
    """The longest prompt plus output, in tokens of `tokenizer`."""
    tokenizer: str
    """The tokenizer that counts for this model: `wordllama`, a path to a `tokenizer.json` or its directory, or empty
    where nobody has it: then another one stands in, and a quarter of the room for documents is left free.
    """
    notice: str = ""
    """What a reader of its answers must know, if it is not a language model."""
    end_s: float = 30.0
    """How long its end may take."""
    revision: str = ""
    """The model's, where there is one."""
    quantization: str = ""
    """How the model's weights are stored."""
    version: str = ""
    """The engine's; of one that says so itself, see `Signals.version`."""
    cannot: frozenset[Ability] = frozenset()
    """Kinds of work that it is known not to do: it refuses them, and who takes work in refuses them for it."""


@dataclass(frozen=True, slots=True)
class Signals:
    """How an engine stands when it is looked at."""

    ready: bool = True
    """False while it is being started again: it takes nothing then."""
    running: int = 0
    waiting: int = 0
    """Requests that it has taken in and has no room for yet."""
    kv_use: float | None = None
    """How full its cache of keys and values is, 0 to 1; None where it does not say."""
    preemptions: int = 0
    """Requests that it had to interrupt for want of room, since it was started."""
    state: str = ""
    """For people: `ready`, `restarting`, `restarting (3 deaths)`; empty when it lives and dies with its worker."""
    restarts: int = 0
    pid: int = 0
    """Of its process, when it has one of its own that runs."""
    failed: str = ""
    """Why it was given up, and what to do: the worker is quarantined then. Empty otherwise."""
    output_tokens: int = 0
    """Tokens that it has generated since it was started, where it says so."""
    version: str = ""
    """Of the program that runs now, as it says."""


def signed(answer: Answer, facts: EngineFacts, said: Signals | None) -> Answer:
    """The answer with the exact model that gave it, and in which version of the engine."""
    told = {"revision": facts.revision, "quantization": facts.quantization}
    told |= {"engine_version": (said.version if said else "") or facts.version}
    return answer.model_copy(update={name: value or None for name, value in told.items()})


def own_version() -> str:
    """VIIWork's, for engines that come with it; empty where it runs from a tree that is not installed."""
    try:
        return version("viiwork")
    except PackageNotFoundError:
        return ""


class Engine(Protocol):
    """Loads once, then runs up to `facts.slots` jobs at the same time on one event loop."""

    @property
    def facts(self) -> EngineFacts: ...

    async def load(self) -> None:
        """Make ready to run. Raises EngineFault when that fails."""

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Answer one job. Cancelling the task ends the work and frees its slot.

        Raises JobRefused when the job itself is at fault, EngineFault when the engine is, EngineDied when its process
        ended with the job in it, and Unavailable when it never got the job.
        """

    def signals(self) -> Signals | None:
        """How it stands; None when it cannot tell, and takes whatever its slots hold."""

    async def until_ready(self) -> None:
        """Wait while it is being started again; returns at once when it runs."""

    def again(self) -> None:
        """A person has lifted the quarantine: try to start once more."""

    async def close(self) -> None:
        """Let go of what `load` took."""


def heard(answer: Answer, manner: Manner) -> Answer:
    """The answer, once whoever listens has heard it: for engines that write all at once."""
    if manner.on_text is not None:
        manner.on_text(answer.text)
    return answer
