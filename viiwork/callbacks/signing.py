"""Whose secrets sign a callback: made, replaced, and opened when something is sent."""

from __future__ import annotations

from collections.abc import Mapping

from viiwork.callbacks.vault import Sealed, Vault, new_secret, signatures
from viiwork.errors import SettingsError
from viiwork.store import Store, endpoints
from viiwork.store.callbacks import now_ms
from viiwork.store.endpoints import SealedPair, tenant_owner

ROTATION_MS = 86_400_000
"""For so long the secret before the last rotation signs too."""


class Unsigned(Exception):
    """Raised when nothing can sign: the message says why, for people. `for_good`: no later try could."""

    def __init__(self, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.for_good = for_good


class Signing:
    """The secrets of one fleet."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def fresh(self, owner: str) -> tuple[str, SealedPair]:
        """A new secret, and what is to be kept of it."""
        secret = new_secret()
        return secret, SealedPair(self._vault.seal(secret, owner=owner))

    async def rotate(self, owner: str, *, at_once: bool = False) -> str:
        """A new secret; the one before signs too for a day, unless it ends at once."""
        secret, fresh = self.fresh(owner)
        before = await endpoints.pair_of(self._store, owner)
        until_ms = 0 if at_once else await now_ms(self._store) + ROTATION_MS
        await endpoints.put_pair(self._store, owner, before.after(fresh.secret, until_ms=until_ms) if before else fresh)
        return secret

    async def current(self, owner: str) -> str | None:
        """The newest secret, opened, for whoever did not hear the answer that had it; None where there is none."""
        pair = await endpoints.pair_of(self._store, owner)
        try:
            return self._vault.open(pair.secret, owner=owner) if pair else None
        except Sealed:
            return None

    async def has_own(self, tenant: str) -> bool:
        """Whether a submitter has the secret that URLs in its requests are signed with."""
        return await endpoints.pair_of(self._store, tenant_owner(tenant)) is not None

    async def headers(self, owner: str, *, message_id: str, body: str, at_ms: int) -> Mapping[str, str]:
        """What a callback carries. Raises Unsigned."""
        pair = await endpoints.pair_of(self._store, owner)
        if pair is None:
            gone = owner.startswith("ep_")
            raise Unsigned("Its endpoint was removed." if gone else "The submitter has no secret.", for_good=gone)
        try:
            secrets = [self._vault.open(each, owner=owner) for each in pair.at(at_ms)]
        except Sealed as error:
            raise Unsigned("Its secret cannot be opened with this callbacks.key; rotate it.") from error
        except SettingsError as error:
            raise Unsigned(error.message) from error
        at_s = at_ms // 1000
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signatures(secrets, message_id=message_id, at_s=at_s, body=body),
        }
