"""What a worker and the process of its engine say to each other: one JSON object a line, over a socket pair."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from viiwork.errors import EngineFault, JobRefused, ViiworkError
from viiwork.wire import Wire
from viiwork.work import Answer, EngineInput
from viiwork_workers.engines.simulated.card_model import MISTRAL_7B, CardModel

LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""Four times the largest body that the API takes."""
POISON = "<<viiwork:kill-engine>>"
"""A job that holds this kills its engine, where the settings allow that."""


class Begin(Wire):
    """The first line to the engine: what it is to be."""

    kind: Literal["begin"] = "begin"
    model: str
    slots: int
    time_scale: float
    poison: bool = False
    card: CardModel = MISTRAL_7B


class Run(Wire):
    """Answer one job."""

    kind: Literal["run"] = "run"
    id: int
    work: EngineInput


class Cancel(Wire):
    """Nobody wants the answer to this job any more."""

    kind: Literal["cancel"] = "cancel"
    id: int


class Loaded(Wire):
    """The engine is ready."""

    kind: Literal["loaded"] = "loaded"


class Trouble(Wire):
    """An error of ours, as it crosses the line."""

    refused: bool
    message: str
    hint: str = ""
    code: str
    param: str | None = None

    @classmethod
    def of(cls, error: ViiworkError) -> Trouble:
        """What the other side must know of an error."""
        return cls(
            refused=not error.retryable, message=error.message, hint=error.hint, code=error.code, param=error.param
        )

    def error(self) -> ViiworkError:
        """The error again."""
        kind = JobRefused if self.refused else EngineFault
        return kind(self.message, hint=self.hint, code=self.code, param=self.param)


class Ended(Wire):
    """What a job came to: an answer, or trouble."""

    kind: Literal["ended"] = "ended"
    id: int
    answer: Answer | None = None
    trouble: Trouble | None = None


class Load(Wire):
    """How loaded the engine is; said from time to time."""

    kind: Literal["load"] = "load"
    running: int
    waiting: int
    kv_use: float
    preemptions: int
    output_tokens: int = 0


Order = Annotated[Run | Cancel, Field(discriminator="kind")]
Report = Annotated[Loaded | Ended | Load, Field(discriminator="kind")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
REPORTS: TypeAdapter[Report] = TypeAdapter(Report)


def line(frame: Wire) -> bytes:
    """One frame as it is sent. Every newline inside is escaped, so a line is a frame."""
    return frame.model_dump_json().encode() + b"\n"
