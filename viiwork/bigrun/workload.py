"""How many calls of an engine documents take, and how many tokens go in and come out. Pure.

What is read is counted exactly. What an answer is long is not known before, so whatever follows from it has two ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from viiwork.documents.merge import JOINT_TOKENS
from viiwork.documents.tasktexts import MergeRule


@dataclass(frozen=True, slots=True)
class Span:
    """From the least to the most that it may be."""

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def times(self, low: float, high: float | None = None) -> Span:
        """Both ends so many times; `high` is for the upper one where that is another number."""
        return Span(self.low * low, self.high * (low if high is None else high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around the passage in each call."""

    tokens: int
    """System, task, options and the turns of the chat."""
    passage_tokens: int
    """How much of a document, or of answers to be merged, goes in beside that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The calls that put the answers of one document's parts together."""

    calls: int
    tokens: int
    """Of the answers that go in, all calls and levels together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What engines will be asked."""

    maps: int
    """Calls on parts of documents."""
    merges: Span
    prompt_tokens: Span
    output_tokens: Span

    @property
    def calls(self) -> Span:
        """Maps and merges."""
        return self.merges + Span(self.maps, self.maps)


def workload(
    parts: Mapping[int, int], *, map_tokens: int, frame: Frame, rule: MergeRule, answer_tokens: Span, asked: int = 1
) -> Workload:
    """The work that documents make: `parts` is how many of them are cut into so many parts.

    `map_tokens` are those of all prompts of the first round, for one of the `asked` questions; `answer_tokens` how long
    an answer is on average.
    """
    parts = {of_each: documents * asked for of_each, documents in parts.items()}
    map_tokens *= asked
    maps = sum(of_each * documents for of_each, documents in parts.items())
    low, high = (_merged(parts, frame, rule, tokens) for tokens in (answer_tokens.low, answer_tokens.high))
    if rule == "best":  # where one part alone has an answer, nobody is asked again
        low = Tree(calls=0, tokens=0)
    merges = Span(low.calls, high.calls)
    prompts = Span(low.calls * frame.tokens + low.tokens, high.calls * frame.tokens + high.tokens)
    return Workload(
        maps=maps,
        merges=merges,
        prompt_tokens=prompts + Span(map_tokens, map_tokens),
        output_tokens=(merges + Span(maps, maps)).times(answer_tokens.low, answer_tokens.high),
    )


def _merged(parts: Mapping[int, int], frame: Frame, rule: MergeRule, answer_tokens: float) -> Tree:
    if rule not in ("reduce", "best"):
        return Tree(calls=0, tokens=0)
    trees = {n: tree(n, answer_tokens=answer_tokens, limit_tokens=frame.passage_tokens) for n in parts}
    return Tree(
        calls=sum(trees[n].calls * documents for n, documents in parts.items()),
        tokens=sum(trees[n].tokens * documents for n, documents in parts.items()),
    )


def tree(parts: int, *, answer_tokens: float, limit_tokens: int) -> Tree:
    """The merge tree over so many answers of this length, as `documents.merge.reduce_steps` groups them."""
    longest = max(1, limit_tokens // 2 - JOINT_TOKENS)
    each = min(max(1.0, answer_tokens), longest) + JOINT_TOKENS
    a_call = max(2, int(limit_tokens // each))
    calls, tokens = 0, 0.0
    while parts > 1:
        tokens += parts * each
        parts = -(-parts // a_call)
        calls += parts
    return Tree(calls=calls, tokens=round(tokens))
