"""A whole service for tests that only speak HTTP: the door, a reader and a language model's worker, as processes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.door import Door
from tests.fakes.launching import ALIAS, engine_section
from tests.workers import Fleet
from viiwork.settings import Settings, load_settings
from viiwork.store.opening import make_store

MODEL = ALIAS
"""What the model is served as; its engine is a fake that speaks as vLLM does, and answers the same with the same."""
WITHIN_S = 60.0
QUICK = {"beat_s": 0.2, "lease_ttl_s": 30.0, "hint_grace_s": 1.0, "drain_grace_s": 5.0}


@dataclass(frozen=True)
class Front:
    """A service that runs, and what belongs to it."""

    url: str
    settings: Settings
    door: Door
    workers: Fleet

    def log(self) -> str:
        """What the door has logged."""
        return self.door.log.read_text()


@contextmanager
def serving(
    redis_url: str,
    folder: Path,
    *,
    flags: tuple[str, ...] = ("--embeds",),
    environ: dict[str, str] | None = None,
    queue: dict[str, Any] | None = None,
    before: Callable[[Settings], None] = lambda _: None,
    key: Callable[[], str] = str,
) -> Iterator[Front]:
    """The service, once its model is ready; nothing of it is left afterwards. `flags` are the fake engine's,
    `environ` the door's, `queue` are settings. What `before` does is done before the door opens; `key` may look
    at the fleet, where keys are asked for.
    """
    settings = made_settings(redis_url, folder, flags, queue or {})
    before(settings)
    workers = Fleet(settings)
    try:
        with Door(settings, **(environ or {})) as door:
            workers.start("cpu0", "reader0")
            await_model(door.url, key())
            yield Front(door.url, settings, door, workers)
    finally:
        workers.close()
        asyncio.run(removed(settings))


def made_settings(redis_url: str, folder: Path, flags: tuple[str, ...], queue: dict[str, Any]) -> Settings:
    """A fleet of its own on a server that is shared."""
    name = f"front{secrets.token_hex(4)}"
    sections: dict[str, Any] = {
        "fleet": {"name": name, "state_dir": str(folder / "state")},
        "redis": {"url": redis_url, "prefix": f"viiwork-test:{name}:"},
        "engine": engine_section(folder, "vllm", flags=flags),
        "flower": {"enabled": False},
        "queue": QUICK | queue,
    }
    return load_settings(sections)


def await_model(url: str, key: str = "") -> None:
    """Until a worker serves it, and the readers are there."""
    until_s = time.monotonic() + WITHIN_S
    shown = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=shown, trust_env=False, timeout=WITHIN_S) as http:
        while True:
            workers = http.get("/v1/fleet").json().get("workers", [])
            if {worker["card"]["model"] for worker in workers if worker["card"].get("model")} >= {MODEL, "read"}:
                return
            assert time.monotonic() < until_s, workers
            time.sleep(0.05)


async def removed(settings: Settings) -> None:
    """Leave no key behind."""
    store = make_store(settings, settings.redis.url)
    async for key in store.client.scan_iter(match=f"{store.prefix}*", count=1000):
        await store.client.delete(key)
    await store.close()
