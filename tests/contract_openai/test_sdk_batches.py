"""`client.batches`, from the upload to the output and error files, as the SDK calls it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI
from openai._legacy_response import HttpxBinaryResponseContent

from tests.contract_openai.lines import CHAT, WITHIN_S, content, ended, held, jsonl, line, sent, started
from tests.front import MODEL, Front

REFUSED = {"temperature": 9}
MANY = 1500
"""Lines that are not all done while a busy machine does something else."""


def test_a_batch_from_upload_to_both_files(sdk: OpenAI) -> None:
    """Every line is in one of the two, once; the usage is theirs added up."""
    lines = [line(f"c-{n}", f"Question {n}") for n in range(6)]
    lines += [line("bad", **REFUSED), line("long", "river " * 20_000)]
    batch = started(sdk, jsonl(lines), metadata={"run": "7"})
    assert batch.object == "batch" and batch.id.startswith("batch_") and batch.status == "validating"
    assert batch.endpoint == CHAT and batch.completion_window == "24h" and batch.metadata == {"run": "7"}
    assert batch.errors is None and batch.output_file_id is None and batch.expires_at is not None
    batch = ended(sdk, batch)
    assert batch.status == "completed" and batch.completed_at and batch.in_progress_at and batch.finalizing_at
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 8, "completed": 6, "failed": 2}

    rows = content(sdk, batch.output_file_id)
    assert {row["custom_id"] for row in rows} == {f"c-{n}" for n in range(6)} and len(rows) == 6
    for row in rows:
        assert set(row) == {"id", "custom_id", "response", "error"} and row["id"].startswith("batch_req_")
        assert row["error"] is None and row["response"]["status_code"] == 200 and row["response"]["request_id"]
        assert row["response"]["body"]["object"] == "chat.completion"
    used = sum(row["response"]["body"]["usage"]["total_tokens"] for row in rows)
    assert batch.usage is not None and batch.usage.total_tokens == used
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens

    failed = {row["custom_id"]: row for row in content(sdk, batch.error_file_id)}
    assert set(failed) == {"bad", "long"}
    for row in failed.values():
        assert row["error"] is None and row["response"]["status_code"] == 400
        assert set(row["response"]["body"]["error"]) >= {"message", "type", "param", "code"}
    assert failed["bad"]["response"]["body"]["error"]["param"] == "temperature"
    assert failed["long"]["response"]["body"]["error"]["code"] == "context_length_exceeded"


def test_the_files_of_a_batch_are_files(sdk: OpenAI) -> None:
    batch = ended(sdk, started(sdk, jsonl([line("a")])))
    assert batch.output_file_id is not None and batch.error_file_id is None
    file = sdk.files.retrieve(batch.output_file_id)
    assert file.purpose == "batch_output" and file.bytes == len(sdk.files.content(file.id).read())
    assert file.id in [each.id for each in sdk.files.list(purpose="batch_output")]


def test_every_line_failed_is_completed_all_the_same(sdk: OpenAI) -> None:
    batch = ended(sdk, started(sdk, jsonl([line("a", **REFUSED), line("b", **REFUSED)])))
    assert batch.status == "completed" and batch.output_file_id is None
    assert {row["custom_id"] for row in content(sdk, batch.error_file_id)} == {"a", "b"}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": MODEL, "prompt": "Once", "max_tokens": 4}),
        ("/v1/embeddings", {"model": MODEL, "input": ["one", "two"]}),
    ],
)
def test_the_other_endpoints(sdk: OpenAI, endpoint: str, body: dict[str, object]) -> None:
    asked = [{"custom_id": "a", "method": "POST", "url": endpoint, "body": body}]
    batch = ended(sdk, started(sdk, jsonl(asked), endpoint=endpoint))
    (row,) = content(sdk, batch.output_file_id)
    assert row["response"]["body"]["object"] == ("list" if "input" in body else "text_completion")


def test_another_window_and_fields_of_ours(sdk: OpenAI) -> None:
    """The SDK lets both pass."""
    batch = started(sdk, jsonl([line("a")]), completion_window="1h", extra_body={"priority": "low"})
    assert batch.completion_window == "1h" and batch.expires_at == batch.created_at + 3600
    assert ended(sdk, batch).status == "completed"


def test_cancelling_keeps_what_was_finished(sdk: OpenAI) -> None:
    """What was not is in the error file, with `batch_cancelled`."""
    batch = started(sdk, jsonl([line(f"c-{n}", max_tokens=200) for n in range(MANY)]))
    while (sdk.batches.retrieve(batch.id).request_counts or batch.request_counts).completed < 3:  # type: ignore[union-attr]
        time.sleep(0.02)
    asked = sdk.batches.cancel(batch.id)
    assert asked.status in ("cancelling", "cancelled") and asked.cancelling_at is not None
    batch = ended(sdk, batch)
    assert batch.status == "cancelled" and batch.cancelled_at is not None
    done = {row["custom_id"] for row in content(sdk, batch.output_file_id)}
    undone = content(sdk, batch.error_file_id)
    assert len(done) >= 3 and done | {row["custom_id"] for row in undone} == {f"c-{n}" for n in range(MANY)}
    assert {(row["error"]["code"], row["response"]) for row in undone} == {("batch_cancelled", None)}
    assert sdk.batches.cancel(batch.id).status == "cancelled"


def test_what_is_not_done_in_the_window_is_told(sdk: OpenAI, front: Front) -> None:
    """An expired batch has an error file with `batch_expired`; what was done by then is in the output file."""
    batch = ended(sdk, held(sdk, front, extra_body={"deadline_s": 6}))
    undone = content(sdk, batch.error_file_id)
    assert batch.status == "expired" and batch.expired_at is not None
    assert {(row["error"]["code"], row["response"]) for row in undone} == {("batch_expired", None)}
    done = content(sdk, batch.output_file_id) if batch.output_file_id else []
    assert {row["custom_id"] for row in (*done, *undone)} == {f"c-{n}" for n in range(400)}


def test_partial_output_can_be_read_while_it_runs(sdk: OpenAI) -> None:
    """By an address of ours, for a file of the API's is whole; the lines are those that the file will have."""
    batch = started(sdk, jsonl([line(f"c-{n}", max_tokens=200) for n in range(300)]))
    try:
        early: list[dict[str, Any]] = []
        until_s = time.monotonic() + WITHIN_S
        while not early:
            assert time.monotonic() < until_s
            text = sdk.get(f"/batches/{batch.id}/output", cast_to=HttpxBinaryResponseContent).text
            early = [json.loads(each) for each in text.splitlines()]
        assert all(row["response"]["status_code"] == 200 for row in early)
    finally:
        with suppress(ConflictError):  # a busy machine may have been done with it by now
            sdk.batches.cancel(batch.id)
    rows = content(sdk, ended(sdk, batch).output_file_id)
    assert all(row in rows for row in early)


