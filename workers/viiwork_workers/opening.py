"""What is in the files that jobs name: read in a bounded process, or kept from the last time that somebody asked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from viiwork.documents import Limits, inline_document
from viiwork.documents.contents import Contents
from viiwork.documents.kept import key_of, packed, unpacked
from viiwork.documents.outcomes import outcome
from viiwork.documents.reader import Reader
from viiwork.errors import ViiworkError
from viiwork.store import Store
from viiwork.store.leases import Claim
from viiwork.store.texts import find_text, keep_text
from viiwork.work import ReadInput

log = logging.getLogger(__name__)


class Opening:
    """Opens files for one worker. A store that cannot keep or find a text costs time, and never a document."""

    def __init__(self, store: Store, *, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._reader = Reader(limits)

    async def close(self) -> None:
        await self._reader.close()

    async def __call__(self, claim: Claim, work: ReadInput) -> Contents:
        """What is in the document's file. Raises DocumentError, NotFound, StoreUnavailable."""
        if work.code:
            raise outcome(work.code, work.detail)
        if work.text is not None:
            return Contents(inline_document(work.text))
        key = await self._key(claim, work)
        known = await self._find(key)
        if known is not None:
            return known
        async with self._store.blobs.at_hand(work.blob or "") as path:
            found = await self._reader.open(path, name=work.name, way=work.way, group=claim.tenant)
        await self._keep(claim, key, found)
        return found

    async def _key(self, claim: Claim, work: ReadInput) -> str:
        """Empty for a job of an earlier version, which does not say what its content is."""
        if not claim.digest:
            return ""
        # in a thread: the first one reads through the room's own files
        inside, limits = bool(work.way), self._limits
        return await asyncio.to_thread(key_of, claim.digest, tenant=claim.tenant, limits=limits, inside=inside)

    async def _find(self, key: str) -> Contents | None:
        with suppress(ViiworkError):  # then it is read anew
            data = await find_text(self._store, key) if key else None
            return await asyncio.to_thread(unpacked, data) if data else None
        return None

    async def _keep(self, claim: Claim, key: str, found: Contents) -> None:
        if not key:
            return
        try:
            await keep_text(self._store, claim.fence, key=key, content=await asyncio.to_thread(packed, found))
        except ViiworkError as error:
            log.warning("what was read for job %s is not kept: %s", claim.fence.job, error.code)
