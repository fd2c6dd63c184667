"""Rows of cells as a Markdown table, which people and language models read alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """The rows as a table whose head is the first of them; rows and columns without any text are left out.

    What is left with one column is a line a cell, and one row is a line: a frame around text is no table.
    """
    told = [[_cell(text) for text in row] for row in rows]
    told = [row for row in told if any(row)]
    used = [
        column
        for column in range(max(map(len, told), default=0))
        if any(row[column : column + 1] > [""] for row in told)
    ]
    if len(used) < 2:
        return "\n".join(row[used[0]] for row in told)
    if len(told) == 1:
        return " | ".join(told[0][column] for column in used)
    lines = [_line([row[column] if column < len(row) else "" for column in used]) for row in told]
    return "\n".join([lines[0], _line(["---"] * len(used)), *lines[1:]])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """One line, in which no sign stands for the end of a cell."""
    return " ".join(text.split()).replace("|", "\\|")
