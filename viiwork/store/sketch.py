"""A set of blob ids in a fixed amount of memory: it may think that it holds one too many, never one too few."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

BITS = 1 << 26
"""8 MiB. With 1,000,000 names in it, 1 unnamed blob in 90,000 is taken for a named one, and goes at a later run."""
HASHES = 4


class NameSketch:
    """A Bloom filter; each has a salt of its own, so that two never err in the same place (Bloom 1970)."""

    def __init__(self, *, bits: int = BITS) -> None:
        self._bits = bits
        self._field = bytearray(bits // 8)
        self._salt = secrets.token_bytes(16)

    def add(self, name: str) -> None:
        """Remember `name`."""
        for at in self._places(name):
            self._field[at >> 3] |= 1 << (at & 7)

    def __contains__(self, name: str) -> bool:
        """False says for certain that `name` was never added."""
        return all(self._field[at >> 3] & (1 << (at & 7)) for at in self._places(name))

    def _places(self, name: str) -> Iterator[int]:
        digest = hashlib.blake2b(name.encode(), digest_size=8 * HASHES, salt=self._salt).digest()
        return (int.from_bytes(digest[at : at + 8], "little") % self._bits for at in range(0, 8 * HASHES, 8))
