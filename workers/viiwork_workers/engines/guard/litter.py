"""A folder for what an engine leaves in its temporary directory: vLLM leaves a socket or two at every start."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def clean_folder(mark: str) -> Path | None:
    """An empty folder of ours for the engine with this mark, each time the same one; None if none can be.

    Its path is short, unlike that of a state directory: the path of a socket may have 108 bytes.
    """
    path = Path(tempfile.gettempdir()) / f"viiwork-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
    remove(path)
    with suppress(OSError):
        path.mkdir(mode=0o700)
        return path
    return None


def remove(path: Path) -> None:
    """With all that is in it, if it is a folder of ours: among all users' files the name may be somebody else's."""
    with suppress(OSError):
        seen = path.lstat()
        if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)
