"""The documents: Debian packages of fixed versions, so that a figure means the same everywhere and every time.

Nothing of them is passed on with this project: they are fetched from a Debian mirror, checked against the digests
below, and unpacked here without any program of Debian's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from viiwork.errors import DocumentError, Unavailable

MIRRORS = (
    "https://deb.debian.org/debian/pool/main/",
    "https://snapshot.debian.org/archive/debian/20250520T000000Z/pool/main/",
)
"""The second has what the first no longer has."""
TIMEOUT_S = 60.0
OnBytes = Callable[[str, int], None]
"""Called with a package's name and how many bytes of it came."""


@dataclass(frozen=True, slots=True)
class Package:
    """One file of Debian's pool."""

    path: str
    sha256: str

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]


PACKAGES = {
    "debian-faq": Package(
        "d/debian-faq/debian-faq_11.1_all.deb", "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0"
    ),
    "debian-policy": Package(
        "d/debian-policy/debian-policy_4.6.2.0_all.deb",
        "ef9d01b625c3b87c3a845c2cd1b66f1a16e9240b2b9e5bee53472a00e8457a39",
    ),
    "fortunes": Package(
        "f/fortune-mod/fortunes_1.99.1-7.3_all.deb", "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5"
    ),
    "fortunes-min": Package(
        "f/fortune-mod/fortunes-min_1.99.1-7.3_all.deb",
        "9eed5b45064e41133dae0967cf3a17588ad77c014fcc7bf1527fa3ea48e44d07",
    ),
    "manpages": Package(
        "m/manpages/manpages_6.03-2_all.deb", "efa1ba4cd19ad7baeae959c9209a7eb74be2ebb858bcabb412597bfc9f588c91"
    ),
}


class Library:
    """Packages in a folder of this machine: fetched and unpacked once."""

    def __init__(self, folder: Path, *, on_bytes: OnBytes = lambda _name, _bytes: None) -> None:
        self._folder, self._on_bytes = folder, on_bytes

    def unpacked(self, name: str) -> Path:
        """The folder with a package's files, compressed ones expanded. Raises Unavailable, DocumentError."""
        package = PACKAGES[name]
        place = self._folder / f"{package.file.removesuffix('.deb')}-{package.sha256[:12]}"
        if not place.is_dir():
            made = place.with_suffix(".part")
            shutil.rmtree(made, ignore_errors=True)
            unpack(self._fetched(name, package), made)
            made.rename(place)  # only what is whole has this name
        return place

    def _fetched(self, name: str, package: Package) -> bytes:
        kept = self._folder / package.file
        if kept.is_file() and _digest(data := kept.read_bytes()) == package.sha256:
            return data
        data = self._downloaded(name, package)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_bytes(data)
        part.rename(kept)
        return data

    def _downloaded(self, name: str, package: Package) -> bytes:
        why = list[str]()
        for mirror in MIRRORS:
            try:
                data = _got(mirror + package.path, lambda count: self._on_bytes(name, count))
            except httpx.HTTPError as error:
                why.append(f"{httpx.URL(mirror).host}: {_told(error)}")
                continue
            if _digest(data) == package.sha256:
                return data
            why.append(f"{httpx.URL(mirror).host}: what came is not the package, by its SHA-256")
        raise Unavailable(
            f"the Debian package {package.file} cannot be fetched ({'; '.join(why)}).",
            hint=f"Fetch pool/main/{package.path} where there is a network, and put it into {self._folder}; or leave "
            "out what needs it: `--only quotes --only merge --only samples` needs no download.",
        )


def _got(url: str, on_bytes: Callable[[int], None]) -> bytes:
    data = bytearray()
    with httpx.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=True) as reply:
        reply.raise_for_status()
        for piece in reply.iter_bytes():
            data += piece
            on_bytes(len(piece))
    return bytes(data)


def _told(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return "no answer in time" if isinstance(error, httpx.TimeoutException) else "not reachable"


def unpack(package: bytes, into: Path) -> None:
    """The plain files of a Debian package, those that are gzipped expanded. Raises DocumentError.

    Links and devices are left out, and so is whatever would be written beside `into`.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_data_of(package))) as files:
            for member in files:
                if member.isreg():
                    files.extract(member, into, filter="data")
        for path in sorted(into.rglob("*.gz")):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DocumentError("a Debian package cannot be unpacked.", hint="Remove it from the cache.") from error


def _data_of(package: bytes) -> bytes:
    """The member `data.tar.*` of the `ar` archive that a .deb is (deb(5)). Raises ValueError."""
    at = 8
    while package[:at].startswith(b"!<arch>\n") and at < len(package):
        header = package[at : at + 60]
        size = int(header[48:58])
        if header.startswith(b"data.tar"):
            return package[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise ValueError("no data in it")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
