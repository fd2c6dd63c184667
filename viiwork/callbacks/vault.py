"""Signing secrets, and how they are kept: sealed with a key that is not in Redis."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from standardwebhooks import Webhook

from viiwork.errors import SettingsError
from viiwork.settings import CallbacksSection
from viiwork.statedir import write_private

KEY_FILE = "callbacks.key"
SECRET_BYTES = 32
NONCE_BYTES = 12
SHORTEST_KEY = 32


class Sealed(Exception):
    """Raised when what was sealed cannot be opened: with another key, or for somebody else."""


def new_secret() -> str:
    """A signing secret as the libraries of Standard Webhooks take it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signatures(secrets_: Sequence[str], *, message_id: str, at_s: int, body: str) -> str:
    """The header `webhook-signature`: one by each secret, so that a receiver may have either."""
    moment = datetime.fromtimestamp(at_s, UTC)
    return " ".join(Webhook(secret).sign(message_id, moment, body) for secret in secrets_)


class Vault:
    """Seals secrets (AES-256-GCM) for their owners: what was sealed for one cannot be passed off as another's."""

    def __init__(self, settings: CallbacksSection, state_dir: Path) -> None:
        self._settings, self._state_dir = settings, state_dir

    def seal(self, secret: str, *, owner: str) -> str:
        """What may lie in Redis."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), owner.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, owner: str) -> str:
        """The secret. Raises Sealed."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Sealed from error

    @cached_property
    def _cipher(self) -> AESGCM:
        """With the key of the settings, else the one in the state directory, which is made when it is missing."""
        key = self._settings.key or self._kept_key()
        if len(key) < SHORTEST_KEY:
            message = f"callbacks.key: must have at least {SHORTEST_KEY} characters."
            raise SettingsError(message, hint="Make one: `openssl rand -hex 32`.", param="callbacks.key")
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"viiwork callbacks").derive(key.encode())
        return AESGCM(derived)

    def _kept_key(self) -> str:
        """The state directory's. One that cannot be read is never replaced: all that it sealed would be lost."""
        path = self._state_dir / KEY_FILE
        try:
            if not path.exists():
                make_key(path)
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(f"{path} cannot be read or made: {reason}.", param="callbacks.key_file") from error


def make_key(path: Path) -> None:
    """Of several processes that make it at once all go by the one that was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private(fresh, secrets.token_hex(SECRET_BYTES) + "\n")
    with suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()
