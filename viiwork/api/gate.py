"""Who comes in: the key that a request shows, or the label that it carries where keys are off."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import Scope as AsgiScope

from viiwork.api.keyring import Keyring
from viiwork.api.principal import Principal
from viiwork.errors import StartupError, Unauthorized
from viiwork.settings import ApiSection, Settings
from viiwork.store import apikeys
from viiwork.store.blobwire import BLOBS_PATH
from viiwork.store.connection import Connection

HEALTH = "/health/"
"""Whoever keeps the service running asks there, and is told nothing else."""
NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._@+-]")
NOBODY = Principal(tenant="", scopes=frozenset())
"""Who asks where no key is needed, of a service that needs one elsewhere: may see and do nothing more."""


class Gate:
    """Tells who sends a request."""

    def __init__(self, api: ApiSection) -> None:
        self.keys_on = keys_on(api)

    async def who(self, scope: AsgiScope, headers: Headers) -> Principal:
        """Who sends it. Raises Unauthorized, StoreUnavailable."""
        if not self.keys_on:
            return labelled(scope, headers)
        if is_open(scope["path"]):
            return NOBODY
        keyring: Keyring = scope["app"].state.keyring
        key = await keyring.holder(shown(headers))
        return Principal(tenant=key.tenant, scopes=frozenset(key.scopes), key=key)


def is_open(path: str) -> bool:
    """Whether an address asks for no key: that of the service's health, and blobs, which have tokens of their own."""
    return path.startswith(HEALTH) or path == BLOBS_PATH or path.startswith(f"{BLOBS_PATH}/")


def shown(headers: Headers) -> str:
    """The secret that a request shows. Raises Unauthorized."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        hint = "Send it as `Authorization: Bearer vw-…`; `viiwork login` keeps one for the commands."
        raise Unauthorized("You did not provide an API key.", hint=hint)
    return secret.strip()


def labelled(scope: AsgiScope, headers: Headers) -> Principal:
    """The submitter that the request names; a label, not a proof."""
    client = scope.get("client")
    label = NOT_IN_LABELS.sub("_", headers.get("x-viiwork-submitter", "").strip())[:128]
    return Principal(tenant=label or f"anonymous@{client[0] if client else 'unknown'}")


def keys_on(api: ApiSection) -> bool:
    """Whether requests need a key."""
    return api.keys == "on" or (api.keys == "auto" and bool(reached_as(api)))


def reached_as(api: ApiSection) -> str:
    """Where others than this computer reach the API: `api.host`, or by a proxy one of `api.hosts`; empty if nowhere."""
    return next(iter(api.hosts), "") if is_loopback(api.host) else api.host or "every address"


async def check_keys(settings: Settings, store: Connection) -> None:
    """Raises StartupError where everybody who reaches the API could use it, or nobody could."""
    api = settings.api
    if api.keys == "off" and (name := reached_as(api)):
        setting = "api.hosts" if is_loopback(api.host) else "api.host"
        message = f"api.keys is off and {setting} is {name}: whoever reaches that could read and send everything."
        hint = "Leave api.keys at auto, or listen on 127.0.0.1 and name no api.hosts."
        raise StartupError(message, hint=hint)
    if keys_on(api) and not await apikeys.any_there(store):
        where = f" on {name}" if (name := reached_as(api)) else ""
        hint = "Make one with `viiwork keys create NAME --scope admin`" + (
            ", or listen on 127.0.0.1." if where else "."
        )
        raise StartupError(f"The API{where} needs API keys, and there is none yet.", hint=hint)


def is_loopback(name: str) -> bool:
    """Whether `name` is this computer's own."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
