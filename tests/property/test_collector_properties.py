"""Whatever records and blobs there are, nothing that a record names ever goes, and nothing young."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from pathlib import Path

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.queues import make_envelope
from viiwork.store import BlobStore, Store
from viiwork.store.collector import Collector, Life
from viiwork.store.mentions import BLOB_FIELDS

ENVELOPE = make_envelope()
HOUR_S = 3600.0

names = st.binary(min_size=16, max_size=16).map(bytes.hex)
blobs = st.dictionaries(names, st.floats(0, 72), max_size=25)
"""Blobs, and their ages in hours."""


class FakeLife(Collector):
    """fakeredis has no INFO."""

    async def _server(self) -> Life:
        return Life(run_id="fake", uptime_s=1e9)


@settings(max_examples=60, deadline=None)
@given(aged=blobs, data=st.data(), grace_h=st.floats(1, 48))
def test_exactly_what_is_old_and_unnamed_goes(aged: dict[str, float], data: st.DataObject, grace_h: float) -> None:
    """A record names none, one or several blobs, its own or another's, and some that are missing."""
    choice = st.one_of(st.sampled_from(sorted(aged)), names) if aged else names
    records = data.draw(
        st.lists(st.dictionaries(st.sampled_from(BLOB_FIELDS), choice | st.just("")), min_size=0, max_size=25)
    )
    named = {name for record in records for name in record.values()}
    with tempfile.TemporaryDirectory() as place:
        left = asyncio.run(_swept(Path(place), aged, records, grace_h))
    expected = {name for name, hours in aged.items() if name in named or hours < grace_h}
    assert left == expected


async def _swept(root: Path, aged: dict[str, float], records: list[dict[str, str]], grace_h: float) -> set[str]:
    """What is left after one sweep."""
    client = fakeredis.FakeAsyncRedis(decode_responses=True)
    store = Store(client, fleet="f", prefix="f:", envelope=ENVELOPE, blobs=BlobStore(root), ttl_ms=0, headers=False)
    for name, hours in aged.items():
        path = store.blobs.path(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        then = time.time() - hours * HOUR_S - 0.001
        os.utime(path, (then, then))
    for record in records:
        key = f"f:job:{secrets.token_hex(4)}"
        await client.hset(key, mapping={"state": "waiting", **record})
    await FakeLife(store, grace_s=grace_h * HOUR_S, pause_s=0.0).collect(adopt=True)
    await client.aclose()
    return {path.name for path in root.rglob("*") if len(path.name) == 32}
