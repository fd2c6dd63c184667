"""Worker tokens: what opens the blob routes to a joined computer. Kept as hashes in the state directory."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from viiwork.errors import Conflict, NotFound, StoreUnavailable, UsageError
from viiwork.statedir import write_private

FILE = "worker-tokens.json"
PREFIX = "vwt_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOOK_EVERY_S = 1.0
"""How soon a service that runs heeds a token that was made or revoked."""


class WorkerToken(BaseModel):
    """One token, by the name of who has it; the token itself is nowhere."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: str
    created: str


class TokenFile(BaseModel):
    """All of the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokens: tuple[WorkerToken, ...] = ()


class WorkerTokens:
    """The tokens of one fleet's state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._known: tuple[WorkerToken, ...] = ()
        self._until_s = 0.0

    def create(self, name: str) -> str:
        """A new token, which is shown this once. Raises UsageError for a name that cannot be, Conflict for one in use.

        Random in 256 bits, so that a plain hash keeps it as well as a slow one would.
        """
        if not NAME.fullmatch(name):
            raise UsageError("A token's name has letters, digits, '.', '_' and '-', such as the computer's own name.")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._changing():
            known = self.read()
            if any(held.name == name for held in known):
                raise Conflict(f"There is a token {name} already.", hint="Revoke it first, or choose another name.")
            created = datetime.now(UTC).isoformat(timespec="seconds")
            self._write((*known, WorkerToken(name=name, sha256=_digest(token), created=created)))
        return token

    def revoke(self, name: str) -> None:
        """Let it open nothing any more. Raises NotFound."""
        with self._changing():
            known = self.read()
            left = tuple(held for held in known if held.name != name)
            if left == known:
                raise NotFound(f"There is no token {name}.", hint="See `viiwork worker-token list`.")
            self._write(left)

    def read(self) -> tuple[WorkerToken, ...]:
        """Those there are. Raises StoreUnavailable for a file that cannot be read: nobody may take it for none."""
        try:
            return TokenFile.model_validate_json(self._path.read_bytes()).tokens
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise StoreUnavailable(
                f"{FILE} in the state directory cannot be read.", hint="Make the tokens anew."
            ) from error

    def holder(self, token: str) -> str:
        """Whose token this is; empty for one that opens nothing. Every hash is compared, each in constant time."""
        if time.monotonic() >= self._until_s:
            self._known, self._until_s = self.read(), time.monotonic() + LOOK_EVERY_S
        given = _digest(token)
        found = [held.name for held in self._known if hmac.compare_digest(held.sha256, given)]
        return found[0] if found else ""

    def _write(self, tokens: tuple[WorkerToken, ...]) -> None:
        write_private(self._path, TokenFile(tokens=tokens).model_dump_json(indent=1) + "\n")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One at a time."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("a") as lock:
                flock(lock, LOCK_EX)
                yield
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}.") from error


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
