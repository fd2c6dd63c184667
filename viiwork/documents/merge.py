"""Putting the answers of a document's parts together. Pure.

Classifications and answers with a confidence are combined here. Summaries, and answers without one, need an engine
again: `reduce_steps` makes the calls of one level of the merge tree, and `fold` adds to each of their answers what
was found below it. Every level has at most half as many parts as the one before, so the tree ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from viiwork.documents.ballot import union
from viiwork.documents.consensus import agree
from viiwork.documents.document import tidy
from viiwork.documents.provenance import placed, trace
from viiwork.documents.signatures import signatures
from viiwork.documents.tasks import NOT_ANSWERED, UNSURE
from viiwork.documents.tasktexts import task_text
from viiwork.documents.tokens import TokenCounter, cut
from viiwork.work import AnalysisTask, Answer, Evidence, Reply, StepInput, TaskOptions, Usage

BETWEEN = "\n\n"
JOINT_TOKENS = 4
"""At most, of `BETWEEN` and of words that are cut otherwise beside it."""
MAX_EVIDENCE = 20


def combine(
    task: AnalysisTask, options: TaskOptions, answers: Sequence[Answer], *, title: str = ""
) -> Answer | StepInput:
    """The document's answer, or the one engine call that makes it when that takes an engine.

    `answers` are those of all parts, in order, at least one. The call's text may be over what one call takes:
    then use `reduce_steps`. Raises DocumentError for an extraction that does not fill its schema.
    """
    if not answers:
        raise ValueError("there are no answers to combine")
    rule = task_text(task).merge
    if rule == "agree":
        whole = agree(options, answers)
        return _together(whole, answers, evidence=whole.evidence)
    if rule == "vote" and options.multi:
        return union(options, answers)
    if len(answers) == 1:
        return answers[0]
    if rule == "vote":
        return _by_scores(options, answers) if all(answer.scores for answer in answers) else _by_votes(options, answers)
    if rule == "best" and (settled := _settled_ask(answers)):
        return settled
    return _step(task, options, BETWEEN.join(_told(task, answers)), title=title, part=0, parts=1)


def reduce_steps(
    task: AnalysisTask,
    options: TaskOptions,
    answers: Sequence[Answer],
    *,
    limit_tokens: int,
    count: TokenCounter,
    title: str = "",
) -> tuple[StepInput, ...]:
    """The engine calls of the next level: neighbours together, each call's text within `limit_tokens`.

    One call means that its answer is the document's. With more, their answers are the next level's `answers`.
    An answer longer than half the limit is cut to it, so that two always fit and the tree gets smaller.
    """
    half = max(1, limit_tokens // 2 - JOINT_TOKENS)
    told = [cut(text, half, count) for text in _told(task, answers)]
    groups = list(_groups(told, limit_tokens, count))
    return tuple(
        _step(task, options, BETWEEN.join(group), title=title, part=part, parts=len(groups))
        for part, group in enumerate(groups)
    )


def fold(reduced: Answer, below: Sequence[Answer]) -> Answer:
    """What a reduce call answered, with the usage, parts, notes and evidence of the answers that it was made from.

    Where none of its own quotes is good, theirs are there too.
    """
    traced = trace(reduced, below)
    good = any(not piece.unsupported for piece in traced.evidence)
    return reduced.model_copy(
        update={
            "usage": sum((answer.usage for answer in below), reduced.usage),
            "parts": sum(answer.parts for answer in below),
            "notes": tuple(dict.fromkeys(note for answer in (*below, traced) for note in answer.notes)),
            "evidence": traced.evidence if good else (*traced.evidence, *placed(below))[:MAX_EVIDENCE],
            **signatures((reduced, *below)),
        }
    )


def replies(questions: Sequence[str], answers: Sequence[Answer]) -> Answer:
    """The answers to several questions as one; what each rests on stays with it."""
    said = tuple(_reply(question, answer) for question, answer in zip(questions, answers, strict=True))
    text = BETWEEN.join(f"{place}. {one.question}\n{one.text}" for place, one in enumerate(said, start=1))
    cut_off = [answer for answer in answers if answer.finish_reason == "length"]
    whole = _together((cut_off or answers)[0], answers, evidence=())
    return whole.model_copy(update={"text": text, "answers": said, "confidence": None})


def _reply(question: str, answer: Answer) -> Reply:
    return Reply(
        question=question.strip(),
        text=answer.text,
        answered=not _unanswered(answer) and answer.text != UNSURE,
        confidence=answer.confidence,
        evidence=answer.evidence,
    )


def _by_scores(options: TaskOptions, answers: Sequence[Answer]) -> Answer:
    """The label with the highest mean score; the first of the options among equals."""
    names = [label.name for label in options.labels] or list(dict.fromkeys(n for a in answers for n in a.scores))
    scores = {name: sum(answer.scores.get(name, 0.0) for answer in answers) / len(answers) for name in names}
    return _labelled(max(names, key=lambda name: scores[name]), scores, answers)


def _by_votes(options: TaskOptions, answers: Sequence[Answer]) -> Answer:
    """The label that most parts have; among equals the one that comes first in the document."""
    votes = [answer.label for answer in answers if answer.label is not None]
    if not votes:
        return _together(answers[0], answers, evidence=())
    names = [label.name for label in options.labels] or votes
    shares = {name: votes.count(name) / len(votes) for name in names}
    return _labelled(max(votes, key=votes.count), shares, answers)


def _labelled(label: str, scores: dict[str, float], answers: Sequence[Answer]) -> Answer:
    of_label = [answer for answer in answers if answer.label == label]
    best = max(of_label, key=lambda answer: answer.scores.get(label, 0.0), default=answers[0])
    chosen = best.model_copy(update={"text": label, "label": label, "scores": scores, "confidence": scores[label]})
    return _together(chosen, answers, evidence=_evidence(of_label))


def _settled_ask(answers: Sequence[Answer]) -> Answer | None:
    """The answer, when it takes no engine to find it: all have a confidence, or at most one part has an answer."""
    if all(answer.confidence is not None for answer in answers):
        best = max(answers, key=lambda answer: answer.confidence or 0.0)
        return _together(best, answers, evidence=best.evidence)
    # not all have one, so at least one part has an answer: a part without says so with confidence 0
    found = [answer for answer in answers if not _unanswered(answer)]
    return _together(found[0], answers, evidence=found[0].evidence) if len(found) == 1 else None


def _unanswered(answer: Answer) -> bool:
    return answer.confidence == 0.0 or answer.text == NOT_ANSWERED


def _together(chosen: Answer, answers: Sequence[Answer], *, evidence: tuple[Evidence, ...]) -> Answer:
    """The chosen answer, with what all parts cost and noted."""
    return chosen.model_copy(
        update={
            "usage": sum((answer.usage for answer in answers), Usage()),
            "parts": sum(answer.parts for answer in answers),
            "notes": tuple(dict.fromkeys(note for answer in answers for note in answer.notes)),
            "evidence": evidence,
            **signatures(answers),
        }
    )


def _evidence(answers: Iterable[Answer]) -> tuple[Evidence, ...]:
    return tuple(piece for answer in answers for piece in answer.evidence)[:MAX_EVIDENCE]


def _told(task: AnalysisTask, answers: Sequence[Answer]) -> list[str]:
    """What each part has to say to a reduce call, tidied as a document is; without an answer a part has nothing."""
    if task is not AnalysisTask.ASK:
        return [tidy(answer.text) for answer in answers if answer.text.strip()] or [tidy(answers[0].text)]
    found = [answer for answer in answers if not _unanswered(answer)] or list(answers[:1])
    quoted = ([answer.text, *(f'Quote: "{piece.quote}"' for piece in answer.evidence)] for answer in found)
    return [tidy("\n".join(lines)) for lines in quoted]


def _groups(told: Sequence[str], limit_tokens: int, count: TokenCounter) -> Iterator[list[str]]:
    group: list[str] = []
    total = 0
    for text in told:
        tokens = count(text) + JOINT_TOKENS
        if group and total + tokens > limit_tokens:
            yield group
            group, total = [], 0
        group.append(text)
        total += tokens
    yield group


def _step(task: AnalysisTask, options: TaskOptions, text: str, *, title: str, part: int, parts: int) -> StepInput:
    return StepInput(stage="reduce", task=task, options=options, title=title, text=text, part=part, parts=parts)
