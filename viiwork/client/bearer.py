"""The API key that a client shows: which one, and how it travels."""

from __future__ import annotations

import os
from collections.abc import Generator

import httpx

from viiwork.apikeys import VARIABLE
from viiwork.errors import UsageError
from viiwork.logins import Logins


class Bearer(httpx.Auth):
    """Shows a key with every request. A login in the service's URL has no say then."""

    def __init__(self, key: str) -> None:
        self._shown = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = self._shown
        yield request


def bearer_for(url: str, given: str | None) -> Bearer | None:
    """Of the key that was given, else of `VIIWORK_API_KEY`, else of what `viiwork login` keeps for this service.

    None where there is none: not every service needs one. Raises UsageError for what no header can carry.
    """
    key = (os.environ.get(VARIABLE, "") or Logins.of_user().key(url) if given is None else given).strip()
    if not key:
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        message = "The API key has characters that no API key has."
        raise UsageError(message, hint="Copy it again: it begins with vw-.", param="api_key")
    return Bearer(key)
