"""Ending containers that nobody keeps any more: those with our own label, and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from viiwork.containers.client import ANSWER_S, Client, Said, ask
from viiwork.containers.container import list_words, listed, read_mark, remove_words, stop_words
from viiwork.processes import is_alive

Keep = Callable[[str], bool]
"""Whether the guard of a label still answers for its container."""


def guard_lives(label: str) -> bool:
    """Whether the very guard that started it runs; what carries a label that is not ours is nobody's to end."""
    guard = read_mark(label)
    return guard is None or is_alive(*guard)


def find(client: Client, label: str, value: str, *, keep: Keep = guard_lives) -> list[str]:
    """The ids of those whose guard is dead; none where the daemon does not answer."""
    said = ask(client, list_words(client.kind, label, value))
    return abandoned(said, keep=keep)


def abandoned(said: Said, *, keep: Keep = guard_lives) -> list[str]:
    """The same, of an answer. Pure, but for `keep`."""
    return [number for number, guard in listed(said.lines).items() if not keep(guard)]


def end(client: Client, ids: Sequence[str], *, grace_s: float) -> None:
    """Gently, then for good. What fails is found again by whoever looks next."""
    if ids:
        ask(client, stop_words(ids, grace_s=grace_s), limit_s=grace_s + ANSWER_S)
        ask(client, remove_words(ids), limit_s=ANSWER_S)
