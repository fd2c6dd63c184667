"""The answers of a document's parts, on their way through the merge tree to one answer."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.documents.merge import combine, fold, reduce_steps
from viiwork.documents.room import Room
from viiwork.documents.tasks import each_asked
from viiwork.errors import DocumentError
from viiwork.jobs import Result, State
from viiwork.store import Store
from viiwork.work import Answer, MergeInput, StepInput, Strand


class Pending:
    """The answers to what is asked of a document: all of them, or those to one of several questions."""

    def __init__(self, store: Store, work: MergeInput, at: int) -> None:
        self._store = store
        self._work = work
        self._options = each_asked(work.options)[at]
        self._strand = work.strands[at] if work.strands else Strand(parts=work.parts, below=work.below)
        self._name = f"Question {at + 1}: " if work.strands else ""
        self._said: list[Answer] = []
        self.answer: Answer | None = None
        """With what all levels of the tree found and cost; None where that takes an engine again."""

    async def look(self) -> None:
        """Read what there is. Raises DocumentError when a part has no answer."""
        self._said = await self._answers(self._strand.parts)
        found = self._settled()
        if found is not None and self._strand.below:
            found = fold(found, await self._answers(self._strand.below))
        self.answer = found

    def steps(self, room: Room) -> list[StepInput]:
        """The calls of the next level; none for what has an answer."""
        if self.answer is not None:
            return []
        task, title, limit, count = self._work.task, self._work.title, room.passage_tokens, room.count
        reduced = reduce_steps(task, self._options, self._said, limit_tokens=limit, count=count, title=title)
        more: dict[str, object] = {"one_turn": room.one_turn, "document_first": bool(self._work.strands)}
        return [step.model_copy(update=more | {"marks": room.marks_in(title, step.text)}) for step in reduced]

    def after(self, parts: tuple[str, ...]) -> Strand:
        """Where it stands once those calls are answered: what has an answer stays where it is."""
        return self._strand if self.answer else Strand(parts=parts, below=self._strand.below + self._strand.parts)

    def _settled(self) -> Answer | None:
        if self._strand.below and len(self._said) == 1:
            return self._said[0]
        combined = combine(self._work.task, self._options, self._said, title=self._work.title)
        return combined if isinstance(combined, Answer) else None

    async def _answers(self, parts: Sequence[str]) -> list[Answer]:
        return _answers(await self._store.results(parts), name=self._name)


def _answers(results: Sequence[tuple[State, Result]], *, name: str = "") -> list[Answer]:
    """The answers of all parts. Raises DocumentError when one has none: half an answer must not look whole."""
    for part, (state, result) in enumerate(results, start=1):
        if result.answer is None:
            fault = result.fault
            what = fault.message if fault else f"It ended as {state.value}."
            where = f"Part {part} of {len(results)} failed: " if len(results) > 1 else ""
            raise DocumentError(
                f"{name}{where}{what}", hint=fault.hint if fault else "", code=fault.code if fault else state
            )
    return [result.answer for _, result in results if result.answer is not None]
