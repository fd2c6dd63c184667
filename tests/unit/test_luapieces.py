"""What each script is given of the Lua library: enough, and not all of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from lupa.lua51 import LuaRuntime

from viiwork.store.luapieces import names_in, needed, pieces_of
from viiwork.store.scripts import Scripts, library

GIVEN = frozenset(
    ("KEYS", "ARGV", "redis", "cjson", "math", "string", "table", "tonumber", "tostring", "pairs", "ipairs")
) | {"unpack", "type", "next", "select", "error", "pcall", "bit", "struct"}
"""What a server gives a script."""
GETGLOBAL, SETGLOBAL = 5, 7
SMALL = """-- Said of nobody.
local MOST = 3 -- not `one`
local KNOWN = {}
local function one(a)
  return a + MOST
end

local function two(b) return one(b.three) end
local function three(b) return 'two'..b end
"""


def test_a_script_gets_what_it_names_and_what_that_names_in_order() -> None:
    """Fields, strings and comments name nothing."""
    given = needed(SMALL, "return two(ARGV[1])")
    assert list(pieces_of(given)) == ["MOST", "one", "two"]
    assert needed(SMALL, "-- two\nreturn 'two' .. x.three") == ""
    assert list(pieces_of(needed(SMALL, "return 1 ..three(2)"))) == ["three"]
    assert names_in("local a = b.c..d -- e's\nf('g', \"h--\", i)") == {"local", "a", "b", "d", "f", "i"}


RARE = """local BASE = 10
local SEEN = {}
local function plain(a) return a + BASE end
local function inner(a)
  SEEN[#SEEN + 1] = a
  return plain(a), #SEEN
end

local function rare(a) -- seldom
  return inner(a)
end

local function rarer(a) return rare(a + 1) end
"""


def test_what_is_seldom_used_is_made_when_it_is_first_called() -> None:
    """With all that only it uses; it answers the same, and keeps what it knows for the rest of the call."""
    script = "return {plain(1), {rarer(2)}, {rare(5)}}"
    at_once, later = needed(RARE, script).split("local function make_later()\n")
    assert "local function plain" in at_once
    assert "local function rarer" in at_once
    assert "inner" not in at_once
    assert "SEEN" in later
    told = LuaRuntime(unpack_returned_tuples=True).execute(needed(RARE, script) + script)
    assert (told[1], list(told[2].values()), list(told[3].values())) == (11, [13, 1], [15, 2])


def test_a_script_that_has_no_use_for_what_is_seldom_makes_nothing_of_it() -> None:
    assert needed(RARE, "return plain(1)") == needed(RARE.replace(" -- seldom", ""), "return plain(1)")


@pytest.mark.parametrize(("script", "most"), [("claim", 15), ("commit", 30), ("release", 25), ("beat", 10)])
def test_what_each_job_goes_through_makes_few_functions_at_once(script: str, most: int) -> None:
    """Of about 60 that they may come to call; a script's own are not counted."""
    source = Scripts(prefix="p:", headers=False).source(script)
    at_once, made, _ = source.partition("local function make_later()\n")
    assert made
    assert at_once.count("local function") <= most


@pytest.mark.parametrize("more", ["local MOST = 4\n", "MOST = 4\n", "if MOST then KNOWN[1] = 1 end\n"])
def test_a_library_of_another_form_is_refused(more: str) -> None:
    """What is not local, or is there twice, could be left out wrongly."""
    with pytest.raises(ValueError, match="Lua library"):
        needed(SMALL + more, "return two(1)")


def test_no_script_names_what_it_was_not_given() -> None:
    """By what Lua itself makes of it: a name that is not local would be looked for among the globals."""
    lua = LuaRuntime(unpack_returned_tuples=True, encoding=None)
    scripts = Scripts(prefix="p:", headers=False)
    names = [name for name, _ in scripts_of(scripts)]
    assert {"claim", "commit", "release", "submit", "delta"} <= set(names)
    for name, source in scripts_of(scripts):
        dumped = lua.eval(b"function(s) return string.dump(assert(loadstring(s))) end")(source.encode())
        assert set(Code(dumped).globals()) <= GIVEN, name


def test_what_is_said_piece_by_piece_needs_little() -> None:
    """`delta` is called for each piece of a stream."""
    given = Scripts(prefix="p:", headers=False).source("delta")
    assert len(given) < len(library()) / 4


def scripts_of(scripts: Scripts) -> Iterator[tuple[str, str]]:
    """Each by its name."""
    for name in scripts.names:
        yield name, scripts.source(name)


class Code:
    """A chunk that Lua 5.1 has compiled, read for the globals that it gets or sets."""

    def __init__(self, dumped: bytes) -> None:
        self._bytes, self._at = dumped, 12
        self._size = dumped[8]

    def globals(self) -> Iterator[str]:
        """Of one function and of those in it."""
        self._text()
        self._take(4 + 4 + 4)  # its lines, and four small numbers
        instructions = [self._int() for _ in range(self._int())]
        constants = [self._constant() for _ in range(self._int())]
        used = [word >> 14 for word in instructions if word & 0x3F in (GETGLOBAL, SETGLOBAL)]
        yield from (str(constants[at]) for at in used)
        for _ in range(self._int()):
            yield from self.globals()
        self._take(4 * self._int())
        for _ in range(self._int()):
            self._text()
            self._take(8)
        for _ in range(self._int()):
            self._text()

    def _take(self, count: int) -> bytes:
        taken = self._bytes[self._at : self._at + count]
        self._at += count
        return taken

    def _int(self) -> int:
        return int(struct.unpack("<I", self._take(4))[0])

    def _text(self) -> str:
        return self._take(int.from_bytes(self._take(self._size), "little")).rstrip(b"\0").decode()

    def _constant(self) -> str | float | None:
        match self._take(1)[0]:
            case 1:
                return float(self._take(1)[0])
            case 3:
                return float(struct.unpack("<d", self._take(8))[0])
            case 4:
                return self._text()
        return None
