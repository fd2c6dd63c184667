"""Zeros in an append-only file: found where they stand for nothing, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.store.aofgaps import Gap, clear_unfinished, close_gaps, find_gaps


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


ONE, TWO = command(b"SET", b"a", b"1"), command(b"SET", b"b", b"\0\0*1\r\n\0")
WORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=4).map(lambda words: command(*words))


def part_of(folder: Path, data: bytes) -> Path:
    part = folder / "appendonlydir" / "appendonly.aof.2.incr.aof"
    part.parent.mkdir()
    part.write_bytes(data)
    return part


@settings(deadline=None)
@given(st.lists(WORDS, max_size=6), st.lists(st.integers(0, 300), max_size=7))
def test_what_is_left_is_what_was_written(commands: list[bytes], zeros: list[int]) -> None:
    """Whatever the arguments hold, and wherever between them zeros lie."""
    holes = [b"\0" * count for count in (*zeros, *[0] * (len(commands) + 1))]
    log = b"".join(hole + command for hole, command in zip(holes, commands, strict=False)) + holes[len(commands)]
    kept, at = b"", 0
    for gap in find_gaps(log):
        assert not log[gap.start : gap.end].strip(b"\0")
        kept, at = kept + log[at : gap.start], gap.end
    assert kept + log[at:] == b"".join(commands)


def test_a_time_stamp_is_a_line() -> None:
    """As servers write it with `aof-timestamp-enabled`."""
    log = b"#TS:1795334201\r\n" + ONE + b"\0" * 9 + b"#TS:1795334202\r\n" + TWO
    assert find_gaps(log) == (Gap(16 + len(ONE), 25 + len(ONE)),)


@pytest.mark.parametrize("cut", range(1, len(TWO)))
def test_zeros_after_half_a_command_go_and_the_half_stays(cut: int) -> None:
    """The server drops it by itself; zeros that a value may have begun with are part of the half."""
    half = TWO[:cut].rstrip(b"\0")
    assert find_gaps(ONE + half + b"\0" * 50) == (Gap(len(ONE + half), len(ONE + half) + 50),)


@pytest.mark.parametrize(
    "amiss",
    [
        b"garbage",
        b"*x\r\n",
        b"*1\r\nSET\r\n",
        b"*1\r\n$1\r\nSET\r\n",
        b"*99999999999999999999999\r\n",
        b"$3\r\nSET\r\n",
    ],
)
def test_a_log_with_other_damage_is_left_alone(amiss: bytes) -> None:
    """Nobody knows then what is right."""
    assert find_gaps(ONE + b"\0" * 4 + amiss + ONE + b"\0" * 4) == ()


def test_a_log_of_nothing_but_zeros_is_empty_afterwards(tmp_path: Path) -> None:
    """Also one that is long."""
    part = part_of(tmp_path, b"\0" * 200_000)
    assert close_gaps(tmp_path) == 200_000
    assert part.read_bytes() == b""


def test_a_part_is_replaced_only_when_it_has_gaps(tmp_path: Path) -> None:
    """An intact one and an empty one keep their inode; nothing else is left in the folder."""
    part = part_of(tmp_path, ONE + TWO)
    (empty := part.with_name("appendonly.aof.3.incr.aof")).touch()
    before = part.stat().st_ino, empty.stat().st_ino
    assert close_gaps(tmp_path) == 0
    assert (part.stat().st_ino, empty.stat().st_ino) == before
    part.write_bytes(ONE + b"\0" * 7 + TWO)
    assert close_gaps(tmp_path) == 7
    assert part.read_bytes() == ONE + TWO
    assert sorted(path.name for path in part.parent.iterdir()) == [part.name, empty.name]
    assert part.stat().st_mode & 0o777 == 0o600


def test_it_says_what_it_looks_through_before_it_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of gigabytes takes minutes."""
    part_of(tmp_path, b"\0" * 2_000_000 + ONE)
    close_gaps(tmp_path)
    first, second = caplog.messages
    assert "appendonly.aof.2.incr.aof (2 MiB)" in first
    assert "2000000 bytes of zeros" in second


@pytest.mark.parametrize("clear", [clear_unfinished, close_gaps])
def test_what_a_killed_mending_left_is_removed(tmp_path: Path, clear: Callable[[Path], object]) -> None:
    part = part_of(tmp_path, ONE)
    (left := part.with_name("appendonly.aof.1.incr.aof.mended")).write_bytes(ONE)
    clear(tmp_path)
    assert (left.exists(), part.read_bytes()) == (False, ONE)
