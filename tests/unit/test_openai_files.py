"""Files as the official client sends, lists, reads and removes them; and what becomes of those whose time is over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI

from service import Service
from viiwork.limits import Account
from viiwork.store import files
from viiwork.store.mentions import mentions

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("files"), idle=True) as running:
        yield running


@pytest.fixture
def client(door: Service, request: pytest.FixtureRequest) -> OpenAI:
    """A client of a submitter of this test's own."""
    return of(door, f"{request.node.name[:60]}@lab")


def of(door: Service, submitter: str) -> OpenAI:
    headers = {"x-viiwork-submitter": submitter}
    return OpenAI(base_url=f"{door.url}/v1", api_key="none", max_retries=0, default_headers=headers)


def test_a_file_comes_back_byte_for_byte(client: OpenAI) -> None:
    sent = client.files.create(file=("lines.jsonl", LINE * 3), purpose="batch")
    assert (sent.object, sent.bytes, sent.filename, sent.purpose) == ("file", len(LINE) * 3, "lines.jsonl", "batch")
    assert (sent.status, sent.expires_at) == ("processed", sent.created_at + 30 * 86_400)
    assert client.files.retrieve(sent.id) == sent
    assert client.files.wait_for_processing(sent.id) == sent
    for asked in ({}, {"range": "bytes=5-9"}, {"range": "nonsense"}):
        assert client.files.content(sent.id, extra_headers=asked).read() == LINE * 3


