"""The pieces of a Lua library that a script needs. Pure.

A script's functions are made anew at each call of it: 0.3 us apiece. So each script gets what it uses, and of that a
function that is marked `-- seldom`, with what only such functions use, is made when it is first called for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

BEGINS = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
GOES_ON = re.compile(r"(?:[ \t}]|end\b|--|$)")
SILENT = re.compile(r"""'[^'\n]*'|"[^"\n]*"|--[^\n]*""")
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*|(?<=\.\.)[A-Za-z_]\w*")
SELDOM = re.compile(r"local function \w+\([^)\n]*\) -- seldom\b")


def needed(library: str, script: str) -> str:
    """What `script` uses of the library, and what that uses, in the library's order.

    A library is local functions and local values alone, each begun at the margin. Raises ValueError for another.
    """
    pieces = pieces_of(library)
    seldom = {name for name, piece in pieces.items() if SELDOM.match(piece)}
    used = reached(pieces, names_in(script))
    met = reached(pieces, names_in(script), stop=seldom)
    always, entries = met - seldom, sorted(met & seldom)
    at_once = "".join(piece for name, piece in pieces.items() if name in always)
    later = "".join(piece for name, piece in pieces.items() if name in used - always)
    return deferred(at_once, later, entries) if entries else at_once


def deferred(at_once: str, later: str, entries: Sequence[str]) -> str:
    """Lua in which the functions `entries` of `later` stand for themselves until one is called."""
    names = ", ".join(entries)
    stubs = "".join(f"{name} = function(...) bring_later() return {name}(...) end\n" for name in entries)
    made = f"local function make_later()\n{later}return {names}\nend\n"
    return f"local {names}\n{at_once}{made}local function bring_later() {names} = make_later() end\n{stubs}"


def reached(pieces: Mapping[str, str], names: AbstractSet[str], *, stop: AbstractSet[str] = frozenset()) -> set[str]:
    """The pieces of these names and those that they name, and so on; not what is named by those in `stop`."""
    found, unread = set[str](), names & pieces.keys()
    while unread:
        found |= unread
        texts = [pieces[name] for name in unread - stop]
        unread = {name for text in texts for name in names_in(text)} & pieces.keys() - found
    return found


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
