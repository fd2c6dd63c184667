"""The most that files can come to, by their sizes alone: whether it is worth reading them to know. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from viiwork.bigrun.survey import Survey


def at_most(sizes_bytes: Iterable[int], *, passage_tokens: int) -> Survey:
    """As if each byte were a token. Text has three or four a token, and what is packed rarely unpacks to more."""
    sizes = [max(1, size) for size in sizes_bytes]
    return Survey(
        documents=len(sizes),
        parts=Counter(-(-size // passage_tokens) for size in sizes),
        passage_tokens=sum(sizes),
    )
