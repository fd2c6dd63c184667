"""`client.files`, as the SDK calls it."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.contract_openai.lines import jsonl, line, sent
from tests.front import Front

DAY_S = 86_400


def test_a_file_from_upload_to_deletion(sdk: OpenAI) -> None:
    """The bytes come back as they were sent; a deleted one is gone."""
    whole = jsonl([line("a"), line("b")])
    file = sdk.files.create(file=("two lines.jsonl", whole), purpose="batch")
    assert file.object == "file" and file.purpose == "batch" and file.status == "processed"
    assert (file.bytes, file.filename) == (len(whole), "two lines.jsonl")
    assert file.expires_at is not None and file.expires_at - file.created_at == 30 * DAY_S
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.content(file.id).read() == whole
    assert sdk.files.wait_for_processing(file.id) == file
    gone = sdk.files.delete(file.id)
    assert (gone.id, gone.object, gone.deleted) == (file.id, "file", True)
    with pytest.raises(NotFoundError):
        sdk.files.retrieve(file.id)
    with pytest.raises(NotFoundError):
        sdk.files.delete(file.id)


def test_how_long_it_is_kept_can_be_said(sdk: OpenAI) -> None:
    file = sdk.files.create(
        file=io.BytesIO(b"{}\n"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600
    for seconds in (3599, 2_592_001):
        with pytest.raises(BadRequestError) as told:
            sdk.files.create(file=b"{}\n", purpose="batch", expires_after={"anchor": "created_at", "seconds": seconds})
        assert "expires_after" in str(told.value.param)


def test_bytes_paths_and_handles_are_all_files(sdk: OpenAI, tmp_path: Path) -> None:
    """Also one without an end of its last line, and one that is no JSON at all, for another purpose."""
    path = tmp_path / "notes.txt"
    path.write_text("not JSON", "utf-8")
    with path.open("rb") as handle:
        for given in (path, handle, b"not JSON"):
            file = sdk.files.create(file=given, purpose="user_data")
            assert (file.bytes, file.purpose) == (8, "user_data")


def test_the_list_pages_through_all_of_them(sdk: OpenAI) -> None:
    """Newest first unless asked otherwise; by purpose too. The SDK goes on by itself until there are no more."""
    made = [sent(sdk, b"{}\n", name=f"page-{n}.jsonl").id for n in range(5)]
    ids = [file.id for file in sdk.files.list(limit=2, purpose="batch")]
    assert [each for each in ids if each in made] == made[::-1]
    assert len(set(ids)) == len(ids)
    rising = [file.id for file in sdk.files.list(limit=2, order="asc") if file.id in made]
    assert rising == made
    page = sdk.files.list(limit=2, after=made[4], purpose="batch")
    assert [file.id for file in page.data] == [made[3], made[2]] and page.has_more
    assert not [file for file in sdk.files.list(purpose="vision") if file.id in made]


def test_all_can_be_deleted_while_they_are_listed(sdk: OpenAI) -> None:
    """The next page begins behind a file that is gone by then."""
    made = {sent(sdk, b"{}\n").id for _ in range(5)}
    gone = [sdk.files.delete(file.id).id for file in sdk.files.list(limit=2, purpose="batch") if file.id in made]
    assert len(gone) == 5 and set(gone) == made


def test_a_page_has_its_first_and_last_id(sdk: OpenAI, front: Front) -> None:
    """As other programs page."""
    sent(sdk, b"{}\n")
    page = httpx.get(f"{front.url}/v1/files", params={"limit": 1}).json()
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}
    assert page["first_id"] == page["last_id"] == page["data"][0]["id"]


def test_what_is_wrong_is_named(sdk: OpenAI, front: Front) -> None:
    with pytest.raises(BadRequestError) as told:
        sdk.files.create(file=b"x", purpose="nonsense")  # type: ignore[arg-type]
    assert told.value.param == "purpose"
    nothing = httpx.post(f"{front.url}/v1/files", data={"purpose": "batch"}, files={"other": b"x"})
    assert nothing.status_code == 400 and nothing.json()["error"]["param"] == "other"
    for wrong in ("nonsense", "file-nonsense"):
        with pytest.raises(NotFoundError):
            sdk.files.retrieve(wrong)
