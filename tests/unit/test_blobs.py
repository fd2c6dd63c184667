"""Blobs: whole or not at all, private, and with a clear word when the disk refuses."""

from __future__ import annotations

import asyncio
import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from viiwork.errors import NotFound, StoreUnavailable
from viiwork.store import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@contextmanager
def small_disk(limit_bytes: int) -> Iterator[None]:
    """No file of this process may grow over the limit: the system refuses as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 9000])
async def test_what_is_put_is_read_back(blobs: BlobStore, content: bytes) -> None:
    ref = await blobs.put(content)
    assert (ref.bytes, ref.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await blobs.read(ref.id) == content
    assert blobs.path(ref.id).read_bytes() == content


async def test_the_same_content_twice_is_two_blobs(blobs: BlobStore) -> None:
    """Each has its own owner, who may delete it."""
    first, second = await blobs.put(b"same"), await blobs.put(b"same")
    assert first.id != second.id
    await blobs.delete(first.id)
    assert await blobs.read(second.id) == b"same"


async def test_a_blob_is_streamed_in(blobs: BlobStore) -> None:
    async with blobs.writer() as writer:
        for _ in range(100):
            await writer.write(b"chunk" * 1000)
        ref = await writer.commit()
    assert ref.bytes == writer.bytes == 500_000
    assert len(await blobs.read(ref.id)) == 500_000
    assert len(files(blobs)) == 1


async def test_nothing_stays_of_a_blob_that_is_not_committed(blobs: BlobStore) -> None:
    """The client hung up, or something failed in between."""
    async with blobs.writer() as writer:
        await writer.write(b"half of it")
    with pytest.raises(KeyError):
        async with blobs.writer() as writer:
            await writer.write(b"half of it")
            raise KeyError
    assert files(blobs) == []


async def test_an_upload_that_is_cancelled_leaves_nothing(blobs: BlobStore) -> None:
    begun = asyncio.Event()

    async def upload() -> None:
        async with blobs.writer() as writer:
            await writer.write(b"some")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(upload())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(blobs) == []


async def test_a_committed_blob_takes_no_more(blobs: BlobStore) -> None:
    async with blobs.writer() as writer:
        await writer.write(b"all")
        ref = await writer.commit()
        with pytest.raises(StoreUnavailable):
            await writer.write(b"more")
        with pytest.raises(StoreUnavailable):
            await writer.commit()
    assert await blobs.read(ref.id) == b"all"


async def test_only_its_owner_may_read_a_blob(blobs: BlobStore) -> None:
    ref = await blobs.put(b"confidential")
    path = blobs.path(ref.id)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_what_is_gone_is_not_found_and_may_be_deleted_again(blobs: BlobStore) -> None:
    ref = await blobs.put(b"x")
    for _ in range(2):
        await blobs.delete(ref.id)
    with pytest.raises(NotFound):
        await blobs.read(ref.id)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n"])
async def test_what_is_no_blobs_id_reaches_no_file(blobs: BlobStore, name: str) -> None:
    with pytest.raises(NotFound):
        blobs.path(name)
    with pytest.raises(NotFound):
        await blobs.read(name)
    with pytest.raises(NotFound):
        await blobs.delete(name)


@pytest.mark.parametrize("size", [1000, 100_000])
async def test_a_full_disk_is_said_and_leaves_nothing_behind(blobs: BlobStore, size: int) -> None:
    """Whether a write meets it, or only the commit that empties the buffer."""
    await blobs.put(b"")
    with small_disk(500), pytest.raises(StoreUnavailable, match="cannot be written"):
        await blobs.put(b"x" * size)
    assert len(files(blobs)) == 1


async def test_a_full_disk_is_not_hidden_by_what_follows(blobs: BlobStore) -> None:
    """Closing the file fails once more; the caller must hear of the write, and no half file may stay."""
    with small_disk(500), pytest.raises(KeyError):
        async with blobs.writer() as writer:
            await writer.write(b"x" * 4000)
            raise KeyError
    assert files(blobs) == []


async def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file in its place")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await BlobStore(tmp_path / "blobs").put(b"x")


async def test_a_blob_that_cannot_be_read_is_said(blobs: BlobStore) -> None:
    """Not missing, but not to be had: that is the store's fault, and trying again may help."""
    ref = await blobs.put(b"x")
    blobs.path(ref.id).unlink()
    blobs.path(ref.id).mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await blobs.read(ref.id)


async def test_many_blobs_are_written_at_once(blobs: BlobStore) -> None:
    refs = await asyncio.gather(*(blobs.put(str(n).encode()) for n in range(40)))
    assert [await blobs.read(ref.id) for ref in refs] == [str(n).encode() for n in range(40)]
