"""How much of a document fits one call of a model, and how that is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from viiwork.documents.marks import harmless
from viiwork.documents.prompts import load_prompts
from viiwork.documents.tasks import TITLE_TOKENS, passage_tokens
from viiwork.documents.tokens import WORDLLAMA, TokenCounter, cut, load_counter, tokenizer_file
from viiwork.roster import WorkerCard
from viiwork.work import AnalysisTask, TaskOptions

CAREFUL = 0.75
"""Of the room for a passage, when another tokenizer has to count: its one token may be more than one of the model's.

Of that room and not of the context: three quarters of a context of 2,048 left none beside the answer and the task.
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What one call of a task leaves for the document."""

    passage_tokens: int
    frame_tokens: int
    """Of the prompt around title and passage; 0 where nobody here can count it."""
    one_turn: bool
    """The model takes no system turn."""
    count: TokenCounter
    """Counts a passage as it will stand in the prompt."""
    marks: tuple[str, ...] = ()
    """The model's special tokens that a text is to be freed of besides the usual ones."""

    def marks_in(self, *texts: str) -> tuple[str, ...]:
        """Those of the marks that stand in one of these."""
        return tuple(mark for mark in self.marks if any(mark in text for text in texts))

    def title(self, text: str) -> str:
        """The title, as much of it as there is room for."""
        return cut(text, TITLE_TOKENS, self.count)


def room_for(card: WorkerCard, task: AnalysisTask, options: TaskOptions) -> Room:
    """The room that a model has for a task; costly the first time, for its tokenizer is loaded.

    Raises UsageError when hardly anything fits, SettingsError for a tokenizer that is not there.
    """
    prompts = load_prompts(card.tokenizer)
    frame = prompts.frame(task, options) if prompts else None
    passage = passage_tokens(card.context_tokens, options, frame_tokens=frame.tokens if frame else None)
    if card.stand_in:
        passage = int(passage * CAREFUL)
    count = prompts.passage if prompts else _harmless_counter(card.tokenizer)
    marks = prompts.marks if prompts else ()
    return Room(passage, frame.tokens if frame else 0, frame is not None and frame.one_turn, count, marks)


def _harmless_counter(tokenizer: str) -> TokenCounter:
    count = load_counter(tokenizer)
    return lambda text: count(harmless(text))


def check_room(card: WorkerCard, task: AnalysisTask, options: TaskOptions) -> None:
    """Raises UsageError when hardly anything fits; by a rough count where the tokenizer is not on this machine."""
    prompts = load_prompts(card.tokenizer)
    frame = prompts.frame(task, options) if prompts else None
    passage_tokens(card.context_tokens, options, frame_tokens=frame.tokens if frame else None)


def at_hand(card: WorkerCard) -> WorkerCard:
    """The card; where its tokenizer is not on this machine, one that another stands in for."""
    if card.tokenizer and tokenizer_file(card.tokenizer).is_file():
        return card
    return card.model_copy(update={"tokenizer": WORDLLAMA, "stand_in": True})


def narrowest(cards: Iterable[WorkerCard], model: str) -> WorkerCard | None:
    """Of the workers of a model the one with the shortest context: whichever gets a prompt, it must fit."""
    told = [card for card in cards if card.model == model and card.context_tokens]
    return min(told, key=lambda card: card.context_tokens, default=None)
