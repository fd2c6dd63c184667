"""A PDF as a part of a turn: by its id, and as data in the request."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.contract_openai.lines import content, ended, jsonl, line, started
from tests.front import MODEL

ASK = "What is it?"


def asked(sdk: OpenAI, part: dict[str, Any], **more: Any) -> Any:
    """The answer to a question about a file, with how many tokens the prompt had."""
    turn = {"role": "user", "content": [{"type": "file", "file": part}, {"type": "text", "text": ASK}]}
    return sdk.chat.completions.create(model=MODEL, messages=[turn], max_tokens=8, **more)  # type: ignore[list-item]


def as_data(whole: bytes, kind: str = "application/pdf") -> str:
    return f"data:{kind};base64,{base64.b64encode(whole).decode()}"


def test_by_its_id_and_as_data_it_is_the_same_question(sdk: OpenAI, pdf: Path) -> None:
    """The engine answers the same with the same: both ways gave it the same text of the page."""
    file = sdk.files.create(file=pdf, purpose="user_data")
    by_id = asked(sdk, {"file_id": file.id})
    by_data = asked(sdk, {"file_data": as_data(pdf.read_bytes()), "filename": pdf.name})
    assert by_id.choices[0].message.content == by_data.choices[0].message.content
    bare = sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "What is it?"}], max_tokens=8)
    assert by_id.usage.prompt_tokens > bare.usage.prompt_tokens + 5  # type: ignore[union-attr]


def test_in_a_stream(sdk: OpenAI, pdf: Path) -> None:
    part = {"file_data": as_data(pdf.read_bytes()), "filename": pdf.name}
    whole = asked(sdk, part, temperature=0).choices[0].message.content
    chunks = list(asked(sdk, part, temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole


def test_in_the_lines_of_a_batch(sdk: OpenAI, pdf: Path) -> None:
    """The same question at night has the same answer."""
    file = sdk.files.create(file=pdf, purpose="user_data")
    by_day = asked(sdk, {"file_id": file.id}, temperature=0).choices[0].message.content
    turn = {"role": "user", "content": [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": ASK}]}
    rows = [line(name, messages=[turn], max_tokens=8, temperature=0) for name in ("a", "b")]
    batch = ended(sdk, started(sdk, jsonl(rows)))
    said = [row["response"]["body"]["choices"][0]["message"]["content"] for row in content(sdk, batch.output_file_id)]
    assert said == [by_day, by_day]


def test_what_cannot_be_read_is_a_400_with_the_reason(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as told:
        asked(sdk, {"file_data": as_data(b"%PDF-1.7 and no more"), "filename": "broken.pdf"})
    assert told.value.code == "damaged" and "file" in str(told.value.param)
    with pytest.raises(BadRequestError) as told:
        asked(sdk, {"file_data": "data:application/pdf;base64,%%%", "filename": "a.pdf"})
    assert "file_data" in str(told.value.param)
    with pytest.raises((BadRequestError, NotFoundError)) as missing:
        asked(sdk, {"file_id": "file-nonsense"})
    assert "file_id" in str(missing.value.param)


def test_too_long_for_the_model_is_refused_with_a_pointer(sdk: OpenAI) -> None:
    """Where analyses can be had, which cut it to parts."""
    with pytest.raises(BadRequestError) as told:
        asked(sdk, {"file_data": as_data(b"river " * 20_000, "text/plain"), "filename": "rivers.txt"})
    assert told.value.code == "context_length_exceeded" and "/v1/analyses" in told.value.message
