"""Blobs through the API of the host that has them: streamed, compared by hash on both sides, tried again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from viiwork.errors import NotFound, SettingsError, StoreRefused, StoreUnavailable
from viiwork.store.blobcache import BlobCache
from viiwork.store.blobs import BLOB_ID, BlobRef
from viiwork.store.blobwire import AWAY, BLOBS_PATH, MISSING, SHA256, TOKEN_REFUSED, Standing
from viiwork.store.download import Download, create, disk_error

log = logging.getLogger(__name__)

PAUSES_S = (0.25, 0.5, 1.0, 2.0)
"""Between tries; whoever came further than the last time begins with the first again."""
PIECE_BYTES = 256 * 1024
PATIENCE_S = 30.0
SLOWEST_BYTES_S = 256 * 1024
"""Of an upload: aiohttp's own limits begin when all of it is written, and a network that is gone takes no bytes."""
LIMITS = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=PATIENCE_S)
TROUBLE = (aiohttp.ClientError, OSError, TimeoutError)
T = TypeVar("T")


class Broken(Exception):
    """Raised when an exchange did not come to its end, and may the next time."""


class RemoteBlobs:
    """The blobs of the fleet whose API is at `url`. One event loop's: its connections are made with the first use."""

    def __init__(
        self, url: str, *, token: str, cache: BlobCache, ca_file: Path | None = None, token_file: Path | None = None
    ) -> None:
        """`token_file` is read again when the token is refused: whoever put a new one in need start nothing anew."""
        self.url = url.rstrip("/")
        self.cache = cache
        self._token, self._token_file, self._ca_file = token, token_file, ca_file
        self._session: aiohttp.ClientSession | None = None
        self.troubled = asyncio.Event()
        """Set from when an exchange failed for good until the next one that does not."""
        self._well = asyncio.Event()

    async def reached(self, *, within_s: float) -> bool:
        """Wait until an exchange comes to its end; false when none did within the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._well.wait()
        return self._well.is_set()

    async def standing(self) -> Standing:
        """Whose blobs these are. Raises StoreUnavailable when that API is not there, or does not let us in."""
        return await self._persistently(self._ask_standing)

    async def put(self, content: bytes) -> BlobRef:
        """Keep `content` as one blob; it is on the head's disk when this returns.

        Raises StoreUnavailable, or StoreRefused for one that the head would refuse again.
        """
        digest = await asyncio.to_thread(hashlib.sha256, content)
        ref = BlobRef(id=secrets.token_hex(16), bytes=len(content), sha256=digest.hexdigest())
        await self._persistently(lambda: self._send(ref, content))
        return ref

    async def read(self, blob_id: str) -> bytes:
        """The whole of a blob. Raises NotFound when the head has none of that id, else StoreUnavailable."""
        async with self.at_hand(blob_id) as path:
            return await asyncio.to_thread(path.read_bytes)

    @asynccontextmanager
    async def at_hand(self, blob_id: str) -> AsyncIterator[Path]:
        """A blob as a file of this host: its copy, or fetched now. Raises as `read` does."""
        if not BLOB_ID.fullmatch(blob_id):
            raise NotFound("This is not a blob's id.")
        try:
            held = await asyncio.to_thread(self.cache.hold, blob_id) or await self._fetch(blob_id)
        except OSError as error:
            raise disk_error(error) from error
        try:
            yield held
        finally:
            held.unlink(missing_ok=True)

    async def delete(self, blob_id: str) -> None:
        """Forget this host's copy: a worker token removes nothing. The head's sweeper does, once no record names it."""
        await asyncio.to_thread(self.cache.drop, blob_id)

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _fetch(self, blob_id: str) -> Path:
        arriving = self.cache.incoming()
        try:
            with create(arriving) as file:
                download = Download(file)
                await self._persistently(lambda: self._receive(blob_id, download), came_to=lambda: download.bytes)
            return await asyncio.to_thread(self.cache.take_in, blob_id, arriving)
        finally:
            arriving.unlink(missing_ok=True)

    async def _receive(self, blob_id: str, download: Download) -> None:
        """Go on where the last try broke off. Raises Broken when this one does, or when what came is not the blob."""
        headers = self._headers({"Range": f"bytes={download.bytes}-"} if download.bytes else {})
        async with self._http().get(
            f"{self.url}{BLOBS_PATH}/{blob_id}", headers=headers, allow_redirects=False
        ) as response:
            if response.status not in (200, 206):
                if response.status == 416:  # less than we have: another file than the last time
                    download.restart()
                raise await self._refused(response)
            if response.status == 200:
                download.restart()
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                await download.write(piece)
            told = response.headers.get(SHA256, "")
        if not download.is_whole(told):
            download.restart()
            raise Broken("what came is not what the head has")

    async def _send(self, ref: BlobRef, content: bytes) -> None:
        url, headers = f"{self.url}{BLOBS_PATH}/{ref.id}", self._headers({SHA256: ref.sha256})
        put = self._http().put(url, data=_pieces(content), headers=headers, allow_redirects=False)
        async with asyncio.timeout(PATIENCE_S + ref.bytes / SLOWEST_BYTES_S), put as response:
            if response.status not in (200, 201):
                raise await self._refused(response)

    async def _ask_standing(self) -> Standing:
        async with self._http().get(
            f"{self.url}{BLOBS_PATH}", headers=self._headers(), allow_redirects=False
        ) as response:
            if response.status != 200:
                raise await self._refused(response)
            try:
                return Standing.model_validate_json(await response.read())
            except ValidationError as error:
                raise _stranger(self.url) from error

    async def _persistently(self, attempt: Callable[[], Awaitable[T]], came_to: Callable[[], int] = int) -> T:
        """The attempt's answer; what it says of the way to the head is noted."""
        try:
            answer = await self._tried(attempt, came_to)
        except StoreUnavailable as error:
            if error.code in (TOKEN_REFUSED, AWAY):
                self._well.clear()
                self.troubled.set()
            raise
        except NotFound:
            self._note_well()
            raise
        self._note_well()
        return answer

    def _note_well(self) -> None:
        self.troubled.clear()
        self._well.set()

    async def _tried(self, attempt: Callable[[], Awaitable[T]], came_to: Callable[[], int]) -> T:
        """Tried again where that may help, which it always may after one that came further."""
        failures, had = 0, 0
        while True:
            try:
                return await attempt()
            except (Broken, *TROUBLE) as error:
                failures, had = (0, came_to()) if came_to() > had else (failures + 1, had)
                if failures >= len(PAUSES_S):
                    raise self._lost(error) from error
            await asyncio.sleep(PAUSES_S[failures])

    async def _refused(self, response: aiohttp.ClientResponse) -> Exception:
        """What an answer that is no success means."""
        status, code = response.status, _code(await response.content.read(PIECE_BYTES))
        if status == 404:
            missing = "A stored input or output is missing from the fleet's blob directory."
            return NotFound(missing) if code == MISSING else _stranger(self.url)
        if status in (401, 403):
            if await asyncio.to_thread(self._renew_token):
                return Broken("the token was another one before")
            return StoreUnavailable(
                f"The API at {self.url} does not take this host's worker token.",
                hint="Make one on the head with `viiwork worker-token create NAME`, and put it into blobs.token_file.",
                code=TOKEN_REFUSED,
            )
        if status in (409, 413):
            return StoreRefused("The head refuses to keep this blob.", hint="See the log of its API.", code=code)
        return Broken(f"HTTP {status}")

    def _lost(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            told, hint = "is not the one that it says: its certificate does not verify", "Set blobs.ca_file."
        elif isinstance(error, Broken):
            told, hint = f"did not give or take a blob ({error})", "See the log of its API."
        else:
            told, hint = f"does not answer ({type(error).__name__})", "Is the head up? Check blobs.url."
        return StoreUnavailable(f"The API at {self.url} {told}.", hint=hint, code=AWAY)

    def _renew_token(self) -> bool:
        """Whether there is another token in the file by now."""
        if self._token_file is None:
            return False
        try:
            token = self._token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        changed = token not in ("", self._token) and token.isascii() and token.isprintable()
        if changed:
            self._token = token
        return changed

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", **(more or {})}

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=_tls(self._ca_file) if self._ca_file else True, limit=16)
            self._session = aiohttp.ClientSession(connector=connector, timeout=LIMITS)
        return self._session


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]


def _tls(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"blobs.ca_file: {ca_file} holds no certificates that can be read.") from error


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _stranger(url: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"What answers at {url} has no blobs of a VIIWork fleet.", hint="Check blobs.url.", code=AWAY
    )
