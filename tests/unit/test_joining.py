"""What a computer that joins a fleet is told before its first worker starts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from viiwork.api.workertokens import FILE, WorkerTokens
from viiwork.doctor import JoinedFacts, Verdict, joined
from viiwork.errors import Conflict, NotFound, SettingsError, StartupError, StoreUnavailable, UsageError
from viiwork.fleet.hostname import HostName
from viiwork.fleet.joining import check_blobs, check_joinable, in_clear, mismatch
from viiwork.settings import load_settings
from viiwork.statedir import StateDir
from viiwork.store import Store
from viiwork.store.blobwire import Standing
from viiwork.store.pairing import Pairing
from viiwork.wire import SCHEMA

OURS = Standing(fleet="lab", belongs_to="a" * 32)


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (OURS, ""),
        (OURS.model_copy(update={"fleet": "other"}), "is that of the fleet 'other', not of 'lab'"),
        (OURS.model_copy(update={"schema_version": SCHEMA + 1}), f"speaks schema {SCHEMA + 1}"),
        (OURS.model_copy(update={"belongs_to": "b" * 32}), "has other blobs than those that this Redis names"),
        (OURS.model_copy(update={"belongs_to": ""}), "run `viiwork gc` on the head once"),
    ],
)
def test_an_api_must_be_the_fleets_own(standing: Standing, told: str) -> None:
    found = mismatch(standing, fleet="lab", belongs_to="a" * 32)
    assert told in found if told else found == ""


HERE = {"redis": {"url": "rediss://head:6380/0"}}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"fleet": {"role": "worker"}}, "needs the one of the fleet's head"),
        ({"fleet": {"role": "worker"}, **HERE, "blobs": {"url": "https://head"}}, "needs a worker token"),
        ({"fleet": {"role": "worker"}, **HERE, "blobs": {"url": "http://head:8400", "token": "t"}}, "in clear text"),
        ({"blobs": {"url": "https://head", "token": "t"}}, "the head has the blobs itself"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        check_joinable(load_settings(given))


def test_a_network_where_nobody_else_listens_may_be_said_to_be_one() -> None:
    blobs = {"url": "http://10.0.0.1:8400", "token": "t", "plain_http": True}
    check_joinable(load_settings({"fleet": {"role": "worker"}, **HERE, "blobs": blobs}))


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://head:8400", True),
        ("http://10.0.0.1:8400", True),
        ("https://head", False),
        ("http://127.0.0.1:8400", False),
        ("http://[::1]:8400", False),
        ("http://localhost:8400", False),
    ],
)
def test_what_leaves_this_computer_without_tls_can_be_read(url: str, clear: bool) -> None:
    assert in_clear(url) is clear


def test_secrets_come_out_of_files_and_a_joined_computer_reads_no_documents_unasked(tmp_path: Path) -> None:
    """What is given outright wins over its file."""
    (tmp_path / "url").write_text("rediss://:hidden@head:6380/0\n")
    (tmp_path / "token").write_text("vwt_hidden\n")
    files = {"redis": {"url_file": tmp_path / "url"}, "blobs": {"token_file": tmp_path / "token"}}
    joined_one = load_settings({"fleet": {"role": "worker"}, **files})
    assert (joined_one.redis.url, joined_one.blobs.token) == ("rediss://:hidden@head:6380/0", "vwt_hidden")
    assert (joined_one.workers.readers, load_settings(files).workers.readers) == (0, 1)
    assert load_settings({"fleet": {"role": "worker"}, "workers": {"readers": 2}}).workers.readers == 2
    given = {"redis": {"url": "redis://other", "url_file": tmp_path / "url"}}
    assert load_settings(given).redis.url == "redis://other"
    assert "vwt_hidden" not in repr(joined_one.blobs)


@pytest.mark.parametrize(("text", "reason"), [(None, "No such file"), ("http://:hidden@head", "holds no Redis URL")])
def test_a_file_without_a_url_is_named_and_its_content_is_not(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "url"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=reason) as caught:
        load_settings({"redis": {"url_file": file}})
    assert str(file) in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_a_new_fleets_directory_and_redis_meet_however_many_try_at_once(fake_store: Store) -> None:
    """One id on both sides; it stays."""
    pairing = Pairing(fake_store, fake_store.directory.root)
    assert all(await asyncio.gather(*(pairing.meet() for _ in range(8))))
    here, there = await pairing.read()
    assert here == there
    assert await pairing.meet()
    assert await pairing.read() == (here, there)


async def test_a_directory_that_has_blobs_already_is_not_given_an_id(fake_store: Store, tmp_path: Path) -> None:
    """It may be another fleet's: a sweep finds out. Nor is a second directory taken for the first."""
    await fake_store.blobs.put(b"somebody's document")
    assert not await Pairing(fake_store, fake_store.directory.root).meet()
    assert await Pairing(fake_store, tmp_path / "fresh").meet()
    assert not await Pairing(fake_store, tmp_path / "another").meet()


async def test_a_mounted_directory_must_be_the_heads(fake_store: Store, tmp_path: Path) -> None:
    settings = load_settings({"fleet": {"role": "worker"}, "redis": {"url": "redis://:hidden@head:6379/0"}})
    with pytest.raises(StartupError, match="is not the blob directory of the fleet at redis://head:6379/0") as caught:
        await check_blobs(settings, fake_store)
    assert "hidden" not in str(caught.value)
    await Pairing(fake_store, fake_store.directory.root).meet()
    await check_blobs(settings, fake_store)


async def test_a_name_is_had_by_one_state_directory_at_a_time(fake_store: Store, tmp_path: Path) -> None:
    """The same one may take it again after a crash; another one once it was let go."""
    states = [StateDir(tmp_path / name) for name in ("one", "two")]
    for state in states:
        state.prepare()
    one, two = (HostName(fake_store, state, host="box") for state in states)
    await one.claim()
    await HostName(fake_store, states[0], host="box").claim()
    with pytest.raises(StartupError, match="is called box"):
        await two.claim()
    await one.release()
    await two.claim()


def test_a_token_is_kept_as_a_hash_by_its_name(tmp_path: Path) -> None:
    tokens = WorkerTokens(tmp_path)
    token = tokens.create("box2")
    assert tokens.holder(token) == "box2"
    assert token not in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict, match="box2 already"):
        tokens.create("box2")
    with pytest.raises(UsageError, match="letters"):
        tokens.create("box 2")
    with pytest.raises(NotFound):
        tokens.revoke("box3")
    tokens.revoke("box2")
    assert WorkerTokens(tmp_path).holder(token) == ""


def test_tokens_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        WorkerTokens(tmp_path).holder("vwt_x")


def test_the_doctor_says_whether_the_documents_are_within_reach() -> None:
    told = StoreUnavailable("The API at https://head does not answer.", hint="Is the head up?")
    verdicts = [
        joined.documents(facts).verdict
        for facts in (
            JoinedFacts("https://head", None),
            JoinedFacts("http://head", None, in_clear=True),
            JoinedFacts("https://head", told),
        )
    ]
    assert verdicts == [Verdict.OK, Verdict.WARN, Verdict.FAIL]
