"""Who carries out what `viiwork keys` is asked: the fleet's store on this computer, or a service over HTTP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from viiwork.allowance import LimitsInUse
from viiwork.apikeys import ApiKey, KeyShown, Scope, account_of
from viiwork.auditlog import AuditLog
from viiwork.client import Client
from viiwork.client.client import default_submitter
from viiwork.errors import Unauthorized, UsageError
from viiwork.limits import NO_LIMITS, changed
from viiwork.settings import Settings
from viiwork.store import Store, apikeys
from viiwork.store.accounts import used
from viiwork.store.visiting import visit

T = TypeVar("T")
Said = Mapping[str, int | str | None]
"""Limits by their names; None goes back to the fleet's own."""


class Desk(Protocol):
    """Makes keys and ends them."""

    def create(
        self, name: str, *, tenant: str, scopes: Sequence[Scope], expires_s: float | None, limits: Said
    ) -> KeyShown: ...
    def every(self) -> tuple[ApiKey, ...]: ...
    def rotate(self, name: str, *, overlap_s: float) -> KeyShown: ...
    def revoke(self, name: str) -> ApiKey: ...
    def limit(self, name: str, limits: Said) -> None: ...
    def limits(self, name: str) -> LimitsInUse: ...


class StoreDesk:
    """On the computer that has the state directory, or whose settings name the fleet's Redis; it needs no key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._audit = AuditLog(settings.state_dir)

    def create(
        self, name: str, *, tenant: str, scopes: Sequence[Scope], expires_s: float | None, limits: Said
    ) -> KeyShown:
        """Raises Conflict."""

        async def made(store: Store) -> KeyShown:
            own = changed(NO_LIMITS, limits)
            return await apikeys.create(store, name, tenant=tenant, scopes=scopes, expires_s=expires_s, limits=own)

        shown = self._do(made)
        said: dict[str, Any] = {"name": name, "tenant": shown.key.tenant, "scopes": [str(one) for one in scopes]}
        said |= {"limits": dict(limits)} if limits else {}
        self._note("key.created", shown.key, said | ({"expires_s": expires_s} if expires_s else {}))
        return shown

    def every(self) -> tuple[ApiKey, ...]:
        """By name."""
        return self._do(apikeys.every)

    def rotate(self, name: str, *, overlap_s: float) -> KeyShown:
        """Raises NotFound."""

        async def rotated(store: Store) -> KeyShown:
            return await apikeys.rotate(store, await apikeys.find(store, name), overlap_s=overlap_s)

        shown = self._do(rotated)
        self._note("key.rotated", shown.key, {"key_name": shown.key.name, "overlap_s": overlap_s})
        return shown

    def revoke(self, name: str) -> ApiKey:
        """Raises NotFound."""

        async def revoked(store: Store) -> ApiKey:
            key = await apikeys.find(store, name)
            await apikeys.revoke(store, key)
            return key

        key = self._do(revoked)
        self._note("key.revoked", key, {"key_name": key.name})
        return key

    def limit(self, name: str, limits: Said) -> None:
        """Raises NotFound."""

        async def limited(store: Store) -> ApiKey:
            key = await apikeys.find(store, name)
            return await apikeys.limit(store, key, changed(key.limits, limits))

        key = self._do(limited)
        self._note("key.limited", key, {"key_name": key.name} | dict(limits))

    def limits(self, name: str) -> LimitsInUse:
        """Raises NotFound."""

        async def looked(store: Store) -> LimitsInUse:
            key = await apikeys.find(store, name)
            return await used(store, account_of(key, key.tenant, self._settings.limits))

        return self._do(looked)

    def audited(self, limit: int) -> list[dict[str, Any]]:
        """The last lines of the audit log. Raises UsageError."""
        try:
            return list(deque(self._audit.read(), maxlen=limit))
        except OSError as error:
            raise UsageError(f"{self._audit.path} cannot be read: {error.strerror}.") from error

    def _do(self, work: Callable[[Store], Awaitable[T]]) -> T:
        async def done() -> T:
            async with visit(self._settings) as store:
                return await work(store)

        return asyncio.run(done())

    def _note(self, act: str, key: ApiKey, said: dict[str, Any]) -> None:
        note_here(self._settings, act, said, owner=key.tenant)


def note_here(settings: Settings, act: str, said: dict[str, Any], **more: str) -> None:
    """Write down what whoever owns this computer's fleet did to it."""
    AuditLog(settings.state_dir).write(act, by=f"{default_submitter()} on the host", said=said, **more)


class HttpDesk:
    """Over HTTP, with an admin's key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, name: str, *, tenant: str, scopes: Sequence[Scope], expires_s: float | None, limits: Said
    ) -> KeyShown:
        """Raises Conflict."""
        with self._asking() as client:
            return client.create_api_key(name, tenant=tenant or None, scopes=scopes, expires_s=expires_s, limits=limits)

    def every(self) -> tuple[ApiKey, ...]:
        """By name."""
        with self._asking() as client:
            return client.api_keys()

    def rotate(self, name: str, *, overlap_s: float) -> KeyShown:
        """Raises NotFound."""
        with self._asking() as client:
            return client.rotate_api_key(name, overlap_s=overlap_s)

    def revoke(self, name: str) -> ApiKey:
        """Raises NotFound."""
        with self._asking() as client:
            return client.revoke_api_key(name)

    def limit(self, name: str, limits: Said) -> None:
        """Raises NotFound."""
        with self._asking() as client:
            client.limit_api_key(name, limits)

    def limits(self, name: str) -> LimitsInUse:
        """Raises NotFound."""
        with self._asking() as client:
            return client.api_key_limits(name)

    @contextmanager
    def _asking(self) -> Iterator[Client]:
        """Somebody who is about to make the first key may have the service's address in their environment."""
        try:
            with self._client as client:
                yield client
        except Unauthorized as error:
            here = "On the fleet's own computer no key is needed: `env -u VIIWORK_URL viiwork keys …`."
            raise Unauthorized(error.message, hint=f"{error.hint} {here}".strip()) from error
