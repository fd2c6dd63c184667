"""What the rows of an output add up to, read one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from viiwork.bigrun.done import Told
from viiwork.bigrun.record import Part, Tally
from viiwork.errors import UsageError
from viiwork.jobs import Row
from viiwork.work import Usage


class OwnedRow(Row):
    """A row as a file has it, with the analysis that it is of."""

    analysis: str

    @property
    def told(self) -> Told:
        """What matters of it for what is still to be done."""
        code = "" if self.answer is not None else self.error.code if self.error else self.state.value
        return Told(self.analysis, self.index, self.answer is not None, code)


def rows_in(lines: Iterable[bytes]) -> Iterator[OwnedRow]:
    """The rows of a file. Raises UsageError naming the line that is none."""
    for number, line in enumerate(lines, start=1):
        try:
            yield OwnedRow.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(f"line {number} of the output is no result row.", param="out") from error


def tally(rows: Iterable[OwnedRow], parts: Iterable[Part] = ()) -> Tally:
    """All rows together; calls and tokens as the service counted them, of an analysis that has not told by its rows."""
    parts = tuple(parts)
    told = {part.id: (part.calls, part.usage) for part in parts if part.usage is not None}
    documents = answered = pages = pieces = cut = 0
    calls, usage = 0, Usage()
    failures, of_answers, of_rows = Counter[str](), Usage(), set[str]()
    for row in rows:
        documents += 1
        if row.analysis not in told:
            of_rows.add(row.analysis)
            calls += row.calls or 0
            usage += row.usage or (row.answer.usage if row.answer else Usage())
        if row.answer is None:
            failures[row.error.code if row.error else row.state.value] += 1
            continue
        answered += 1
        pages += row.answer.pages
        pieces += row.answer.parts
        cut += row.answer.parts > 1
        of_answers += row.answer.usage
    return Tally(
        documents=documents,
        answered=answered,
        failures=dict(failures),
        pages=pages,
        parts=pieces,
        cut=cut,
        calls=calls + sum(count for count, _ in told.values()),
        usage=sum((spent for _, spent in told.values() if spent), usage),
        usage_of_answers=of_answers,
        partial=bool(of_rows) or len(told) < len(parts),
    )
