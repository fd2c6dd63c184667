"""What is shown of an analysis' rows once it has ended."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field

from rich.text import Text

from viiwork import jobfile
from viiwork.cli.energy import energy_of
from viiwork.cli.screen import one_line, out, plain, reading_columns
from viiwork.cli.tables import answers_table, name_of, notices
from viiwork.jobs import BatchStatus, Row, State

SHOWN_ROWS = 200
"""More answers than this are for a file, not for a screen."""
CUT_OFF = "length"
"""The `finish_reason` of an answer that its limit ended."""
COPIES = {
    "answered": "and its answer",
    "asked": "and an answer of its own: the other had none",
    "asked in vain": "and no answer, though asked by itself",
    "none": "and no answer either",
}
"""What is said of documents with the same content."""
SHOWN_NAMES = 10
"""So many of those that share a reason are named."""


@dataclass(slots=True)
class Failures:
    """Rows that came to nothing for one reason: how many, and what the first of them are called."""

    state: State
    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)
    """Their places and names, in the order of sending."""

    def add(self, row: Row) -> None:
        """Take one row in."""
        self.count += 1
        insort(self.first, (row.index, name_of(row)))
        del self.first[SHOWN_NAMES:]

    def line(self, reason: str) -> Text:
        """`m18: Cancelled before it was done.`, or `382 × Cancelled before it was done: m18, m19, …`."""
        mark = plain("· ", "yellow" if self.state is State.CANCELLED else "red")
        names = [one_line(name) for _, name in self.first]
        if self.count == 1:
            return mark + plain(names[0], "bold") + plain(f": {reason}")
        more = ["…"] if self.count > len(names) else []
        return mark + plain(f"{self.count} × ", "bold") + plain(f"{reason.rstrip('.')}: {', '.join([*names, *more])}")


class Report:
    """Keeps as many rows as will be shown."""

    def __init__(self) -> None:
        self.good: list[Row] = []
        self.bad: dict[str, Failures] = {}
        self.rows = 0
        self.cut_off = 0
        """Answers that their limit of tokens ended."""
        self.copies: Counter[str] = Counter()
        """Documents with the content of an earlier one, by how it went with them: keys of COPIES."""

    def add(self, row: Row) -> None:
        """Take one row in."""
        self.rows += 1
        self.copies.update([how_copied(row)] if row.same_as else [])
        self.cut_off += bool(row.answer and row.answer.finish_reason == CUT_OFF)
        if row.answer is None:
            self._add_bad(row)
        elif len(self.good) < SHOWN_ROWS:
            self.good.append(row)

    def _add_bad(self, row: Row) -> None:
        reason = reason_of(row)
        if reason in self.bad or len(self.bad) < SHOWN_ROWS:
            self.bad.setdefault(reason, Failures(row.state)).add(row)

    @property
    def named(self) -> int:
        """How many of the rows are shown by their names."""
        return len(self.good) + sum(len(failures.first) for failures in self.bad.values())

    def bad_lines(self) -> list[Text]:
        """A line for each reason, in the order of sending."""
        ordered = sorted(self.bad.items(), key=lambda item: item[1].first)
        return [failures.line(reason) for reason, failures in ordered]

    def show(self, status: BatchStatus, *, more: str) -> None:
        """Print the answers, then why the others have none, then what must be said of the engine."""
        console = out()
        if self.good:
            heading = "Job" if status.task == jobfile.TASK else "File"
            console.print(answers_table(self.good, columns=reading_columns(console), heading=heading))
        if self.bad:
            console.print(plain(f"Without an answer: {status.counts.settled - status.counts.succeeded}", "bold"))
            for line in self.bad_lines():
                console.print(line, soft_wrap=True)
        for how in COPIES:
            if self.copies[how]:
                console.print(plain(copies_line(self.copies[how], how)), soft_wrap=True)
        if self.cut_off:
            console.print(plain(cut_off_line(self.cut_off, task=status.task), "yellow"), soft_wrap=True)
        if used := energy_of(status):
            console.print(plain(f"Energy of the cards: {used}"), soft_wrap=True)
        for notice in notices(self.good):
            console.print(plain(notice, "italic"), soft_wrap=True)
        if self.rows > self.named:
            console.print(plain(f"{self.rows} rows in all; {more}"), soft_wrap=True)


def how_copied(row: Row) -> str:
    """How it went with a document that has another's content; whoever was asked by itself took calls of its own."""
    if row.answer is not None:
        return "asked" if row.calls else "answered"
    return "asked in vain" if row.calls else "none"


def copies_line(count: int, how: str) -> str:
    """That some documents have the content of others, and what came of that."""
    said = "1 document has" if count == 1 else f"{count} documents have"
    return f"{said} the same content as another, {COPIES[how]}."


def cut_off_line(count: int, *, task: str | None) -> str:
    """That answers end in the middle, and who can allow longer ones; nothing in the table shows it."""
    said = "1 answer was" if count == 1 else f"{count} answers were"
    how = "by max_output_tokens in their lines" if task == jobfile.TASK else "with `viiwork analyze --max-tokens N`"
    return f"{said} cut off at the limit of tokens: allow longer ones {how}."


def reason_of(row: Row) -> str:
    """Why a row has no answer, in one line."""
    return one_line(f"{row.error.message} {row.error.hint}" if row.error else f"{row.state.value}")
