"""What the kernel shows of this machine in files, below a root that tests and containers may move."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")


class Host:
    """Files by their absolute names. Each call raises nothing but OSError."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def text(self, name: str) -> str:
        """A file's text without the blanks around it. Raises OSError: the errno says why."""
        return self.path(name).read_bytes().decode("utf-8", "replace").strip()

    def names(self, folder: str) -> list[str]:
        """What lies in a folder; nothing if it is not there."""
        try:
            return sorted(entry.name for entry in self.path(folder).iterdir())
        except OSError:
            return []

    def exists(self, name: str) -> bool:
        """Whether there is such a file, folder or device."""
        return self.path(name).exists()

    def openable(self, name: str) -> bool:
        """Whether this process may read and write it."""
        return os.access(self.path(name), os.R_OK | os.W_OK)

    def real(self, name: str) -> str:
        """Where a link in the end leads, as a name below the root; the name itself if that is outside."""
        try:
            return "/" + self.path(name).resolve().relative_to(self.root.resolve()).as_posix()
        except (OSError, ValueError):
            return name

    def path(self, name: str) -> Path:
        """Where an absolute name lies below the root."""
        return self.root / name.lstrip("/")
