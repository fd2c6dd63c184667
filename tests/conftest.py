"""What tests share: a real server (our own, or the one in VIIWORK_REDIS_URL), a random prefix, real workers."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fakeredis
import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from tests.guarded import Guarded
from tests.workers import Fleet
from viiwork.queues import make_envelope
from viiwork.settings import Settings, load_settings
from viiwork.store import BlobStore, Store, embedded
from viiwork.store.opening import make_store
from viiwork_workers.engines.guard import link as guard_link

pytest.register_assert_rewrite("tests.kit")
LONG_FIRST = ("e2e", "chaos", "integration", "contract_openai", "property", "contract", "unit")
"""Rooms in the order in which `make test` hands out their files: at the end only short ones are left to wait for."""
PATIENCE_S = 60.0
"""How long a request of a test's waits for its answer, where the test says nothing of it."""
OTHER_REDIS = os.environ.get("VIIWORK_REDIS_URL", "")
"""Tests on somebody's Redis use a random prefix, remove their own keys and never flush."""


def pytest_configure() -> None:
    """The same wherever the tests are started: tables as wide as in a pipe, nothing is late, and Ctrl-C is heard.

    httpx gives up after five seconds by itself, which a machine that runs all tests may take now and then.

    What a shell starts in the background ignores SIGINT, and so do its children. Each process that a test starts reads
    compiled modules, also where the machine's owner wants none written: that was a sixth of its start.

    Hypothesis makes the same examples each time, so that what a change is judged by is the change; `make explore` makes
    others.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name, same in (("same", True), ("fresh", False)):
        examples.register_profile(
            name, derandomize=same, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
    examples.load_profile("same")  # unless the command line says --hypothesis-profile=fresh
    patient = httpx.Timeout(PATIENCE_S)
    for phase in ("connect", "read", "write", "pool"):
        setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, phase, getattr(patient, phase))
    os.environ.pop("COLUMNS", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rooms of long tests first; within a room as they stand."""
    here = Path(__file__).parent
    rooms = [*LONG_FIRST]

    def place(item: pytest.Item) -> int:
        room = item.path.relative_to(here).parts[0]
        return rooms.index(room) if room in rooms else len(rooms)

    items.sort(key=place)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for the whole run."""
    if OTHER_REDIS:
        yield OTHER_REDIS
        return
    settings = load_settings({"fleet": {"state_dir": str(tmp_path_factory.mktemp("redis"))}})
    server = embedded.start(settings)
    yield server.url
    server.stop()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a fleet of its own on the real server; quick leases, so that tests need not wait."""
    name = f"t{secrets.token_hex(4)}"
    return load_settings(
        {
            "fleet": {"name": name, "state_dir": str(tmp_path / "state")},
            "redis": {"url": redis_url, "prefix": f"viiwork-test:{name}:"},
            "engine": {"kind": "noop"},
            "flower": {"enabled": False},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 5.0},
        }
    )


async def remove_keys(store: Store) -> None:
    """Leave nothing behind under the store's prefix."""
    async for key in store.client.scan_iter(match=f"{store.prefix}*", count=1000):
        await store.client.delete(key)


@pytest.fixture
async def real_store(settings: Settings) -> AsyncIterator[Store]:
    """A store on the real server."""
    store = make_store(settings, settings.redis.url)
    yield store
    await remove_keys(store)
    await store.close()


@pytest.fixture
def lone_url(tmp_path: Path) -> Iterator[str]:
    """A server for one test: on the shared one the services of other tests may come and go."""
    server = embedded.start(load_settings({"fleet": {"state_dir": str(tmp_path / "alone")}}))
    yield server.url
    server.stop()


@pytest.fixture
async def lone_store(settings: Settings, lone_url: str) -> AsyncIterator[Store]:
    """A store there: for tests that count what is on a server."""
    store = make_store(settings, lone_url)
    yield store
    await store.close()


@pytest.fixture
async def fake_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on fakeredis, which really runs the Lua; the loader leaves out the flags that it cannot parse."""
    client = fakeredis.FakeAsyncRedis(decode_responses=True)
    blobs = BlobStore(tmp_path / "blobs")
    yield Store(
        client, fleet="fake", prefix="f:", envelope=make_envelope(), blobs=blobs, ttl_ms=3_600_000, headers=False
    )
    await client.aclose()


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest) -> Store:
    """The same test on the double and on the real thing."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def fleet(settings: Settings) -> Iterator[Fleet]:
    """Starts real worker processes; whatever still runs at the end is ended."""
    running = Fleet(settings)
    yield running
    running.close()
    asyncio.run(_remove(settings))


async def _remove(settings: Settings) -> None:
    store = make_store(settings, settings.redis.url)
    await remove_keys(store)
    await store.close()


@pytest.fixture
async def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guarded]:
    """A small engine behind a real guard, with pauses of hundredths of a second; nothing of it runs afterwards."""
    monkeypatch.setattr(guard_link, "GUARD", (*guard_link.GUARD, "--pace", "0.02"))
    made = Guarded(tmp_path)
    yield made
    await made.close()
    assert made.everyone() == []
