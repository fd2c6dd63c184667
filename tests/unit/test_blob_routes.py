"""The blob routes and the other end of them: real HTTP between a real API application and the store's client of it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viiwork.api.app import create_app
from viiwork.api.workertokens import WorkerTokens
from viiwork.errors import NotFound, StoreRefused, StoreUnavailable
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, blobhttp
from viiwork.store.blobcache import BlobCache, Copy, to_go
from viiwork.store.blobhttp import RemoteBlobs
from viiwork.store.blobwire import BLOBS_PATH, SHA256

MIB = 1024 * 1024
NO_BLOB = "0" * 32


class Head:
    """A head's API on a port of its own, and what a joined computer needs to reach it."""

    def __init__(self, app: FastAPI, store: Store, settings: Settings, url: str, place: Path) -> None:
        self.app, self.store, self.settings, self.url, self.place = app, store, settings, url, place
        self.tokens = WorkerTokens(settings.state_dir)
        self.token = self.tokens.create("box2")

    def joined(self, *, token: str = "", limit_bytes: int = 256 * MIB, url: str = "") -> RemoteBlobs:
        cache = BlobCache(self.place / "copies", limit_bytes=limit_bytes)
        return RemoteBlobs(url or self.url, token=token or self.token, cache=cache)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"fleet": {"name": "fake", "state_dir": str(tmp_path / "state")}})


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def head(fake_store: Store, settings: Settings, tmp_path: Path) -> AsyncIterator[Head]:
    app = create_app(settings, fake_store)
    async with served(app) as url:
        yield Head(app, fake_store, settings, url, tmp_path)
    await app.state.watch.close()


@pytest.fixture
async def joined(head: Head, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RemoteBlobs]:
    monkeypatch.setattr(blobhttp, "PAUSES_S", (0.0, 0.0, 0.0, 0.0))
    made = head.joined()
    yield made
    await made.close()


@pytest.mark.parametrize("size", [0, 1, 16_385, 3 * MIB + 7])
async def test_what_a_joined_computer_puts_lies_in_the_heads_directory_and_comes_back(
    head: Head, joined: RemoteBlobs, size: int
) -> None:
    content = b"\xff\x00ab"[: size % 4] + b"x" * (size - size % 4)
    ref = await joined.put(content)
    assert (ref.bytes, ref.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await head.store.blobs.read(ref.id) == content
    assert await joined.read(ref.id) == content


async def test_a_blob_is_fetched_once_and_its_copy_is_for_the_owner_alone(head: Head, joined: RemoteBlobs) -> None:
    """The second reading needs no head."""
    ref = await head.store.blobs.put(b"a document")
    async with joined.at_hand(ref.id) as path:
        assert path.read_bytes() == b"a document"
        assert path.stat().st_mode & 0o777 == 0o600
    await head.store.blobs.delete(ref.id)
    assert await joined.read(ref.id) == b"a document"
    assert not list(joined.cache.root.glob("held/*")) + list(joined.cache.root.glob("incoming/*"))


async def test_what_the_head_does_not_have_is_not_found(joined: RemoteBlobs) -> None:
    """Which is the job's own error, as with a directory."""
    with pytest.raises(NotFound, match="missing"):
        await joined.read(NO_BLOB)


async def test_a_service_that_is_something_else_is_no_proof_that_a_blob_is_missing(
    head: Head, joined: RemoteBlobs
) -> None:
    """Its 404 says nothing of our blobs: the job goes back uncharged."""

    async def stranger(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"<h1>Not here</h1>"})

    async with served(stranger) as url:
        elsewhere = head.joined(url=url)
        with pytest.raises(StoreUnavailable, match=r"no blobs of a VIIWork fleet\. Check blobs\.url"):
            await elsewhere.read(NO_BLOB)
        await elsewhere.close()


