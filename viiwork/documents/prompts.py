"""How many tokens a prompt has, counted as the engine that will get it counts them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer

from viiwork.documents.marks import harmless, unusual
from viiwork.documents.tasks import bare_steps, messages_for
from viiwork.documents.template import TemplateRefusal, Written
from viiwork.documents.templatefiles import FILES, find_template
from viiwork.documents.tokens import WORDLLAMA, load_tokenizer, tokenizer_file
from viiwork.errors import SettingsError
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, Message, TaskOptions

Work = ChatInput | CompletionInput | EmbeddingInput


@dataclass(frozen=True, slots=True)
class Rendered:
    """The texts of one prompt as a tokenizer gets them; several for vectors."""

    texts: tuple[str, ...]
    with_specials: bool
    """Whether the tokenizer puts its own marks around it. A chat template has written them already."""


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of one prompt; of each text for vectors."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a prompt of a task has besides title and passage."""

    tokens: int
    one_turn: bool
    """The template refuses a system turn."""


class Writer(Protocol):
    """What makes prompts of chats: a `ChatTemplate`, or a process that has one."""

    def write(self, chats: Sequence[str]) -> list[Written]:
        """Each chat, given as JSON, as a prompt."""


class PromptCounter:
    """Counts exactly, by a model's own tokenizer and chat template."""

    def __init__(self, tokenizer: Tokenizer, template: Writer | None) -> None:
        self._tokenizer, self._template = tokenizer, template
        added = tokenizer.get_added_tokens_decoder().values()
        self.marks = unusual(token.content for token in added if token.special)
        """The model's own special tokens, besides those that all texts are freed of."""

    def render(self, works: Sequence[Work]) -> list[Rendered | TemplateRefusal | None]:
        """What each becomes before it is cut into tokens; None for a chat of a model whose template is unknown."""
        written = iter(self._written([work for work in works if isinstance(work, ChatInput)]))
        return [next(written) if isinstance(work, ChatInput) else _plain(work) for work in works]

    def count(self, prompts: Sequence[Rendered]) -> list[Count]:
        """The tokens of each, all at once: that is done outside Python, beside whatever else runs."""
        counts = {with_specials: iter(self._counts(prompts, with_specials)) for with_specials in (False, True)}
        return [Count(tuple(next(counts[one.with_specials]) for _ in one.texts)) for one in prompts]

    def passage(self, text: str) -> int:
        """The tokens of a document's text in a prompt of `messages_for`."""
        # `encode` on 4.5 million characters kept every other thread waiting for 11 s; a batch of one lets them run
        return len(self._tokenizer.encode_batch_fast([harmless(text, self.marks)], add_special_tokens=False)[0].ids)

    def frame(self, task: AnalysisTask, options: TaskOptions) -> Frame | None:
        """What stands around a task's passages, with the longest of several questions.

        None where the template is unknown, or takes nothing of the kind.
        """
        return self._frame(task, options, one_turn=False) or self._frame(task, options, one_turn=True)

    def _frame(self, task: AnalysisTask, options: TaskOptions, *, one_turn: bool) -> Frame | None:
        bare = bare_steps(task, options, one_turn=one_turn)
        steps = [*bare, *(one.model_copy(update={"stage": "reduce"}) for one in bare)]
        rendered = self.render([ChatInput(messages=messages_for(step)) for step in steps])
        prompts = [one for one in rendered if isinstance(one, Rendered)]
        if len(prompts) < len(steps):
            return None
        return Frame(tokens=max(sum(count.tokens) for count in self.count(prompts)), one_turn=one_turn)

    def _written(self, chats: Sequence[ChatInput]) -> list[Rendered | TemplateRefusal | None]:
        if self._template is None:
            return [None] * len(chats)
        given = [_given(chat) for chat in chats]
        written = iter(self._template.write([chat for chat in given if chat is not None]))
        said = [next(written) if chat is not None else None for chat in given]
        return [Rendered((one,), with_specials=False) if isinstance(one, str) else one for one in said]

    def _counts(self, prompts: Sequence[Rendered], with_specials: bool) -> list[int]:
        texts = [text for one in prompts if one.with_specials is with_specials for text in one.texts]
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=with_specials) if texts else []
        return [len(one.ids) for one in encoded]


UNCOUNTED = ("", WORDLLAMA)
"""Of engines without a template: nobody here can count for them."""


def load_prompts(tokenizer: str) -> PromptCounter | None:
    """The counter of the model in this directory (or of its `tokenizer.json`); None where nobody here can count.

    That is so for UNCOUNTED, and for files that are not on this machine, or that nothing can be made of.
    """
    if tokenizer in UNCOUNTED:
        return None
    path = tokenizer_file(tokenizer)
    files = (path, *(path.with_name(name) for name in FILES))
    return _load(path, tuple(_changed_ns(file) for file in files))


@lru_cache(maxsize=8)
def _load(path: Path, _changed: tuple[int, ...]) -> PromptCounter | None:
    try:
        return PromptCounter(load_tokenizer(path), find_template(path.parent))
    except SettingsError:
        return None


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _plain(work: CompletionInput | EmbeddingInput) -> Rendered:
    return Rendered((work.prompt,) if isinstance(work, CompletionInput) else work.texts, with_specials=True)


def _given(chat: ChatInput) -> str | None:
    """A chat as engines hand it to a template, as JSON; None for one of which nobody can make that."""
    try:
        return json.dumps(
            {"messages": [_turn(one) for one in chat.messages], "tools": [_tool(one) for one in chat.tools]}
        )
    except Exception:  # noqa: BLE001 - calls are passed through as they were sent; the engine decides on them
        return None


def _turn(message: Message) -> dict[str, Any]:
    """A message as engines hand it to a template: the arguments of calls are objects, not JSON as a string."""
    turn = message.model_dump(exclude_none=True)
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    return turn


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(dict(call))
    try:
        arguments = json.loads(made["function"]["arguments"] or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    made["function"]["arguments"] = arguments if isinstance(arguments, dict) else {}
    return made


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as vLLM hands it to a template: what was left out is there as null."""
    function = tool["function"]
    told = {name: function.get(name) for name in ("name", "description", "parameters")}
    strict = {} if function.get("strict") is None else {"strict": function["strict"]}
    return {"type": "function", "function": told | strict}
