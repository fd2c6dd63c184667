"""A backup's file: what is written is read, and whatever happens to it is noticed before anything is done with it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.errors import UsageError
from viiwork.store.archive import DUMP, MANIFEST, Archive, ArchiveWriter, is_compressed, is_member
from viiwork.store.manifest import Manifest
from viiwork.store.rdb import _exactly, _head, _until

BLOBS = {f"blobs/{n:02x}/{n:02x}" + f"{n:030x}": bytes([n]) * (n * 700) for n in range(5)}


def write(path: Path, *, blobs: dict[str, bytes] = BLOBS, dump: bytes = b"REDIS0011 and so on") -> Manifest:
    """A backup without a fleet."""
    with path.open("wb") as file, ArchiveWriter(file, compressed=is_compressed(path), scratch=path.parent) as writer:
        dump_sha256 = writer.add(DUMP, io.BytesIO(dump), len(dump))
        for name, body in blobs.items():
            writer.add(name, io.BytesIO(body), len(body))
        manifest = Manifest(
            id="ab" * 16,
            viiwork="0.1.0",
            schema_version=1,
            fleet="default",
            prefix="viiwork:default:",
            db=0,
            server="Valkey 9.1.2",
            taken="2026-11-21T12:00:00+00:00",
            dump_bytes=len(dump),
            dump_sha256=dump_sha256,
            blobs=len(blobs),
            blob_bytes=sum(map(len, blobs.values())),
            sums_sha256=writer.finish_sums(),
        )
        writer.finish(manifest)
    return manifest


def verify(path: Path) -> Manifest:
    with Archive(path) as archive:
        return archive.verify()


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    """Every member, in its order, packed or not; and any tar can read it."""
    path = tmp_path / name
    manifest = write(path)
    with Archive(path) as archive:
        assert archive.verify() == manifest
        read = {member.name: b"".join(member.pieces()) for member in archive.members()}
    assert {name: read[name] for name in BLOBS} == BLOBS
    with tarfile.open(path) as tar:
        assert tar.getnames() == [DUMP, *BLOBS, "SHA256SUMS", MANIFEST]
        assert all(info.mode == 0o600 for info in tar)


def test_every_byte_that_is_changed_is_noticed(tmp_path: Path) -> None:
    """One in each block, from the first to the manifest; padding carries nothing."""
    path, bad = tmp_path / "b.tar", tmp_path / "bad.tar"
    write(path)
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        spans = [(info.name, info.offset_data, info.size) for info in tar]
    for name, start, size in spans:
        for at in {start, start + size // 2, start + max(0, size - 1)} if size else ():
            bad.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(UsageError, match="not a whole backup") as error:
                verify(bad)
            if name.startswith("blobs/"):
                assert name in str(error.value)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_one_that_was_broken_off_is_refused_wherever_it_ends(tmp_path: Path, name: str) -> None:
    path, bad = tmp_path / name, tmp_path / f"bad-{name}"
    write(path)
    whole = path.read_bytes()
    # Behind the manifest come two empty blocks, which say nothing: 1 KiB, or some 40 bytes of gzip.
    end = len(whole) - (2 * tarfile.BLOCKSIZE if name == "b.tar" else 48)
    for cut in range(0, end, max(1, end // 60)):
        bad.write_bytes(whole[:cut])
        with pytest.raises(UsageError, match="not a whole backup"):
            verify(bad)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.lock", "blobs/ab/../../x", "blobs/ab/cd" + "0" * 30, "x"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing of a backup can be written outside of its place."""
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    assert not is_member(name)
    with pytest.raises(UsageError, match="holds what no backup holds"):
        verify(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo(DUMP)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(UsageError, match="holds what no backup holds"):
        verify(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\0" * 10240, gzip.compress(b"hello", mtime=0), b"\x1f\x8b\x08junk"]
)
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a whole backup"):
        verify(path)


def test_one_of_a_newer_version_says_so(tmp_path: Path) -> None:
    """Fields that it has added are no damage."""
    path, newer = tmp_path / "b.tar", tmp_path / "newer.tar"
    manifest = write(path)
    changed = json.loads(Later(**{**manifest.model_dump(), "version": 2, "colour": "blue"}).to_json())
    with tarfile.open(path) as old, tarfile.open(newer, "w") as new:
        for info in old:
            source = old.extractfile(info)
            assert source is not None
            body = source.read() if info.name != MANIFEST else json.dumps(changed).encode()
            info.size = len(body)
            new.addfile(info, io.BytesIO(body))
    with pytest.raises(UsageError, match="newer version"):
        verify(newer)


class Later(Manifest):
    """A manifest of a version to come."""

    colour: str


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"), Archive(tmp_path / "none.tar"):
        pass


@pytest.mark.parametrize("name", ["backup", "backup.zip", "backup.tar.bz2"])
def test_a_name_that_says_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.tar, \.tar\.gz or \.tgz"):
        is_compressed(Path(name))


def test_a_file_that_shrinks_while_it_is_read_ends_the_backup(tmp_path: Path) -> None:
    with (
        (tmp_path / "b.tar").open("wb") as file,
        ArchiveWriter(file, compressed=False, scratch=tmp_path) as writer,
        pytest.raises(OSError, match="shorter"),
    ):
        writer.add(DUMP, io.BytesIO(b"12345"), 6)


async def gathered(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def stream_of(*pieces: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    for piece in pieces:
        stream.feed_data(piece)
    stream.feed_eof()
    return stream


@given(body=st.binary(max_size=400), cuts=st.lists(st.integers(1, 60), max_size=20))
def test_the_end_mark_is_found_wherever_the_network_cuts(body: bytes, cuts: list[int]) -> None:
    """And the data before it is handed on whole."""
    mark = b"m" * 40

    async def read() -> bytes:
        stream, rest, sent = asyncio.StreamReader(), body + mark, 0

        async def feed() -> None:
            nonlocal rest, sent
            for cut in [*cuts, len(rest)]:
                stream.feed_data(rest[:cut]) if rest[:cut] else None
                rest = rest[cut:]
                await asyncio.sleep(0)
            stream.feed_eof()

        feeding = asyncio.create_task(feed())
        got = await gathered(_until(stream, mark))
        await feeding
        return got

    if not body.endswith(b"m"):
        assert asyncio.run(read()) == body


async def test_a_dump_of_known_length_is_read_to_its_end() -> None:
    """As servers send it that write to their disk first."""
    stream = stream_of(b"\n\n\n$5\r\n", b"abc", b"de and more")
    assert await gathered(_exactly(stream, int(await _head(stream)))) == b"abcde"


async def test_a_dump_that_breaks_off_is_an_error() -> None:
    with pytest.raises(EOFError):
        await gathered(_until(stream_of(b"half"), b"m" * 40))
    with pytest.raises(EOFError):
        await gathered(_exactly(stream_of(b"half"), 5))
    with pytest.raises(EOFError):
        await _head(stream_of(b"\n\n"))
