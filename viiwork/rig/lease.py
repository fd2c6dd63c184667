"""The lease by which workers are held while others are measured; it is over soon after whoever took it is gone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress

from viiwork.client import Client
from viiwork.errors import ViiworkError

LASTS_S = 20.0
RENEWED_S = 4.0
WHY = "viiwork bench measures other workers."


class Lease:
    """`with Lease(client) as lease`. It is also what keeps a second measurement away, so it is held to the end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._owner = f"bench-{secrets.token_hex(6)}"
        self._at_most: dict[str, int] = {}
        self._said_s = 0.0

    def __enter__(self) -> Lease:
        """Raises Conflict while somebody else holds workers."""
        self._say()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ViiworkError):  # then it is over by itself
            self._client.lift_hold(self._owner)

    def hold(self, at_most: Mapping[str, int]) -> None:
        """From now on these workers have at most so many jobs each, and no others are held."""
        self._at_most = dict(at_most)
        self._say()

    def renew(self) -> None:
        """To be called once a second or so."""
        if time.monotonic() - self._said_s >= RENEWED_S:
            self._say()

    def _say(self) -> None:
        self._client.hold(self._at_most, owner=self._owner, why=WHY, for_s=LASTS_S)
        self._said_s = time.monotonic()
