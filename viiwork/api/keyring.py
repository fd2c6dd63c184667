"""Whose key a request shows. What was found is known for a second, so that a person's request rarely waits for it."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from viiwork.apikeys import ApiKey, digest_of, id_in
from viiwork.errors import StoreUnavailable, Unauthorized
from viiwork.store import apikeys
from viiwork.store.connection import Connection

FRESH_S = 1.0
"""How soon a key that was revoked, rotated or has expired opens nothing any more, in every process of the API."""
AWAY_S = 600.0
"""While Redis does not answer, a key that it knew is good for so long: whoever looks must be told that it is away."""
KNOWN = 4096
"""Keys that are remembered, those that were used last. Of wrong ones nothing is."""


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was found to be valid, and when."""

    key: ApiKey
    at_s: float


class Keyring:
    """The keys of one store, as one process knows them."""

    def __init__(self, store: Connection) -> None:
        self._store = store
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def holder(self, secret: str) -> ApiKey:
        """The key that this is the secret of. Raises Unauthorized, StoreUnavailable."""
        digest = digest_of(secret)
        known = self._known.get(digest)
        if known is not None and time.monotonic() < known.at_s + FRESH_S:
            return known.key
        try:
            key = await self._look_up(secret, digest)
        except StoreUnavailable:
            if known is not None and time.monotonic() < known.at_s + AWAY_S:
                return known.key
            raise
        except Unauthorized:
            self._known.pop(digest, None)
            raise
        self._remember(digest, key)
        return key

    async def _look_up(self, secret: str, digest: str) -> ApiKey:
        key_id = id_in(secret)
        held = await apikeys.held_by(self._store, key_id) if key_id else None
        if held is None or not held.opens(digest):
            hint = "It may have been revoked or replaced. Ask whoever runs this service for another."
            raise Unauthorized("Incorrect API key provided.", hint=hint)
        if held.expired:
            raise Unauthorized("This API key has expired.", hint="Ask whoever runs this service for another.")
        return held.key

    def _remember(self, digest: str, key: ApiKey) -> None:
        self._known[digest] = Known(key, time.monotonic())
        self._known.move_to_end(digest)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
