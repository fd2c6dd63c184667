"""Tables that fit the screen: columns go by rank, then cells break between words, then each row is a block of lines.

No word is torn as long as it fits on the screen at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from viiwork.cli.screen import plain

GAP = 2
WRAPS_FROM = 24
"""So wide a column gets that may break its cells, if it wants it, before others have to go."""
INDENT = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One of a table's."""

    heading: str
    rank: int = 0
    """0 stays; of the others the one with the highest goes first where there is no room."""
    right: bool = False
    wraps: bool = False
    """Its cells may take several lines."""

    @property
    def name(self) -> str:
        """The heading in one line."""
        return " ".join(self.heading.split())


class FittedTable:
    """Rows of text; how they are laid out is settled when it is shown, by the room that there is then."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: Text) -> None:
        """A cell a column."""
        self._rows.append(cells)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield from self.fitted(options.max_width)

    def fitted(self, columns: int) -> Iterator[RenderableType]:
        """What is shown on a screen of so many columns, with a line for what was left out."""
        kept = list(range(len(self._columns)))
        while kept:
            widths = self._widths(kept, columns, least=WRAPS_FROM)
            if widths is not None:
                break
            if not (may_go := [at for at in kept if self._columns[at].rank]):
                widths = self._widths(kept, columns, least=0)
                break
            kept.remove(max(may_go, key=lambda at: (self._columns[at].rank, at)))
        else:
            return
        if widths is None:
            yield from self._blocks(columns)
            return
        yield self._table(kept, widths)
        gone = [column.name for at, column in enumerate(self._columns) if at not in kept]
        if gone:
            yield plain(f"Left out on so narrow a screen: {', '.join(gone)}.", "dim")

    def _widths(self, kept: Sequence[int], columns: int, *, least: int) -> dict[int, int] | None:
        """How wide each column is, or None where they do not fit: one that breaks its cells has `least` if it wants."""
        wants = {at: max(map(_longest_line, self._cells(at))) for at in kept}
        has = dict(wants)
        for at in kept:
            if self._columns[at].wraps:
                has[at] = min(wants[at], max(least, *map(_longest_word, self._cells(at))))
        left = columns - sum(has.values()) - GAP * (len(kept) - 1)
        if left < 0:
            return None
        short = sorted((at for at in kept if has[at] < wants[at]), key=lambda at: wants[at] - has[at])
        for done, at in enumerate(short):  # what is left is shared, and whoever wants less than that leaves the rest
            more = min(left // (len(short) - done), wants[at] - has[at])
            has[at], left = has[at] + more, left - more
        return has

    def _cells(self, at: int) -> list[Text]:
        return [plain(self._columns[at].heading), *(row[at] for row in self._rows)]

    def _table(self, kept: Sequence[int], widths: dict[int, int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False)
        for at in kept:
            column = self._columns[at]
            justify = "right" if column.right else "left"
            table.add_column(plain(column.heading), justify=justify, width=widths[at], overflow="fold")  # type: ignore[arg-type] # a literal
        for row in self._rows:
            table.add_row(*(row[at] for at in kept))
        return table

    def _blocks(self, columns: int) -> Iterator[RenderableType]:
        """A row a block: its first cell with those that have no heading, and below it the others with theirs."""
        for row in self._rows:
            marks = [cell for column, cell in zip(self._columns[1:], row[1:], strict=True) if not column.heading]
            yield Text(" " * GAP).join([Text(row[0].plain, "bold"), *marks])
            yield from _packed(self._pairs(row), columns)

    def _pairs(self, row: Sequence[Text]) -> Iterator[Text]:
        for column, cell in zip(self._columns[1:], row[1:], strict=True):
            if cell.plain and column.heading:
                yield plain(f"{column.name}: ", "dim") + cell


def _packed(pairs: Iterator[Text], columns: int) -> Iterator[RenderableType]:
    """As many to a line as fit; one that is too long for any line is broken between its words."""
    line = Text()
    for pair in pairs:
        if line and line.cell_len + GAP + pair.cell_len > columns - INDENT:
            yield _indented(line)
            line = Text()
        line = line + Text(" " * GAP) + pair if line else pair
    if line:
        yield _indented(line)


def _indented(line: Text) -> Padding:
    return Padding(line, (0, 0, 0, INDENT), expand=False)


def _longest_line(text: Text) -> int:
    return max((line.cell_len for line in text.split("\n")), default=0)


def _longest_word(text: Text) -> int:
    return max((plain(word).cell_len for word in text.plain.split()), default=0)