def test_the_list_pages_through_all_of_them(sdk: OpenAI) -> None:
    file = sent(sdk, jsonl([line("a")]))
    made = [
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"n": str(n)}).id
        for n in range(5)
    ]
    ids = [batch.id for batch in sdk.batches.list(limit=2)]
    assert [each for each in ids if each in made] == made[::-1] and len(set(ids)) == len(ids)
    page = sdk.batches.list(limit=2, after=made[4])
    assert [batch.id for batch in page.data] == [made[3], made[2]] and page.has_more
    assert len(sdk.batches.list().data) <= 20
    for limit in (0, 101):
        with pytest.raises(BadRequestError) as told:
            sdk.batches.list(limit=limit)
        assert told.value.param == "limit"


def test_what_is_wrong_with_the_order_is_a_400(sdk: OpenAI) -> None:
    """The SDK would retry a 5xx, and a batch that fails later is found out late."""
    file = sent(sdk, jsonl([line("a")]))
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for wrong, param in (
        ({"endpoint": "/v1/nonsense"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
    ):
        with pytest.raises(BadRequestError) as told:
            sdk.batches.create(**(good | wrong))  # type: ignore[arg-type]
        assert str(told.value.param).startswith(param), (wrong, told.value.param)
    for missing in good:
        with pytest.raises(BadRequestError) as told:
            sdk.post("/batches", cast_to=object, body={name: good[name] for name in good if name != missing})
        assert told.value.param == missing
    with pytest.raises(NotFoundError) as unknown:
        sdk.batches.create(**(good | {"input_file_id": "file-nonsense"}))  # type: ignore[arg-type]
    assert unknown.value.param == "input_file_id"
    with pytest.raises(NotFoundError):
        sdk.batches.retrieve("batch_nonsense")
    with pytest.raises(NotFoundError):
        sdk.batches.cancel("batch_nonsense")


def test_a_file_for_something_else_is_no_batch(sdk: OpenAI) -> None:
    file = sdk.files.create(file=jsonl([line("a")]), purpose="user_data")
    with pytest.raises(BadRequestError) as told:
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert told.value.param == "input_file_id"


def test_a_batch_that_was_sent_twice_under_one_key_is_one(sdk: OpenAI) -> None:
    """The SDK sends no such key by itself; whoever does is heard."""
    file = sent(sdk, jsonl([line("a")]))
    ids = {
        sdk.batches.create(
            input_file_id=file.id,
            endpoint=CHAT,
            completion_window="24h",
            extra_headers={"Idempotency-Key": f"once-{file.id}"},
        ).id
        for _ in range(2)
    }
    assert len(ids) == 1


def test_how_long_the_output_is_kept_can_be_said(sdk: OpenAI) -> None:
    said = {"anchor": "created_at", "seconds": 3600}
    batch = ended(sdk, started(sdk, jsonl([line("a")]), output_expires_after=said))
    assert batch.output_file_id is not None
    file = sdk.files.retrieve(batch.output_file_id)
    assert file.expires_at == file.created_at + 3600
