"""Limits on what is kept: files, their bytes and open batches, as the door tells them and the store counts them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from keyed import Keyed, keyed_door, limited_key
from viiwork.api import keyring
from viiwork.limits import USUAL_BATCHES, USUAL_BYTES, USUAL_FILES, Account, Limits, parse_limit
from viiwork.store import files
from viiwork.store.kept import kept_now, reserve

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "standin", "messages": []}}
LINES = json.dumps(LINE).encode() + b"\n"


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keyed]:
    monkeypatch.setattr(keyring, "FRESH_S", 0.0)  # so that nothing has to be waited for
    async with keyed_door(tmp_path) as made:
        yield made


async def send(
    door: Keyed, secret: str, content: bytes = LINES, *, headers: dict[str, str] | None = None
) -> httpx.Response:
    return await door.ask(
        secret,
        "POST",
        "/v1/files",
        data={"purpose": "batch"},
        files={"file": ("a.jsonl", content)},
        headers=headers or {},
    )


async def begin(door: Keyed, secret: str, file: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return await door.ask(secret, "POST", "/v1/batches", json=body, headers=headers or {})


async def left(door: Keyed, secret: str) -> dict[str, tuple[int, int, str]]:
    told = (await door.ask(secret, "GET", "/v1/limits")).json()
    names = ("stored_files", "stored_bytes", "open_batches")
    return {name: (told[name]["most"], told[name]["left"], told[name]["of"]) for name in names if name in told}


async def test_one_file_too_many_is_refused_until_one_is_deleted(door: Keyed) -> None:
    """The refusal tells what there is, what may be, and what to do; SDKs are told not to try again."""
    secret = await limited_key(door, stored_files=2)
    first, _ = [(await send(door, secret)).json()["id"] for _ in range(2)]
    refused = await send(door, secret)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("storage_limit_exceeded", "file")
    assert "This key may keep 2 files, and has 2." in error["message"]
    assert "DELETE /v1/files" in error["message"]
    assert (await door.ask(secret, "DELETE", f"/v1/files/{first}")).status_code == 200
    assert (await send(door, secret)).status_code == 200


async def test_bytes_are_counted_and_come_back(door: Keyed) -> None:
    secret = await limited_key(door, stored_bytes=len(LINES) + 10)
    kept = (await send(door, secret)).json()["id"]
    assert (await left(door, secret))["stored_bytes"] == (len(LINES) + 10, 10, "key")
    refused = (await send(door, secret, b"x" * 11)).json()["error"]
    assert (
        f"may keep {len(LINES) + 10:,} bytes of files, and has {len(LINES):,}; this file has 11." in refused["message"]
    )
    assert (await send(door, secret, b"x" * 10)).status_code == 200
    await door.ask(secret, "DELETE", f"/v1/files/{kept}")
    assert (await left(door, secret))["stored_bytes"][1] == len(LINES)


async def test_a_file_without_a_byte_is_counted_off_too(door: Keyed) -> None:
    secret = await limited_key(door, stored_files=1)
    empty = (await send(door, secret, b"")).json()["id"]
    assert (await door.ask(secret, "DELETE", f"/v1/files/{empty}")).status_code == 200
    assert (await left(door, secret))["stored_files"] == (1, 1, "key")


async def test_a_file_that_cannot_be_kept_is_refused_before_its_megabytes_come(door: Keyed) -> None:
    """What was refused leaves nothing on the disk either."""
    secret = await limited_key(door, stored_bytes=100)
    blobs = {path for path in door.root.rglob("*") if path.is_file()}
    refused = await send(door, secret, b"x" * 200_000)
    assert refused.json()["error"]["code"] == "storage_limit_exceeded"
    assert (
        await send(door, secret, b"x" * 200)
    ).status_code == 409  # small enough to be looked at only once it is there
    assert {path for path in door.root.rglob("*") if path.is_file()} == blobs


async def test_the_same_upload_again_is_the_same_file_however_little_is_left(door: Keyed) -> None:
    """Its answer was lost: under its key it is told, and not refused for being there."""
    secret = await limited_key(door, stored_files=1)
    told = [await send(door, secret, headers={"idempotency-key": "one"}) for _ in range(2)]
    assert told[0].json() == told[1].json()


async def test_a_limit_of_a_key_counts_for_that_key_and_a_tenants_for_all_of_its_keys(door: Keyed) -> None:
    narrow = await limited_key(door, "narrow", tenant="lab", stored_files=1)
    wide = await limited_key(door, "wide", tenant="lab")
    assert [(await send(door, wide)).status_code for _ in range(2)] == [200, 200]
    assert [(await send(door, narrow)).status_code for _ in range(2)] == [200, 409]
    assert (await left(door, wide))["stored_files"] == (USUAL_FILES, USUAL_FILES - 3, "tenant")
    assert (await left(door, narrow))["stored_files"] == (1, 0, "key")


async def test_who_has_a_key_has_the_usual_limits_and_may_have_none(door: Keyed) -> None:
    """Where keys are off nobody is limited: the label that a request carries is no proof of anything."""
    usual, free = (
        await limited_key(door),
        await limited_key(door, "free", stored_files="none", stored_bytes="none", open_batches="none"),
    )
    of = await left(door, usual)
    assert [of[name][0] for name in ("stored_files", "stored_bytes", "open_batches")] == [
        USUAL_FILES,
        USUAL_BYTES,
        USUAL_BATCHES,
    ]
    assert await left(door, free) == {}
    kept = Account("anna@lab").kept()
    assert (kept.files.most, kept.bytes.most, kept.batches.most) == (0, 0, 0)
    assert parse_limit("stored_bytes=1.5T") == ("stored_bytes", "1500000000000")


async def test_one_batch_too_many_waits_for_the_end_of_another(door: Keyed) -> None:
    secret = await limited_key(door, open_batches=1)
    file = (await send(door, secret)).json()["id"]
    first = await begin(door, secret, file, headers={"idempotency-key": "one"})
    refused = await begin(door, secret, file)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert "This key may have 1 batches that have not ended, and has 1." in error["message"]
    assert (await begin(door, secret, file, headers={"idempotency-key": "one"})).json()["id"] == first.json()["id"]
    await door.ask(secret, "POST", f"/v1/batches/{first.json()['id']}/cancel")
    assert (await begin(door, secret, file)).status_code == 200


async def test_a_batch_that_was_deleted_is_open_no_more(door: Keyed) -> None:
    secret = await limited_key(door, open_batches=1)
    file = (await send(door, secret)).json()["id"]
    batch = (await begin(door, secret, file)).json()["id"]
    assert (await left(door, secret))["open_batches"] == (1, 0, "key")
    await door.ask(secret, "DELETE", f"/v1/analyses/an_{batch.removeprefix('batch_')}")
    assert (await left(door, secret))["open_batches"] == (1, 1, "key")
    for path in (f"/v1/batches/{batch}", f"/v1/analyses/an_{batch.removeprefix('batch_')}"):
        gone = await door.ask(secret, "GET", path)  # by both of its names
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "deleted")
        other = await door.ask(await door.key(f"ben{len(path)}"), "GET", path)
        assert other.status_code == 404


async def test_files_of_before_they_were_counted_count_too(door: Keyed) -> None:
    """They are added up when their tenant's next one comes."""
    secret = await limited_key(door, tenant="lab")
    await send(door, secret)
    await door.store.client.delete(f"{door.store.prefix}stored:t:lab")
    await send(door, secret)
    now = await kept_now(door.store, Account("lab"))
    assert (now.files, now.bytes) == (2, 2 * len(LINES))


async def test_what_only_waits_to_be_swept_keeps_nobody_out(door: Keyed) -> None:
    who = Account("lab", key="key_1", own=Limits(stored_files=1))
    blob = await door.store.blobs.put(b"old")
    about = ["filename", "old", "purpose", "user_data", "sha256", "0"]
    await files.put(door.store, "file-" + "0" * 26, payer=who, blob=blob, keep_s=0.001, about=about)
    while await files.find(door.store, "lab", "file-" + "0" * 26):
        pass
    await files.check_room(door.store, who, 3)
    await files.put(door.store, "file-" + "1" * 26, payer=who, blob=blob, keep_s=None, about=about)


async def test_a_batch_that_nobody_made_after_all_is_not_counted_for_ever(door: Keyed) -> None:
    """Whoever counted it died before its record was there."""
    who = Account("lab", key="key_1", own=Limits(open_batches=1))
    await reserve(door.store, "an_lost", who)
    for subject in ("k:key_1", "t:lab"):
        await door.store.client.zadd(f"{door.store.prefix}open:{subject}", {"an_lost": 1})
    await reserve(door.store, "an_next", who)
    await reserve(door.store, "an_next", who)
