"""Files that clients sent for later use, and those that batches wrote: records whose blobs live as long as they do."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.batches.fileobject import FILE_ID, StoredFile
from viiwork.limits import Account
from viiwork.store.blobs import BlobRef
from viiwork.store.callbacks import Record, as_hash, now_ms
from viiwork.store.kept import letter, refusal, room_for
from viiwork.store.reading import Reading
from viiwork.store.removal import unlink
from viiwork.store.steering import Steering

PAGE = 500
"""Records read in one round trip while those of a purpose are looked for."""


async def put(
    store: Steering, file: str, *, payer: Account, blob: BlobRef, keep_s: float | None, about: Sequence[str | int]
) -> None:
    """Make the record of a file whose blob is on disk; idempotent by id. `about` is field, value, … of it.

    Raises Conflict for more than its sender may keep.
    """
    most = payer.kept()
    limits = (letter(most.files), most.files.most, letter(most.bytes), most.bytes.most)
    args = (file, payer.tenant, blob.id, int((keep_s or 0) * 1000), blob.bytes, payer.key, *limits, *about)
    short = await store.call("file", *args)
    if isinstance(short, list):
        while await expire(store):  # some may only wait to be swept
            pass
        short = await store.call("file", *args)
    if isinstance(short, list):
        raise refusal(most, short, blob.bytes)


async def check_room(store: Steering, payer: Account, size: int) -> None:
    """Raises Conflict for a file of so many bytes that would not be kept, before its megabytes are sent."""
    if await room_for(store, payer, size):
        while await expire(store):  # as above
            pass
        if (short := await room_for(store, payer, size)) is not None:
            raise short


async def find(store: Reading, tenant: str, file: str) -> StoredFile | None:
    """A tenant's file of this id; None where it has none, or its time is over."""
    if not FILE_ID.fullmatch(file):
        return None
    (raw,) = await store.read([("HGETALL", f"{store.prefix}file:{file}")])
    found = _stored(file, as_hash(raw))
    if found is None or found.tenant != tenant:
        return None
    return None if found.expires_ms and found.expires_ms <= await now_ms(store) else found


async def listed(
    store: Reading, tenant: str, *, after: str, limit: int, newest_first: bool, purpose: str
) -> tuple[list[StoredFile], bool]:
    """A tenant's files in the order of their making, behind `after` if that says anything; and whether more follow."""
    found: list[StoredFile] = []
    moment = await now_ms(store)
    while True:
        ids = await _ids(store, tenant, after=after, limit=PAGE, newest_first=newest_first)
        for file in await _records(store, ids):
            if (purpose and file.purpose != purpose) or (file.expires_ms and file.expires_ms <= moment):
                continue
            if len(found) == limit:
                return found, True
            found.append(file)
        if len(ids) < PAGE:
            return found, False
        after = ids[-1]


async def delete(store: Steering, tenant: str, file: str) -> bool:
    """Remove a tenant's file; false where it has none of this id."""
    blobs = await store.call("unfile", file, tenant) if FILE_ID.fullmatch(file) else None
    if blobs is None:
        return False
    await unlink(store, blobs)
    return True


async def expire(store: Steering) -> bool:
    """Remove a slice of those whose time is over; true while there may be more."""
    blobs = await store.call("unfile")
    await unlink(store, blobs)
    return bool(blobs)


async def _ids(store: Reading, tenant: str, *, after: str, limit: int, newest_first: bool) -> list[str]:
    key, edge = f"{store.prefix}files:{tenant}", f"({after}"
    if newest_first:
        command = ("ZREVRANGEBYLEX", key, edge if after else "+", "-", "LIMIT", "0", str(limit))
    else:
        command = ("ZRANGEBYLEX", key, edge if after else "-", "+", "LIMIT", "0", str(limit))
    (ids,) = await store.read([command])
    return [str(one) for one in ids]


async def _records(store: Reading, ids: Sequence[str]) -> list[StoredFile]:
    raw = await store.read(("HGETALL", f"{store.prefix}file:{one}") for one in ids) if ids else []
    found = (_stored(one, as_hash(record)) for one, record in zip(ids, raw, strict=True))
    return [file for file in found if file is not None]


def _stored(file: str, record: Record) -> StoredFile | None:
    if not record:
        return None
    return StoredFile(
        id=file,
        tenant=record["tenant"],
        blob=record["blob"],
        bytes=int(record["bytes"]),
        filename=record["filename"],
        purpose=record["purpose"],
        created_ms=int(record["created_ms"]),
        expires_ms=int(record["expires_ms"]) if record.get("expires_ms") else None,
        sha256=record["sha256"],
    )
