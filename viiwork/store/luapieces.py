"""The pieces of a Lua library that a script needs. Pure.

A script's functions are made anew at each call of it: 0.5 us apiece. With the whole library before each script that was
45 us a call (measured); most scripts need a few pieces, and those that end jobs two thirds of it.
"""

from __future__ import annotations

import re

BEGINS = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
GOES_ON = re.compile(r"(?:[ \t}]|end\b|--|$)")
SILENT = re.compile(r"""'[^'\n]*'|"[^"\n]*"|--[^\n]*""")
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*|(?<=\.\.)[A-Za-z_]\w*")


def needed(library: str, script: str) -> str:
    """What `script` uses of the library, and what that uses, in the library's order.

    A library is local functions and local values alone, each begun at the margin. Raises ValueError for another.
    """
    pieces = pieces_of(library)
    wanted, unread = set[str](), [script]
    while unread:
        fresh = pieces.keys() & names_in(unread.pop()) - wanted
        wanted |= fresh
        unread += [pieces[name] for name in fresh]
    return "".join(piece for name, piece in pieces.items() if name in wanted)


def pieces_of(library: str) -> dict[str, str]:
    """Each function and value by its name."""
    begins = list(BEGINS.finditer(library))
    ends = [*(begin.start() for begin in begins[1:]), len(library)]
    pieces = {begin[1]: library[begin.start() : end] for begin, end in zip(begins, ends, strict=True)}
    lines = (line for piece in pieces.values() for line in piece.splitlines()[1:])
    if len(pieces) < len(begins) or not all(map(GOES_ON.match, lines)):
        raise ValueError("the Lua library has a name twice, or something at its margin that is not local")
    return pieces


def names_in(lua: str) -> set[str]:
    """The names in a piece of Lua, those of fields left out: neither its strings nor its comments are code."""
    return set(NAME.findall(SILENT.sub("''", lua)))
