"""What is shown of an analysis' rows once it has ended."""

from __future__ import annotations

from viiwork.cli.screen import out, plain
from viiwork.cli.tables import answers_table, bad_rows, notices
from viiwork.jobs import BatchStatus, Row

SHOWN_ROWS = 200
"""More answers than this are for a file, not for a screen."""


class Report:
    """Keeps as many rows as will be shown."""

    def __init__(self) -> None:
        self.good: list[Row] = []
        self.bad: list[Row] = []
        self.rows = 0

    def add(self, row: Row) -> None:
        """Take one row in."""
        self.rows += 1
        kept = self.good if row.answer is not None else self.bad
        if len(kept) < SHOWN_ROWS:
            kept.append(row)

    def show(self, status: BatchStatus, *, more: str) -> None:
        """Print the answers, then the documents without one, then what must be said of the engine."""
        console = out()
        if self.good:
            console.print(answers_table(self.good, columns=console.width))
        if self.bad:
            console.print(plain(f"Without an answer: {status.counts.settled - status.counts.succeeded}", "bold"))
            for line in bad_rows(self.bad):
                console.print(line, soft_wrap=True)
        for notice in notices(self.good):
            console.print(plain(notice, "italic"), soft_wrap=True)
        if self.rows > len(self.good) + len(self.bad):
            console.print(plain(f"{self.rows} rows in all; {more}"), soft_wrap=True)
