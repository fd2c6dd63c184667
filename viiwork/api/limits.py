"""What is too large, which limit says so, and how to raise it."""

from __future__ import annotations

from collections.abc import Mapping

from viiwork.errors import TooLarge
from viiwork.settings import ApiSection

MIB = 1024 * 1024


def over(what: str, limit: str, setting: str, *, param: str) -> TooLarge:
    """The refusal of something over a limit: which limit, and how to raise it."""
    hint = f"Raise api.{setting} in viiwork.toml, or set VIIWORK_API_{setting.upper()}."
    return TooLarge(f"{what}: over the limit of {limit}.", hint=hint, param=param)


def in_mib(size_bytes: int) -> str:
    """A size as people say it."""
    return f"{size_bytes / MIB:.0f} MiB" if size_bytes >= MIB else f"{size_bytes} bytes"


def check_count(documents: int, limits: ApiSection, *, param: str) -> None:
    """Raises TooLarge for more documents than one analysis may have."""
    if documents > limits.max_documents:
        raise over("documents", f"{limits.max_documents} documents", "max_documents", param=param)


def announced_bytes(headers: Mapping[str, str]) -> int:
    """How large the body is going to be, as far as the sender says; 0 if it does not."""
    return _number(headers.get("content-length", ""))


def announced_lines(headers: Mapping[str, str]) -> int:
    """How many lines a file of jobs is going to have, as far as the sender says; 0 if it does not."""
    return _number(headers.get("x-viiwork-lines", ""))


def _number(said: str) -> int:
    return int(said) if said.isdecimal() and len(said) < 20 else 0


def check_announced(headers: Mapping[str, str], limit_bytes: int, what: str, setting: str, *, param: str) -> None:
    """Raises TooLarge for a body that says itself that it is over the limit, before any of it is read."""
    if announced_bytes(headers) > limit_bytes:
        raise over(what, in_mib(limit_bytes), setting, param=param)
