"""Where a person keeps the API keys of the services that they use: a file for its owner alone, by address.

`$XDG_CONFIG_HOME/viiwork/logins.json`, else `~/.config/viiwork/logins.json`, mode 0600.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import httpx

from viiwork.errors import UsageError

FILE = "logins.json"


def default_place(environ: Mapping[str, str]) -> Path | None:
    """The file; None for a system service without a home."""
    base, home = environ.get("XDG_CONFIG_HOME"), environ.get("HOME")
    if not base and not home:
        return None
    return Path(base or Path(home or "", ".config")) / "viiwork" / FILE


class Logins:
    """The keys of one file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of_user(cls) -> Logins:
        """Those of whoever runs this process."""
        return cls(default_place(os.environ))

    def key(self, url: str) -> str:
        """What is kept for this service; empty where there is nothing. A file that cannot be read holds nothing."""
        return self._read().get(origin_of(url), "")

    def keep(self, url: str, key: str) -> Path:
        """Keep a key for this service. Raises UsageError."""
        return self._write({**self._read(), origin_of(url): key})

    def forget(self, url: str) -> bool:
        """Whether there was one. Raises UsageError."""
        known = self._read()
        if known.pop(origin_of(url), None) is None:
            return False
        self._write(known)
        return True

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_bytes()) if self._path else {}
        except (OSError, ValueError):
            return {}
        return {str(url): str(key) for url, key in found.items()} if isinstance(found, dict) else {}

    def _write(self, known: Mapping[str, str]) -> Path:
        if self._path is None:
            raise UsageError("There is no home directory to keep a key in.", hint="Set VIIWORK_API_KEY instead.")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._path.with_name(f".{FILE}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(json.dumps(known, indent=1) + "\n")
            fresh.replace(self._path)
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}.") from error
        return self._path


def origin_of(url: str) -> str:
    """Scheme, host, port and path of a service, without a login: what is the same service."""
    parsed = httpx.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}{port}{parsed.path.rstrip('/')}"
