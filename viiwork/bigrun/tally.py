"""What the rows of an output add up to, read one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from viiwork.bigrun.done import Told
from viiwork.bigrun.record import Tally
from viiwork.errors import UsageError
from viiwork.jobs import Row
from viiwork.work import Usage


class OwnedRow(Row):
    """A row as a file has it, with the analysis that it is of."""

    analysis: str

    @property
    def told(self) -> Told:
        """What matters of it for what is still to be done."""
        return Told(self.analysis, self.index, self.answer is not None)


def rows_in(lines: Iterable[bytes]) -> Iterator[OwnedRow]:
    """The rows of a file. Raises UsageError naming the line that is none."""
    for number, line in enumerate(lines, start=1):
        try:
            yield OwnedRow.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(f"line {number} of the output is no result row.", param="out") from error


def tally(rows: Iterable[Row]) -> Tally:
    """All of them together."""
    documents = answered = pages = parts = 0
    failures, usage = Counter[str](), Usage()
    for row in rows:
        documents += 1
        if row.answer is None:
            failures[row.error.code if row.error else row.state.value] += 1
            continue
        answered += 1
        pages += row.answer.pages
        parts += row.answer.parts
        usage += row.answer.usage
    return Tally(documents=documents, answered=answered, failures=dict(failures), pages=pages, parts=parts, usage=usage)
