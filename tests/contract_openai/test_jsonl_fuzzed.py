"""Files of lines that are wrong, by plan and by chance: each ends as a batch that says so, or that did its lines."""

from __future__ import annotations

import json
import random

import pytest
from openai import OpenAI

from tests.contract_openai.lines import CHAT, codes, content, ended, jsonl, line, started
from tests.front import MODEL

CODES = {
    "invalid_json_line",
    "duplicate_custom_id",
    "url_mismatch",
    "model_mismatch",
    "empty_file",
    "too_many_tasks",
}
"""All that the contract has."""
SEED, FILES = 20_261_122, 40


@pytest.mark.parametrize(
    ("name", "whole", "wanted"),
    [
        ("empty", b"", [("empty_file", None)]),
        ("blank lines", b"\n\n  \n", [("empty_file", None)]),
        ("bad UTF-8", jsonl([line("a")]) + b'{"custom_id": "\xff\xfe"}\n', [("invalid_json_line", 2)]),
        ("no JSON", jsonl([line("a")]) + b"{not json\n", [("invalid_json_line", 2)]),
        ("no object", b"[1, 2]\n", [("invalid_json_line", 1)]),
        ("NaN", jsonl([line("a")]).replace(b'"max_tokens": 4', b'"max_tokens": NaN'), [("invalid_json_line", 1)]),
        ("deep", b'{"custom_id": "a", "body": ' + b"[" * 100_000 + b"\n", [("invalid_json_line", 1)]),
        ("twice", jsonl([line("a"), line("b"), line("a")]), [("duplicate_custom_id", 3)]),
        ("elsewhere", jsonl([line("a"), line("b", url="/v1/embeddings")]), [("url_mismatch", 2)]),
        ("two models", jsonl([line("a"), line("b", model="another")]), [("model_mismatch", 2)]),
    ],
)
def test_a_file_that_cannot_be_is_a_failed_batch(
    sdk: OpenAI, name: str, whole: bytes, wanted: list[tuple[str, int | None]]
) -> None:
    """With the contract's code, and the line where there is one; nothing of it is done."""
    batch = ended(sdk, started(sdk, whole))
    assert batch.status == "failed" and batch.failed_at is not None, name
    assert codes(batch) == wanted
    assert batch.errors is not None and all(each.message for each in batch.errors.data or ())
    assert batch.output_file_id is None and batch.error_file_id is None


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("no custom_id", {"method": "POST", "url": CHAT, "body": {"model": MODEL}}),
        ("a number as custom_id", line("a") | {"custom_id": 7}),
        ("another method", line("a") | {"method": "GET"}),
        ("no body", {"custom_id": "a", "method": "POST", "url": CHAT}),
        ("a stream", line("a", stream=True)),
    ],
)
def test_a_line_that_cannot_be_is_told(sdk: OpenAI, name: str, one: dict[str, object]) -> None:
    """Either the file fails with its line, or the line is in the error file; the other one is never lost unheard."""
    batch = ended(sdk, started(sdk, jsonl([line("good"), one])))
    if batch.status == "failed":
        assert [where for _, where in codes(batch)] == [2], name
        return
    (row,) = content(sdk, batch.error_file_id)
    assert row["response"]["status_code"] == 400, name
    assert [each["custom_id"] for each in content(sdk, batch.output_file_id)] == ["good"]


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(sdk: OpenAI) -> None:
    whole = b"\xef\xbb\xbf" + jsonl([line("a"), line("ü\u2028")]).replace(b"\n", b"\r\n") + b"\r\n"
    batch = ended(sdk, started(sdk, whole))
    assert batch.status == "completed", batch.errors
    assert {row["custom_id"] for row in content(sdk, batch.output_file_id)} == {"a", "ü\u2028"}


def test_a_line_of_ten_megabytes_is_answered_for(sdk: OpenAI) -> None:
    """It fits no model: it is in the error file, or the file fails by that line; the service goes on."""
    big = json.dumps(line("big", "river " * 1_700_000)).encode() + b"\n"
    batch = ended(sdk, started(sdk, jsonl([line("a")]) + big))
    if batch.status == "failed":
        assert [where for _, where in codes(batch)] == [2]
    else:
        assert [row["custom_id"] for row in content(sdk, batch.error_file_id)] == ["big"]
        assert [row["custom_id"] for row in content(sdk, batch.output_file_id)] == ["a"]
    assert sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=4).choices


def test_more_lines_than_a_batch_may_have(sdk: OpenAI) -> None:
    """The code is that of the first line too many."""
    one = json.dumps(line("%d")).encode() + b"\n"
    batch = ended(sdk, started(sdk, b"".join(one % n for n in range(50_001))))
    assert batch.status == "failed" and codes(batch) == [("too_many_tasks", 50_001)]


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or put in."""
    said = bytearray(whole)
    for _ in range(chance.randint(0, 2)):
        at = chance.randrange(len(said))
        end = min(len(said), at + chance.randint(1, 40))
        match chance.randrange(4):
            case 0:
                said[at] = chance.randrange(256)
            case 1:
                del said[at:end]
            case 2:
                said[at:at] = said[at:end]
            case _:
                said[at:at] = chance.randbytes(chance.randint(1, 8))
        if not said:
            break
    return bytes(said)


def test_damaged_files_end_as_the_contract_has_it(sdk: OpenAI) -> None:
    """Either with its codes and nothing done, or with every line in one of the two files, once."""
    chance = random.Random(SEED)
    whole = jsonl([line(f"c-{number}") for number in range(4)])
    batches = [started(sdk, damaged(whole, chance)) for _ in range(FILES)]
    states = set()
    for batch in (ended(sdk, each) for each in batches):
        states.add(batch.status)
        if batch.status == "failed":
            assert batch.errors is not None and batch.errors.data
            assert {each.code for each in batch.errors.data} <= CODES
            assert batch.output_file_id is None and batch.error_file_id is None
            continue
        assert batch.status == "completed" and batch.request_counts is not None
        rows = [row for file in (batch.output_file_id, batch.error_file_id) if file for row in content(sdk, file)]
        assert len({row["custom_id"] for row in rows}) == len(rows) == batch.request_counts.total
    assert states == {"failed", "completed"}
