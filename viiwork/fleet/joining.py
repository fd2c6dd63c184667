"""A computer that joins a fleet whose head is another: what must be right before its first worker starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from viiwork.errors import SettingsError, StartupError, StoreUnavailable
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.blobwire import Standing
from viiwork.store.endpoint import safe_address
from viiwork.store.pairing import Pairing
from viiwork.store.server_facts import is_loopback
from viiwork.wire import SCHEMA

LOOK_EVERY_S = 1.0


def check_joinable(settings: Settings) -> None:
    """Raises SettingsError for a role, a Redis and a way to the blobs that do not go together."""
    blobs = settings.blobs
    if not settings.joined:
        if blobs.url:
            told = "blobs.url is for a computer that joins a fleet; the head has the blobs itself."
            raise SettingsError(told, hint="Leave it out, or start this one with --role worker.", param="blobs.url")
        return
    if settings.redis.url == "embedded":
        raise SettingsError(
            "a worker host has no Redis of its own: it needs the one of the fleet's head.",
            hint="Give --redis rediss://…, VIIWORK_REDIS_URL or redis.url_file. The embedded server serves its own "
            "computer alone; docs/deploy.md says how a head runs one that others reach.",
            param="redis.url",
        )
    if blobs.url and not blobs.token:
        hint = (
            "Put one that the head made (`viiwork worker-token create`) into blobs.token_file or VIIWORK_BLOBS_TOKEN."
        )
        raise SettingsError("blobs.url needs a worker token.", hint=hint, param="blobs.token")
    if blobs.url and not blobs.plain_http and in_clear(blobs.url):
        raise SettingsError(
            f"{blobs.url} would send documents and the worker token over the network in clear text.",
            hint="Use https://, or a tunnel; where the network itself is private, set blobs.plain_http.",
            param="blobs.url",
        )


def in_clear(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    return url.startswith("http:") and not is_loopback(urlsplit(url).hostname or "")


async def check_blobs(settings: Settings, store: Store, *, tidy: bool = True) -> None:
    """Raises StartupError when the blobs here are not those of this Redis' fleet, StoreUnavailable for no answer.

    With `tidy` no worker of this computer runs: what killed ones left of their copies is removed.
    """
    from viiwork.store.blobhttp import RemoteBlobs  # noqa: PLC0415 - aiohttp: a head has no use for it

    if isinstance(store.blobs, RemoteBlobs):
        if tidy:
            await asyncio.to_thread(store.blobs.cache.clear_unfinished)
            await asyncio.to_thread(store.blobs.cache.tidy)
        standing = await store.blobs.standing()
        if told := mismatch(standing, fleet=settings.fleet.name, belongs_to=await belongs_to(store)):
            raise StartupError(f"the API at {settings.blobs.url} {told}.", hint="Check blobs.url and redis.url.")
        return
    here, there = await Pairing(store, store.directory.root).read()
    if not there or here != there:
        where = safe_address(settings.redis.url)
        raise StartupError(
            f"{store.directory.root} on this computer is not the blob directory of the fleet at {where}.",
            hint="Name the head's API with --api URL, or mount its directory here and name it in blobs.dir.",
        )


async def belongs_to(store: Store) -> str:
    """The id that Redis has for the fleet's blob directory; empty before a head has started on it."""
    (known,) = await store.read([("GET", f"{store.prefix}blobdir")])
    return known or ""


def mismatch(standing: Standing, *, fleet: str, belongs_to: str) -> str:
    """What is wrong with an API for a computer whose Redis says this; empty if nothing is. Pure."""
    if standing.fleet != fleet:
        return f"is that of the fleet '{standing.fleet}', not of '{fleet}'"
    if standing.schema_version != SCHEMA:
        return f"speaks schema {standing.schema_version} and this computer {SCHEMA}: install the head's version here"
    if not standing.belongs_to:
        return "has blobs that know no Redis yet: run `viiwork gc` on the head once"
    if standing.belongs_to != belongs_to:
        return "has other blobs than those that this Redis names"
    return ""


class HeadWatch:
    """Says when the fleet is closed on its head, and when it is open again."""

    def __init__(self, store: Store, *, tell: Callable[[str], None]) -> None:
        self._store, self._tell = store, tell
        self._closed = False
        self._next_s = 0.0

    async def look(self) -> None:
        """Once a second at most; a Redis that does not answer says nothing."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + LOOK_EVERY_S
        with suppress(StoreUnavailable):
            closed = await self._store.closing()
            if closed != self._closed:
                self._closed = closed
                self._tell(CLOSED if closed else OPEN)


CLOSED = "The fleet was closed on its head: this computer's workers take nothing more and wait for it."
OPEN = "The fleet is open again: this computer's workers go on."
