"""What names a request, and what it is about."""

from __future__ import annotations

import re
import secrets

from viiwork.errors import NotFound


def new_key() -> str:
    """A new Idempotency-Key."""
    return f"viiwork-{secrets.token_hex(16)}"


def safe(any_id: str) -> str:
    """An id that can stand in a path. Raises NotFound."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", any_id):
        raise NotFound("This is not the whole id of a job or an analysis.", hint="`viiwork list` shows analyses.")
    return any_id
