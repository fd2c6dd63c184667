"""Digests of files: sha256 as LFS and we keep it, and the hash by which git knows a small file."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK_BYTES = 1024 * 1024


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1_of(path: Path) -> str:
    """Of a file as a git blob: its length goes into the hash before its bytes."""
    running = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            running.update(block)
    return running.hexdigest()
