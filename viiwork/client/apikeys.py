"""API keys: who a service takes one for, and, for admins, keys for others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from viiwork.allowance import LimitsInUse
from viiwork.apikeys import NAME_PATTERN, USUAL_SCOPES, ApiKey, Keys, KeyShown, Scope, WhoAmI
from viiwork.client.keys import new_key
from viiwork.client.operation import operation
from viiwork.client.steps import Steps
from viiwork.client.wired import Wired
from viiwork.errors import NotFound

KEYS = "/v1/keys"


class ApiKeys(Wired):
    """What can be asked of keys. All but `whoami` needs an admin's."""

    @operation
    def whoami(self) -> Steps[WhoAmI]:
        """Whose key is shown, and what it is for; `.key` is None where the service needs none."""
        return (yield from self._wire.ask(WhoAmI, "GET", "/v1/whoami"))

    @operation
    def api_keys(self) -> Steps[tuple[ApiKey, ...]]:
        """All keys, by name."""
        return (yield from self._wire.ask(Keys, "GET", KEYS)).keys

    @operation
    def create_api_key(
        self,
        name: str,
        *,
        tenant: str | None = None,
        scopes: Sequence[Scope | str] = USUAL_SCOPES,
        expires_s: float | None = None,
        limits: Mapping[str, int | str | None] | None = None,
    ) -> Steps[KeyShown]:
        """A new key, by default of a tenant of its own name. Its `.secret` is shown this once. Raises Conflict.

        `limits` are by their names in the settings' table `[limits]`, such as `{"monthly_tokens": 5_000_000}`.
        """
        said = {"name": name, "tenant": tenant, "scopes": [str(one) for one in scopes], "expires_s": expires_s}
        body: dict[str, Any] = {field: value for field, value in said.items() if value is not None}
        if limits:
            body["limits"] = dict(limits)
        return (yield from self._wire.ask(KeyShown, "POST", KEYS, json=body, headers=_once()))

    @operation
    def rotate_api_key(self, name: str, *, overlap_s: float | None = None) -> Steps[KeyShown]:
        """A new secret for a key, by name or id; the one before is valid for a day more, or `overlap_s`."""
        path, body = f"{KEYS}/{_named(name)}/rotate", {} if overlap_s is None else {"overlap_s": overlap_s}
        return (yield from self._wire.ask(KeyShown, "POST", path, json=body, headers=_once()))

    @operation
    def revoke_api_key(self, name: str) -> Steps[ApiKey]:
        """Let a key open nothing any more, by name or id. Raises NotFound."""
        return (yield from self._wire.ask(ApiKey, "DELETE", f"{KEYS}/{_named(name)}"))

    @operation
    def limits(self) -> Steps[LimitsInUse]:
        """What this client may use, and how much of it is left; any key may ask."""
        return (yield from self._wire.ask(LimitsInUse, "GET", "/v1/limits"))

    @operation
    def api_key_limits(self, name: str) -> Steps[LimitsInUse]:
        """What the holder of a key may use, and how much of it is left. Raises NotFound."""
        return (yield from self._wire.ask(LimitsInUse, "GET", f"{KEYS}/{_named(name)}/limits"))

    @operation
    def limit_api_key(self, name: str, limits: Mapping[str, int | str | None]) -> Steps[ApiKey]:
        """Say how much a key may ask for: what is not named stays, `"none"` lifts a limit, None is the fleet's own."""
        return (yield from self._wire.ask(ApiKey, "POST", f"{KEYS}/{_named(name)}/limits", json=dict(limits)))


def _named(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise NotFound("There is no such API key.")
    return name


def _once() -> dict[str, str]:
    return {"idempotency-key": new_key()}
