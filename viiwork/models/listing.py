"""What a hub says it has of a model at one commit. It is hostile input until it is checked here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from viiwork.errors import ModelError
from viiwork.models.names import COMMIT, escapes, is_safe
from viiwork.models.record import RECORD_FILE

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file: `sha256` of what is kept in LFS, else `git_sha1`."""

    path: str
    size: int
    """Bytes."""
    sha256: str = ""
    git_sha1: str = ""

    @property
    def digest(self) -> str:
        """What its bytes must hash to."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit's files."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]
    license: str = ""
    gated: bool = False


def checked(listing: Listing, *, asked: str) -> Listing:
    """The listing without hidden and oddly named files. Raises ModelError when it cannot be trusted.

    A hub that is asked for a commit must answer with that very one.
    """
    if not COMMIT.fullmatch(listing.commit):
        raise _untrusted(listing, "it names no commit")
    if COMMIT.fullmatch(asked) and listing.commit != asked:
        raise _untrusted(listing, f"asked for commit {asked} it answers with {listing.commit}")
    for file in listing.files:
        if escapes(file.path):
            raise _untrusted(listing, f"the file name {file.path[:120]!a} leads out of the model's directory")
    files = tuple(file for file in listing.files if is_safe(file.path) and file.path != RECORD_FILE)
    for file in files:
        _check(listing, file)
    _check_apart(listing, [file.path for file in files])
    return Listing(listing.repo, listing.commit, files, listing.license, listing.gated)


def _check(listing: Listing, file: HubFile) -> None:
    if file.size < 0 or not (SHA256.fullmatch(file.sha256) or COMMIT.fullmatch(file.git_sha1)):
        raise _untrusted(listing, f"it tells no size and hash of '{file.path}'")


def _check_apart(listing: Listing, paths: list[str]) -> None:
    """No name comes twice, and none is a file here and a directory there."""
    parents = {parent for path in paths for parent in _parents(path)}
    if len(set(paths)) < len(paths) or parents & set(paths):
        raise _untrusted(listing, "the same file name comes twice")


def _parents(path: str) -> Iterable[str]:
    components = path.split("/")
    return ("/".join(components[:end]) for end in range(1, len(components)))


def _untrusted(listing: Listing, reason: str) -> ModelError:
    return ModelError(
        f"the hub's list of {listing.repo} cannot be trusted: {reason}. Nothing was fetched.",
        hint="Check models.endpoint.",
    )
