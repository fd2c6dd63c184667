"""Text fit for a terminal. Documents are hostile until shown otherwise."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

PLAIN_COLUMNS = 120
"""How wide sentences in tables get that go to a file or a pipe."""
WIDE_COLUMNS = 320
"""The room for tables there: no screen is too narrow for a column."""
KEPT = frozenset("\n\t")
CONTROLS = frozenset(map(chr, (*range(32), *range(127, 160)))) - KEPT
DIRECTION = frozenset(map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
"""Marks that reorder what is shown after them."""
NOT_SHOWN = dict.fromkeys(map(ord, (*CONTROLS, *DIRECTION, "\u2028", "\u2029")))
IN_JSON = {code: f"\\u{code:04x}" for code in NOT_SHOWN if code >= 0x7F}
"""JSON text has no raw control characters below these."""


def clean(text: str) -> str:
    """`text` without what could steer a terminal; surrogates, which no terminal can print, become a mark."""
    return text.translate(NOT_SHOWN).encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """`clean` text with every run of white space as one blank."""
    return " ".join(clean(text).split())


def plain(text: str, style: str = "") -> Text:
    """Clean text that Rich takes as it is, square brackets and all."""
    return Text(clean(text), style=style)


def out() -> Console:
    """Standard output."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error: progress and remarks."""
    return _console(stderr=True)


def reading_columns(console: Console) -> int:
    """As wide as the screen; in a file or a pipe as wide as people like to read."""
    return console.width if console.is_terminal or "COLUMNS" in os.environ else PLAIN_COLUMNS


def print_json(data: Any) -> None:
    """One object a line on standard output."""
    print_json_line(json.dumps(data, ensure_ascii=False))


def print_json_line(line: str) -> None:
    """JSON text on standard output, the same value with whatever could steer a terminal escaped."""
    print(line.translate(IN_JSON), flush=True)


def say(message: str) -> None:
    """A remark on standard error, on a line of its own, never wrapped."""
    print(clean(message), file=sys.stderr, flush=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, emoji=False, markup=False)