async def test_without_a_head_the_store_is_unavailable(head: Head, joined: RemoteBlobs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = head.joined(url=f"http://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await nobody.put(b"an answer")
    await nobody.close()


WRONG = (None, "", "Bearer", "Bearer vwt_wrong", "Basic {token}", "Bearer {token}x", "{token}")


async def test_without_a_valid_token_the_routes_are_shut_also_on_loopback(head: Head) -> None:
    """Whether the blob is there or not, nothing is told; nothing is kept."""
    ref = await head.store.blobs.put(b"secret")
    asked = [("GET", ""), *((method, path) for method in ("GET", "PUT") for path in (f"/{ref.id}", f"/{NO_BLOB}"))]
    async with httpx.AsyncClient(base_url=head.url) as client:
        for header in WRONG:
            headers = {} if header is None else {"authorization": header.format(token=head.token)}
            for method, path in asked:
                answer = await client.request(method, BLOBS_PATH + path, headers=headers)
                assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, "Bearer"), (header, path)
                assert b"secret" not in answer.content
    assert len([path for path in head.store.directory.root.rglob("*") if path.is_file()]) == 1


async def test_a_token_opens_the_blob_routes_and_only_these(head: Head, joined: RemoteBlobs) -> None:
    """No blob can be removed, listed or changed with it."""
    ref = await joined.put(b"as it was")
    sha256 = hashlib.sha256(b"another").hexdigest()
    headers = {"authorization": f"Bearer {head.token}", SHA256: sha256}
    async with httpx.AsyncClient(base_url=head.url, headers=headers) as client:
        assert (await client.delete(f"{BLOBS_PATH}/{ref.id}")).status_code == 405
        assert (await client.post(f"{BLOBS_PATH}/{ref.id}")).status_code == 405
        changed = await client.put(f"{BLOBS_PATH}/{ref.id}", content=b"another")
        assert (changed.status_code, changed.json()["error"]["code"]) == (409, "blob_exists")
        assert (await client.get(f"{BLOBS_PATH}/..%2fworker-tokens.json")).status_code in (400, 404)
    assert await head.store.blobs.read(ref.id) == b"as it was"


async def test_a_revoked_token_opens_nothing_any_more(
    head: Head, joined: RemoteBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viiwork.api.workertokens.LOOK_EVERY_S", 0.0)
    ref = await head.store.blobs.put(b"a document")
    head.tokens.revoke("box2")
    with pytest.raises(StoreUnavailable, match="does not take this host's worker token") as caught:
        await joined.read(ref.id)
    assert head.token not in str(caught.value)
    assert head.token not in (head.settings.state_dir / "worker-tokens.json").read_text()


async def test_what_arrives_with_another_hash_is_refused_and_leaves_nothing(head: Head) -> None:
    headers = {"authorization": f"Bearer {head.token}", SHA256: hashlib.sha256(b"what was sent").hexdigest()}
    async with httpx.AsyncClient(base_url=head.url, headers=headers) as client:
        answer = await client.put(f"{BLOBS_PATH}/{NO_BLOB}", content=b"what arrived")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_hash")
        unsaid = await client.put(f"{BLOBS_PATH}/{NO_BLOB}", content=b"x", headers={SHA256: "no hash"})
        assert unsaid.status_code == 400
    assert not [path for path in head.store.directory.root.rglob("*") if path.is_file()]


async def test_the_same_blob_may_be_sent_again(head: Head) -> None:
    """As after an answer that was lost on the way."""
    headers = {"authorization": f"Bearer {head.token}", SHA256: hashlib.sha256(b"twice").hexdigest()}
    async with httpx.AsyncClient(base_url=head.url, headers=headers) as client:
        answers = [await client.put(f"{BLOBS_PATH}/{NO_BLOB}", content=b"twice") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert await head.store.blobs.read(NO_BLOB) == b"twice"


async def test_a_blob_over_the_limit_is_refused_for_good(
    head: Head, joined: RemoteBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To send it again would end so again: the worker makes a failure of it."""
    monkeypatch.setattr(head.app.state.shelf, "limit_bytes", 1 * MIB)
    with pytest.raises(StoreRefused):
        await joined.put(b"x" * (MIB + 1))
    assert not [path for path in head.store.directory.root.rglob("*") if path.is_file()]


class BadLine:
    """An application whose answers' bodies go through `spoil(count, message)`, which may change them or raise."""

    def __init__(self, app: ASGIApp, spoil: Callable[[int, Message], Message]) -> None:
        self._app, self._spoil = app, spoil
        self.ranges: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = dict(scope["headers"]).get(b"range", b"").decode()
        self.ranges.append(asked)
        count = len(self.ranges)

        async def through(message: Message) -> None:
            await send(self._spoil(count, message) if message["type"] == "http.response.body" else message)

        await self._app(scope, receive, through)


class LineCut(Exception):
    """The connection is gone; uvicorn closes it without the rest."""


async def test_a_broken_off_blob_goes_on_where_it_broke_off(head: Head, joined: RemoteBlobs) -> None:
    """Twice as often as would be tried without any progress."""
    content = b"".join(number.to_bytes(4, "big") for number in range(MIB // 4))
    ref = await head.store.blobs.put(content)
    sent = 0

    def spoil(count: int, message: Message) -> Message:
        nonlocal sent
        sent += 1
        if sent % 3 == 0:
            raise LineCut
        return message

    line = BadLine(head.app, spoil)
    async with served(line) as url:
        far = head.joined(url=url)
        assert await far.read(ref.id) == content
        await far.close()
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for asked in line.ranges]
    assert starts == sorted(set(starts))
    assert len(starts) > 4


async def test_what_is_spoilt_on_the_way_is_never_taken_for_the_blob(head: Head, joined: RemoteBlobs) -> None:
    """Once: it is fetched anew. Always: the store is unavailable, and no copy stays."""
    ref = await head.store.blobs.put(b"a clause of the contract")
    line = BadLine(head.app, lambda count, m: {**m, "body": m["body"].replace(b"a", b"b")} if count == 1 else m)
    async with served(line) as url:
        far = head.joined(url=url)
        assert await far.read(ref.id) == b"a clause of the contract"
        far.cache.drop(ref.id)
        await far.close()
    async with served(BadLine(head.app, lambda _, m: {**m, "body": m["body"].replace(b"a", b"b")})) as url:
        far = head.joined(url=url)
        with pytest.raises(StoreUnavailable, match="what came is not what the head has"):
            await far.read(ref.id)
        await far.close()
    assert not [path for path in joined.cache.root.rglob("*") if path.is_file()]


async def test_a_large_blob_takes_constant_memory_in_both_directions(head: Head, joined: RemoteBlobs) -> None:
    """64 MiB there and back through both ends, which share this process: never more than 16 MiB at once."""
    piece = bytes(range(256)) * 4096
    sha256 = hashlib.sha256(piece * 64).hexdigest()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield piece

    headers = {"authorization": f"Bearer {head.token}", SHA256: sha256}
    tracemalloc.start()
    try:
        async with httpx.AsyncClient(base_url=head.url, headers=headers, timeout=60) as client:
            assert (await client.put(f"{BLOBS_PATH}/{NO_BLOB}", content=pieces())).status_code == 201
        async with joined.at_hand(NO_BLOB) as path:
            assert path.stat().st_size == 64 * MIB
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 * MIB


def test_the_copies_that_go_are_the_old_ones_and_then_the_least_lately_used() -> None:
    copies = [Copy(Path(str(n)), 10, used_s=1000.0 + n) for n in range(10)]
    assert to_go(copies, 200, now_s=1010.0) == []
    assert [str(copy.path) for copy in to_go(copies, 80, now_s=1010.0)] == ["0", "1", "2", "3"]
    assert [str(copy.path) for copy in to_go(copies, 200, now_s=1000.0 + 86_400 + 2)] == ["0", "1"]


async def test_copies_stay_within_their_bound_and_none_is_taken_from_whoever_reads_it(
    head: Head, joined: RemoteBlobs
) -> None:
    small = head.joined(limit_bytes=10_000)
    refs = [await head.store.blobs.put(bytes([n]) * 1000) for n in range(30)]
    async with small.at_hand(refs[0].id) as held:
        for ref in refs:
            await small.read(ref.id)
        copies = [path for path in small.cache.root.iterdir() if path.is_file()]
        assert sum(path.stat().st_size for path in copies) <= 10_000
        assert refs[0].id not in {path.name for path in copies}
        assert held.read_bytes() == bytes(1000)
    await small.close()
