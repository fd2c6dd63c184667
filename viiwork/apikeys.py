"""API keys: what may be done with one, whose it is, and how its secret is told from any other. Pure.

A key reads `vw-<id>-<secret>`: the id finds its record, and 256 random bits are the secret. Kept is a plain SHA-256 of
the whole: what slow hashes protect is words that people choose, and these bits cannot be guessed from their hash. One
hash takes a microsecond on the way of every interactive request, where a slow one would take 100 ms, and would let a
stranger keep the service busy with wrong keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from viiwork.limits import Account, LimitFields, Limits
from viiwork.wire import Wire

VARIABLE = "VIIWORK_API_KEY"
"""What clients show a service; a secret, which no process of the fleet is handed on."""
KEY = re.compile(r"vw-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TENANT_PATTERN = r"^[A-Za-z0-9._@+-]{1,128}$"
"""As submitters' labels are, so that a key can be given what was sent before there were keys."""

KeyName = Annotated[str, Field(pattern=NAME_PATTERN)]
Tenant = Annotated[str, Field(pattern=TENANT_PATTERN)]


class Scope(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    """Everything, of every tenant: keys, cards and models too."""
    SUBMIT = "submit"
    """Send work of the own tenant, and steer or delete it."""
    READ = "read"
    """Look at the own tenant's work and its results, and at the fleet."""


EVERY_SCOPE = frozenset(Scope)
USUAL_SCOPES = (Scope.SUBMIT, Scope.READ)
"""Of a key that nobody said anything else of."""


class ApiKey(Wire):
    """One key without its secret. Moments are milliseconds since 1970, by Redis' clock."""

    id: str
    name: KeyName
    tenant: Tenant
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    created_ms: int = 0
    expires_ms: int | None = None
    hint: str = ""
    """How the key begins and ends: enough to tell it from others, of no use to anybody else."""
    two_until_ms: int | None = None
    """Until when the secret before the last rotation is valid too."""
    limits: Limits = Limits()
    """How much it may ask for; the fleet's own limits hold where it says nothing."""


class KeyShown(Wire):
    """A key with its secret, which is shown this once."""

    secret: str = Field(repr=False)
    key: ApiKey


class WhoAmI(Wire):
    """Who a service takes whoever asks for; without a key where it needs none."""

    tenant: str
    scopes: tuple[Scope, ...]
    key: ApiKey | None = None


class Keys(Wire):
    """All keys, by name."""

    keys: tuple[ApiKey, ...] = ()


def account_of(key: ApiKey | None, tenant: str, defaults: LimitFields) -> Account:
    """Who pays for what is sent with a key, or without one."""
    return Account(tenant, key=key.id, own=key.limits, defaults=defaults) if key else Account(tenant, defaults=defaults)


def new_id() -> str:
    """Of a key that is going to be made."""
    return f"key_{secrets.token_hex(6)}"


def new_secret(key_id: str) -> str:
    """What its holder sends, in whole."""
    return f"vw-{key_id.removeprefix('key_')}-{secrets.token_urlsafe(32)}"


def id_in(secret: str) -> str:
    """Which key's this would be; empty for what cannot be one."""
    found = KEY.fullmatch(secret)
    return f"key_{found[1]}" if found else ""


def hint_of(secret: str) -> str:
    """`vw-3f9a1c2b4d5e-…c9Xk`."""
    return f"{secret[:16]}…{secret[-4:]}"


def digest_of(secret: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def same(digest: str, kept: str) -> bool:
    """Whether two digests are one, in a time that tells nothing of where they part."""
    return hmac.compare_digest(digest, kept)
