"""A word that stands in documents, prompts, metadata and file names is nowhere any more once it was deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.door import Door
from tests.flowering import Page, with_flower
from tests.workers import Fleet, eventually, ready
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded
from viiwork.store.opening import make_store

MARK = "Qwxzy7marker"
LONG = f"Once {MARK} upon a time. " * 1500
"""Cut into several parts, and too long for a record."""


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A server of this test's own: its append-only file is looked through."""
    own = load_settings({"fleet": {"name": "forgetting", "state_dir": str(tmp_path / "state")}})
    started = embedded.start(own)
    yield started
    started.stop()


@pytest.fixture
def settings(server: Any, tmp_path: Path) -> Settings:
    made = load_settings(
        {
            "fleet": {"name": "forgetting", "state_dir": str(tmp_path / "state")},
            "redis": {"url": server.url},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 5.0, "hint_grace_s": 1.0, "drain_grace_s": 1.0},
        }
    )
    return with_flower(made)


async def test_a_deleted_analysis_is_nowhere_any_more(settings: Settings, fleet: Fleet) -> None:
    """Real workers, a real Flower, one analysis that has ended and one that is deleted in its middle.

    Redis' keys, its append-only file after a rewrite, the blobs, all logs and Flower's state are looked through.
    """
    store, page = make_store(settings, settings.redis.url), Page(settings)
    try:
        await store.client.config_set("rdbcompression", "no")  # a packed word is not found
        fleet.start("gpu0", "reader0")
        await ready(store, 2)
        page.wait()
        with Door(settings) as door, httpx.Client(base_url=door.url, timeout=60, trust_env=False) as http:
            done = send(http, ask=MARK)
            await eventually(lambda: ended(http, done), within_s=60, what="the first analysis")
            running = send(http, ask=f"{MARK} again")
            await eventually(lambda: begun(http, running), what="the first calls of the second one")
            assert await places(store, settings, page), "it would prove nothing that never was found"
            for analysis in (done, running):
                answer = http.delete(f"/v1/analyses/{analysis}")
                assert (answer.status_code, answer.json()["finished"]) == (200, True), answer.text
                assert answer.json()["blobs"] >= 1
            await eventually(lambda: idle(store), what="workers that let go of it")
            await rewritten(store)
            found = await places(store, settings, page)
            for _ in range(300):  # the server unlinks the files that it has replaced a moment later
                if not found:
                    break
                await asyncio.sleep(0.1)
                found = await places(store, settings, page)
            assert found == []
    finally:
        page.close()
        await store.close()


def send(http: httpx.Client, *, ask: str) -> str:
    """An analysis whose every part has the word in it."""
    files = [("files", (f"{MARK}-{n}.txt", (LONG + str(n)).encode())) for n in range(3)]
    files.append(("files", (f"{MARK}.pdf", f"%PDF-1.4 {MARK} and nothing else".encode())))
    notes = ",".join('{"custom_id": "MARK", "metadata": {"who": "MARK"}}'.replace("MARK", MARK) for _ in files)
    fields = {
        "task": "ask",
        "question": f"Who is {ask}?",
        "documents": f"[{notes}]",
        "metadata": f'{{"for": "{MARK}"}}',
    }
    answer = http.post("/v1/analyses", data=fields, files=files)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def ended(http: httpx.Client, analysis: str) -> bool:
    return http.get(f"/v1/analyses/{analysis}").json()["state"] == "completed"


async def begun(http: httpx.Client, analysis: str) -> bool:
    return http.get(f"/v1/analyses/{analysis}").json()["calls"] > 0


async def idle(store: Store) -> bool:
    return all(not sum(worker.in_flight.values()) for worker in (await store.fleet()).workers)


async def rewritten(store: Store) -> None:
    """As the server does by itself when its file has grown."""
    await store.client.bgrewriteaof()

    async def done() -> bool:
        info = await store.client.info("persistence")
        return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]

    await eventually(done, what="the rewrite of the append-only file")


async def places(store: Store, settings: Settings, page: Page) -> list[str]:
    """Where the word stands."""
    state = Path(settings.state_dir)
    found = [str(path) for path in state.rglob("*") if path.is_file() and holds(read(path))]
    found += [key async for key in store.client.scan_iter(count=1000) if holds(await content(store, key))]
    tasks = page.client.get("/api/tasks", params={"limit": 10_000}).content
    slow = str(await store.client.slowlog_get(1000)).encode()
    return found + [name for name, raw in (("flower", tasks), ("slow log", slow)) if holds(raw)]


def read(path: Path) -> bytes:
    """Nothing of one that has gone since it was listed: workers write on."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


async def content(store: Store, key: str) -> bytes:
    kind = await store.client.type(key)
    commands: dict[str, tuple[str, ...]] = {
        "string": ("GET", key),
        "hash": ("HGETALL", key),
        "list": ("LRANGE", key, "0", "-1"),
        "set": ("SMEMBERS", key),
        "zset": ("ZRANGE", key, "0", "-1"),
        "stream": ("XRANGE", key, "-", "+"),
        "none": ("ECHO", ""),
    }
    (value,) = await store.read([commands[kind]])
    return f"{key} {value!r}".encode()


def holds(raw: bytes) -> bool:
    return MARK.encode() in raw
