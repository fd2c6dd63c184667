"""The Lua scripts, one file each, and how they are called: one at a time or many in one pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from viiwork.store.luapieces import needed
from viiwork.store.trip import Command, trip

LIBRARY = ("accounts", "kept", "lib")
"""What scripts share, in this order: each starts with the pieces that it needs."""
Arg = str | int | float | bytes
HEADER = "#!lua"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one script."""

    script: str
    args: tuple[Arg, ...]


class Scripts:
    """Every script's source and digest. Scripts take the fleet's key prefix as their one key.

    `headers=False` leaves out the `#!lua flags=…` line, which Redis 7 needs to let a full server finish what runs
    and which fakeredis cannot parse.
    """

    def __init__(self, *, prefix: str, headers: bool = True) -> None:
        self._prefix = prefix
        self._sources = _sources(headers=headers)
        self._digests = {name: _digest(source) for name, source in self._sources.items()}

    async def call(self, client: Redis, script: str, *args: Arg) -> Any:
        """Run one script. Raises redis' own errors."""
        try:
            return await client.evalsha(self._digests[script], 1, self._prefix, *args)
        except NoScriptError:
            return await client.eval(self._sources[script], 1, self._prefix, *args)

    async def call_many(self, client: Redis, calls: Sequence[Call | Command]) -> list[Any]:
        """Run many, and plain commands among them, in one round trip; each answer is a reply or an error, in order."""
        replies = await self._send(client, calls)
        missing = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if (
            missing
        ):  # a server that restarted has forgotten them; these calls did nothing, so sending them again is safe
            await self.load(client)
            for at, reply in zip(missing, await self._send(client, [calls[at] for at in missing]), strict=True):
                replies[at] = reply
        return replies

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        return list(self._sources)

    def name_of(self, digest: str) -> str:
        """The script that the server knows by this digest; empty when it is none of ours."""
        return next((name for name, known in self._digests.items() if known == digest), "")

    def source(self, script: str) -> str:
        """One script's text, for a client of another kind, such as kombu's."""
        return self._sources[script]

    async def load(self, client: Redis) -> None:
        """Make the server know every script."""
        for source in self._sources.values():
            await client.script_load(source)

    async def _send(self, client: Redis, calls: Sequence[Call | Command]) -> list[Any]:
        return await trip(client, [call if isinstance(call, tuple) else self.command(call) for call in calls])

    def command(self, call: Call) -> Command:
        """The same as a plain command, which a server that does not know the script refuses."""
        return ("EVALSHA", self._digests[call.script], 1, self._prefix, *call.args)


@cache
def _sources(*, headers: bool) -> Mapping[str, str]:
    """Of all scripts, put together once a process: it takes a twentieth of a second."""
    return {name: _source(name, headers=headers) for name in _names()}


def _names() -> list[str]:
    folder = files(__package__) / "lua"
    stems = (entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua"))
    return sorted(name for name in stems if name not in LIBRARY)


def _source(name: str, *, headers: bool) -> str:
    folder = files(__package__) / "lua"
    header, _, body = (folder / f"{name}.lua").read_text("utf-8").partition("\n")
    return (f"{header}\n" if headers else "") + needed(library(), body) + body


def library() -> str:
    """All that scripts share."""
    folder = files(__package__) / "lua"
    return "".join((folder / f"{part}.lua").read_text("utf-8") for part in LIBRARY)


def _digest(source: str) -> str:
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