def test_a_document_is_kept_until_it_is_removed_unless_its_sender_says_otherwise(client: OpenAI) -> None:
    kept = client.files.create(file=("a.pdf", b"%PDF-"), purpose="user_data")
    asked = client.files.create(
        file=("b.pdf", b"%PDF-"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert kept.expires_at is None
    assert asked.expires_at == asked.created_at + 3600


def test_lists_are_paged_in_either_order_and_by_purpose(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{n}.txt", b"x"), purpose="user_data").id for n in range(5)]
    lines = client.files.create(file=("lines.jsonl", LINE), purpose="batch").id
    assert [file.id for file in client.files.list(limit=2)] == [lines, *reversed(made)]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == [*made, lines]
    assert [file.id for file in client.files.list(limit=3, order="asc", purpose="user_data")] == made
    page = client.files.list(limit=2, order="asc")
    assert (page.has_more, page.first_id, page.last_id) == (True, made[0], made[1])  # type: ignore[attr-defined]
    assert client.files.delete(made[1]).deleted
    assert [file.id for file in client.files.list(after=made[1], order="asc", limit=10_000)] == [*made[2:], lines]
    assert client.files.list(after=lines, order="asc").data == []


def test_a_deleted_file_is_gone_and_so_is_its_blob(door: Service, client: OpenAI) -> None:
    sent = client.files.create(file=("a.txt", b"something"), purpose="user_data")
    before = len(door.blob_files())
    told = client.files.delete(sent.id)
    assert (told.id, told.object, told.deleted) == (sent.id, "file", True)
    assert len(door.blob_files()) == before - 1
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as error:
            ask(sent.id)
        assert error.value.request_id
        assert error.value.code == "not_found"


def test_nobody_has_what_is_anothers(door: Service, client: OpenAI) -> None:
    sent = client.files.create(file=("a.txt", b"secret"), purpose="user_data")
    other = of(door, "mallory@elsewhere")
    assert sent.id not in [file.id for file in other.files.list()]
    for ask in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(sent.id)
    assert client.files.retrieve(sent.id) == sent


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": "batch", "expires_after[anchor]": "yesterday"}, "expires_after.anchor"),
        ({"purpose": "batch", "expires_after[seconds]": "3599"}, "expires_after.seconds"),
        ({"purpose": "batch", "expires_after[seconds]": "2592001"}, "expires_after.seconds"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at"}, "expires_after.seconds"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(door: Service, fields: dict[str, str], param: str) -> None:
    before = len(door.blob_files())
    told = httpx.post(f"{door.url}/v1/files", data=fields, files={"file": ("a.jsonl", LINE)})
    assert (told.status_code, told.json()["error"]["param"]) == (400, param)
    assert len(door.blob_files()) == before


@pytest.mark.parametrize(
    "parts", [{"document": ("a", LINE)}, {}, [("file", ("a", LINE)), ("file", ("b", LINE))]], ids=str
)
def test_one_file_comes_in_a_part_named_file(door: Service, parts: object) -> None:
    before = len(door.blob_files())
    sent = {"data": {"purpose": "batch"}, "files": parts or {"other": ("", b"")}}
    told = httpx.post(f"{door.url}/v1/files", **sent)  # type: ignore[arg-type]
    assert told.status_code == 400
    assert told.json()["error"]["param"]
    assert len(door.blob_files()) == before


def test_the_same_request_under_its_key_makes_one_file(client: OpenAI) -> None:
    def send(content: bytes) -> str:
        told = client.files.create(file=("a.txt", content), purpose="user_data", extra_headers={"Idempotency-Key": "k"})
        return told.id

    assert send(b"one") == send(b"one")
    assert len(client.files.list().data) == 1
    with pytest.raises(openai.ConflictError) as error:
        send(b"two")
    assert error.value.response.headers["x-should-retry"] == "false"


def test_a_name_is_shown_and_never_a_path(client: OpenAI) -> None:
    sent = client.files.create(file=("../../etc/pass\x07wd", b"x"), purpose="user_data")
    assert "\x07" not in sent.filename
    assert client.files.content(sent.id).read() == b"x"


def test_what_is_streamed_in_is_not_held_in_memory(client: OpenAI, tmp_path: Path) -> None:
    """A few megabytes stand for many: pieces of any size come together again."""
    content = bytes(range(256)) * 16_384
    sent = client.files.create(file=io.BytesIO(content), purpose="user_data")
    assert client.files.content(sent.id).read() == content


def test_files_whose_time_is_over_go_with_their_blobs(door: Service) -> None:
    async def made() -> tuple[str, str]:
        blob = await door.store.blobs.put(b"old")
        about = ["filename", "old", "purpose", "user_data", "sha256", "0"]
        await files.put(door.store, "file-" + "0" * 26, payer=Account("old@lab"), blob=blob, keep_s=0.001, about=about)
        return "file-" + "0" * 26, blob.id

    async def gone(file: str) -> bool:
        return await files.find(door.store, "old@lab", file) is None

    file, blob = door.run(made())
    while not door.run(gone(file)):
        pass
    assert door.run(files.listed(door.store, "old@lab", after="", limit=9, newest_first=True, purpose="")) == (
        [],
        False,
    )
    assert blob in door.run(named(door))
    while door.run(files.expire(door.store)):
        pass
    assert blob not in door.run(named(door))
    assert not door.store.directory.path(blob).exists()


def test_the_sweeper_finds_what_files_name(door: Service, client: OpenAI) -> None:
    sent = client.files.create(file=("a.txt", b"something"), purpose="user_data")
    found = door.run(files.find(door.store, "test_the_sweeper_finds_what_files_name@lab", sent.id))
    assert found is not None
    assert found.blob in door.run(named(door))


async def named(door: Service) -> set[str]:
    return {name async for page in mentions(door.store) for names in page for name in names}


def test_files_are_documents_of_analyses_and_of_chats(tmp_path: Path) -> None:
    """Each analysis has a blob of its own: the file may go while it runs, and it while the file stays."""
    with Service(tmp_path) as service:
        client = of(service, "anna@lab")
        file = client.files.create(file=("letter.txt", b"The goods have arrived."), purpose="user_data")
        documents = [{"file_id": file.id, "custom_id": "a"}, {"file_id": file.id, "name": "b.txt"}, {"text": "More."}]
        headers = {"x-viiwork-submitter": "anna@lab"}
        address = f"{service.url}/v1/analyses"
        told = httpx.post(address, json={"task": "summarize", "documents": documents}, headers=headers)
        assert told.status_code == 202, told.text
        ask = f"{address}/{told.json()['id']}"
        while (status := httpx.get(ask, headers=headers).json())["state"] != "completed":
            pass
        assert status["counts"] == {"total": 3, "succeeded": 3, "failed": 0, "cancelled": 0}
        rows = httpx.get(f"{ask}/results", headers=headers).text
        assert '"document": "letter.txt"' in rows and '"document": "b.txt"' in rows
        assert rows.count("The goods have arrived.") == 2
        part = {"type": "file", "file": {"file_id": file.id}}
        said = client.chat.completions.create(model="standin", messages=[{"role": "user", "content": [part]}])  # type: ignore[list-item,misc]
        assert "The goods have arrived." in (said.choices[0].message.content or "")
        assert httpx.delete(ask, headers=headers).status_code in (200, 202)
        assert client.files.content(file.id).read() == b"The goods have arrived."
        client.files.delete(file.id)
        assert service.blob_files() == []


def test_an_analysis_of_what_is_not_ones_own_is_refused(door: Service, client: OpenAI) -> None:
    file = client.files.create(file=("letter.txt", b"Secret."), purpose="user_data")
    before = len(door.blob_files())
    for document, param, status in [
        ({"file_id": file.id}, "documents.0.file_id", 404),
        ({"file_id": "file-x"}, "documents.0.file_id", 404),
        ({"file_id": file.id, "text": "x"}, "documents.0.file_id", 400),
        ({}, "documents.0.text", 400),
    ]:
        told = httpx.post(f"{door.url}/v1/analyses", json={"task": "summarize", "documents": [document]})
        assert (told.status_code, told.json()["error"]["param"]) == (status, param)
    assert len(door.blob_files()) == before


def test_a_second_blob_of_the_same_content_lives_longer_than_the_first(door: Service) -> None:
    async def doubled() -> bytes:
        first = await door.store.directory.put(b"content")
        second = await door.store.directory.double(first.id)
        await door.store.blobs.delete(first.id)
        return await door.store.blobs.read(second)

    assert door.run(doubled()) == b"content"
