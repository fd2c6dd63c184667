"""`/v1/internal/blobs`: stored inputs and outputs for computers that joined, and for nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from viiwork.api.intake import Intake
from viiwork.api.limits import MIB, over
from viiwork.api.problems import problem
from viiwork.api.workertokens import WorkerTokens
from viiwork.errors import Conflict, NotFound, StoreUnavailable, UsageError
from viiwork.store.blobs import BLOB_ID, BlobStore, BlobWriter
from viiwork.store.blobwire import BLOBS_PATH, MISSING, SHA256, Standing
from viiwork.store.pairing import Pairing
from viiwork.wire import public

WRITE_BYTES = 1 * MIB
LEAST_LIMIT_BYTES = 64 * MIB
"""However small documents must be, an answer may have this."""
KNOWN = 4096
HEX_SHA256 = re.compile(r"[0-9a-f]{64}")


class Shut(Exception):
    """Raised for whoever shows no token of this fleet's."""


class Shelf:
    """The blob directory behind the routes. Blobs never change, so each is hashed once."""

    def __init__(self, blobs: BlobStore, tokens: WorkerTokens, *, limit_bytes: int) -> None:
        self.blobs, self.tokens = blobs, tokens
        self.limit_bytes = max(limit_bytes, LEAST_LIMIT_BYTES)
        self._sha256: OrderedDict[str, str] = OrderedDict()

    async def sha256(self, blob_id: str, path: Path) -> str:
        """A blob's hash. Raises OSError."""
        if blob_id not in self._sha256:
            self._remember(blob_id, await asyncio.to_thread(_hash_of, path))
        self._sha256.move_to_end(blob_id)
        return self._sha256[blob_id]

    async def keep(self, blob_id: str, told: str, writer: BlobWriter) -> int:
        """Give what was written its name; answers the status. Raises UsageError or Conflict for what must not stay."""
        if writer.sha256 != told:
            raise UsageError(f"What came is not what {SHA256} says.", code="wrong_hash")
        path = self.blobs.path(blob_id)
        if path.exists():
            if await self.sha256(blob_id, path) != told:
                raise Conflict("There is another blob of this id: what is stored never changes.", code="blob_exists")
            return 200
        await writer.commit()
        self._remember(blob_id, told)
        return 201

    def _remember(self, blob_id: str, sha256: str) -> None:
        self._sha256[blob_id] = sha256
        if len(self._sha256) > KNOWN:
            self._sha256.popitem(last=False)


def shelf(request: Request) -> Shelf:
    """The shelf, for who shows a worker token. Raises Shut, also on loopback."""
    found: Shelf = request.app.state.shelf
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not found.tokens.holder(token.strip()):
        raise Shut
    return found


def refuse(_request: Request, _error: Exception) -> Response:
    """401."""
    message = "This needs a worker token of this fleet's: `Authorization: Bearer …`."
    response = problem(401, message, code="token_refused")
    response.headers["www-authenticate"] = "Bearer"
    return response


Opened = Annotated[Shelf, Depends(shelf)]
router = APIRouter(prefix=BLOBS_PATH, include_in_schema=False)


@router.get("")
async def standing(request: Request, opened: Opened) -> JSONResponse:
    """Whose blobs these are: a joined computer compares that with what Redis says."""
    desk: Intake = request.app.state.intake
    here, _ = await Pairing(desk.store, opened.blobs.root).read()
    told = Standing(fleet=desk.store.fleet_name, belongs_to=here, version=request.app.version)
    return JSONResponse(public(told))


@router.get("/{blob_id}")
async def fetch(blob_id: str, opened: Opened) -> FileResponse:
    """A blob, from any byte on (`Range`), with its hash."""
    path = _path(opened.blobs, blob_id)
    try:
        there = await asyncio.to_thread(path.stat)
        headers = {SHA256: await opened.sha256(blob_id, path), "cache-control": "no-store"}
    except FileNotFoundError as error:
        raise NotFound("There is no such blob.", code=MISSING) from error
    except OSError as error:
        raise StoreUnavailable("This blob cannot be read from the disk.", hint="Check the head's disk.") from error
    return FileResponse(path, headers=headers, media_type="application/octet-stream", stat_result=there)


@router.put("/{blob_id}")
async def keep(blob_id: str, request: Request, opened: Opened) -> Response:
    """Keep a blob: on disk before the answer, and only if it has the hash that came with it. May be repeated."""
    _path(opened.blobs, blob_id)
    told = request.headers.get(SHA256, "")
    if not HEX_SHA256.fullmatch(told):
        raise UsageError(f"{SHA256} must be the blob's SHA-256 in 64 hexadecimal digits.", code="wrong_hash")
    async with opened.blobs.writer(blob_id) as writer:
        await _take(request, writer, limit_bytes=opened.limit_bytes)
        return Response(status_code=await opened.keep(blob_id, told, writer))


async def _take(request: Request, writer: BlobWriter, *, limit_bytes: int) -> None:
    """The body, a megabyte at a time. Raises TooLarge, StoreUnavailable."""
    pending, received_bytes = bytearray(), 0
    async for piece in request.stream():
        received_bytes += len(piece)
        if received_bytes > limit_bytes:
            raise over("the blob", f"{limit_bytes // MIB} MiB", "max_document_bytes", param="body")
        pending += piece
        if len(pending) >= WRITE_BYTES:
            await writer.write(bytes(pending))
            pending.clear()
    if pending:
        await writer.write(bytes(pending))


def _path(blobs: BlobStore, blob_id: str) -> Path:
    if not BLOB_ID.fullmatch(blob_id):
        raise UsageError("A blob's id has 32 hexadecimal digits.", param="blob_id")
    return blobs.path(blob_id)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
