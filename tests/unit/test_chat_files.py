"""What the documents of one chat may cost: it is not taken yet while they are read, and its sender may be gone."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Message

from keyed import keyed_door
from standin import MODEL
from viiwork.api.openai import attachments
from viiwork.api.openai.attachments import Attachments, Kept, Texts
from viiwork.api.openai.bodies import ChatBody
from viiwork.api.openai.content import MAX_FILES, FilePart
from viiwork.api.openai.waiting import HungUp, unless_gone
from viiwork.api.problems import wrong_field
from viiwork.documents.contents import Contents
from viiwork.documents.document import Document
from viiwork.errors import DocumentError, UsageError
from viiwork.limits import Limits
from viiwork.store import apikeys
from viiwork.store.blobs import BlobStore

FILE = {"type": "file", "file": {"file_id": "file-a"}}


def chat(*turns: int) -> ChatBody:
    """A chat whose turns hold so many files each."""
    messages = [{"role": "user", "content": [FILE] * files} for files in turns]
    return ChatBody.model_validate_json(json.dumps({"model": MODEL, "messages": messages}))


async def kept(_file_id: str) -> Kept:
    return Kept("a.txt", "0" * 32)


def test_a_chat_holds_few_files() -> None:
    assert sum(len(turn.files) for turn in chat(MAX_FILES - 1, 1).messages) == MAX_FILES
    with pytest.raises(ValidationError) as refused:
        chat(MAX_FILES, 1)
    told = wrong_field(refused.value, of=ChatBody)
    assert told.param == "messages"
    assert f"at most {MAX_FILES} files, not {MAX_FILES + 1}; POST /v1/analyses" in str(told)


async def test_one_file_named_many_times_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read once, and the chat ends where its documents are too long together, in one turn or over several."""
    looked = 0

    async def look(_self: Attachments, _part: FilePart, _kept: Kept | None, _name: str) -> Contents:
        nonlocal looked
        looked += 1
        return Contents(Document(media_type="text/plain", pages=("x" * 1000,)))

    monkeypatch.setattr(Attachments, "_look", look)
    monkeypatch.setattr(attachments, "MAX_CHARACTERS", 2500)
    for turns, where in (((9,), "messages.0.content.2.file"), ((1, 9), "messages.1.content.1.file")):
        looked = 0
        with pytest.raises(UsageError, match="over 2,500 characters") as refused:
            await Attachments(BlobStore(tmp_path)).resolve(chat(*turns), kept)
        assert (refused.value.param, refused.value.code, looked) == (where, "context_length", 1)


async def test_what_was_read_is_remembered_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that cannot be read is, too; one whose reader died is not: that may have been another's doing."""
    monkeypatch.setattr(attachments, "REMEMBERED_CHARACTERS", 2 * attachments.SMALLEST + 10)
    told: dict[str, str | DocumentError] = {"a": "x" * 9, "b": "y" * 9, "big": "z" * 9000}
    told |= {code: DocumentError("No.", code=code) for code in ("crash", "timeout")}
    texts, asked = Texts(), ""

    async def read(blob: str) -> str:
        nonlocal asked
        asked += f"{blob} "
        if isinstance(found := told[blob], DocumentError):
            raise found
        return found

    for blob in ("a", "a", "timeout", "timeout", "crash", "crash", "b", "a", "big", "big"):
        with suppress(DocumentError):
            assert await texts.of(blob, "a.txt", partial(read, blob)) == told[blob]
    assert asked == "a timeout crash crash b a big big "


async def test_who_hangs_up_is_read_nothing_more() -> None:
    left = asyncio.Event()
    ended = False

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def work() -> None:
        nonlocal ended
        try:
            left.set()
            await asyncio.Event().wait()
        finally:
            ended = True

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(HungUp):
        await unless_gone(request, work())
    assert ended


async def test_who_stays_has_what_comes_of_it() -> None:
    """Its error too."""

    async def fails() -> None:
        raise UsageError("no")

    request = Request({"type": "http", "headers": []}, asyncio.Event().wait)  # type: ignore[arg-type]  # never comes
    assert await unless_gone(request, kept("file-a")) == Kept("a.txt", "0" * 32)
    with pytest.raises(UsageError, match="no"):
        await unless_gone(request, fails())


async def test_nothing_is_read_for_whom_limits_keep_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a key could have the service read without end, and be charged for nothing."""
    looked = False

    async def look(_self: Attachments, _part: FilePart, _kept: Kept | None, _name: str) -> Contents:
        nonlocal looked
        looked = True
        return Contents(Document(media_type="text/plain", pages=("",)))

    monkeypatch.setattr(Attachments, "_look", look)
    asked = {
        "model": MODEL,
        "n": 2,
        "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "aGk="}}]}],
    }
    async with keyed_door(tmp_path) as door:
        made = await apikeys.create(door.store, "anna", limits=Limits(interactive_requests_per_minute=1))
        refused = await door.ask(made.secret, "POST", "/v1/chat/completions", json=asked)
    assert refused.status_code == 429, refused.text
    assert "rate_limit_exceeded" in refused.text
    assert not looked
