"""The lines of a batch: cut from bytes, checked against each other, made to jobs, and told as lines of a file again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.api.openai.batchlines import ENDPOINTS, EXPIRED, Target, body_of, jobs_of_line, line_of, misfit, unanswered
from viiwork.api.scales import TOO_LONG, Misfit
from viiwork.batches import linecheck
from viiwork.batches.linecheck import LineCheck, Request, read
from viiwork.batches.linecut import FileLine, LineCut
from viiwork.batches.window import seconds_of
from viiwork.jobs import Fault, Job, Lane, Result, Row, Settle, State, TaskName, new_id
from viiwork.schema import FILES
from viiwork.store.leases import INPUT
from viiwork.work import Answer, ChatInput, RefusedInput, Usage

CHAT = "/v1/chat/completions"
BATCH = new_id("an")
TARGET = Target(BATCH, "anna@lab", CHAT, "m", 60.0)


def line(custom_id: object = "a", **others: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | others).encode()


def checked(*lines: bytes) -> LineCheck:
    found, cut = LineCheck(CHAT), LineCut(max_line_bytes=1000)
    for one in (*cut.feed(b"\n".join(lines)), *cut.finish()):
        found.look(one)
    found.finish()
    return found


def codes(*lines: bytes) -> list[tuple[str, int | None, str | None]]:
    return [(fault.code, fault.line, fault.param) for fault in checked(*lines).faults]


class TestCutting:
    @given(st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")), max_size=8), st.integers(1, 7))
    def test_pieces_of_any_size_give_the_same_lines(self, lines: Sequence[bytes], size: int) -> None:
        whole = b"\n".join(lines)
        cut = LineCut(max_line_bytes=100)
        found = [one for at in range(0, len(whole), size) for one in cut.feed(whole[at : at + size])]
        found += cut.finish()
        expected = [(n, raw) for n, raw in enumerate(whole.removeprefix(b"").split(b"\n"), 1) if raw.strip()]
        assert [(one.number, one.raw) for one in found] == [
            (n, raw.removeprefix(b"\xef\xbb\xbf") if n == 1 else raw) for n, raw in expected
        ]

    def test_a_line_that_is_too_long_is_told_of_and_not_kept(self) -> None:
        cut = LineCut(max_line_bytes=10)
        found = [one for _ in range(1000) for one in cut.feed(b"x" * 1000)]
        found += [*cut.feed(b"\nshort\n" + b"y" * 11), *cut.finish()]
        assert found == [FileLine(1, b"", True), FileLine(2, b"short"), FileLine(3, b"", True)]

    def test_a_byte_order_mark_and_the_line_ends_of_windows_do_no_harm(self) -> None:
        assert checked(b"\xef\xbb\xbf" + line("a") + b"\r", b"", line("b") + b"\r", b"").faults == []


class TestChecking:
    def test_what_is_right_has_its_model_and_its_number_of_lines(self) -> None:
        found = checked(line("a"), b"", line("b"))
        assert (found.faults, found.lines, found.model) == ([], 2, "m")

    @pytest.mark.parametrize("given", [b"", b"\n\n", b"  \r\n\t"])
    def test_an_empty_file(self, given: bytes) -> None:
        assert codes(given) == [("empty_file", None, None)]

    @pytest.mark.parametrize(
        "bad",
        [
            b"{",
            b"\xff\xfe{}",
            b"[]",
            b"null",
            b'{"a": NaN}',
            b"[" * 900,
            b"x" * 1001,
            b'{"custom_id": "\xe9"}',
        ],
    )
    def test_lines_that_are_no_json_objects(self, bad: bytes) -> None:
        assert codes(line("a"), bad, line("b")) == [("invalid_json_line", 2, None)]

    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"custom_id": 7}, "invalid_json_line", "custom_id"),
            ({"custom_id": ""}, "invalid_json_line", "custom_id"),
            ({"custom_id": "x" * 513}, "invalid_json_line", "custom_id"),
            ({"custom_id": "\ud800"}, "invalid_json_line", "custom_id"),
            ({"method": "GET"}, "invalid_json_line", "method"),
            ({"url": "/v1/embeddings"}, "url_mismatch", "url"),
            ({"url": None}, "url_mismatch", "url"),
            ({"body": "text"}, "invalid_json_line", "body"),
            ({"body": {"messages": []}}, "invalid_json_line", "body.model"),
            ({"body": {"model": "other"}}, "model_mismatch", "body.model"),
        ],
    )
    def test_lines_that_are_no_requests_of_the_batch(self, fields: dict[str, Any], code: str, param: str) -> None:
        assert codes(line("a"), line(**{"custom_id": "b"} | fields)) == [(code, 2, param)]

    def test_the_same_id_twice(self) -> None:
        assert codes(line("a"), line("b"), line("a"), line("b")) == [
            ("duplicate_custom_id", 3, "custom_id"),
            ("duplicate_custom_id", 4, "custom_id"),
        ]

    def test_one_line_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(linecheck, "MAX_LINES", 2)
        assert codes(line("a"), line("b"), line("c")) == [("too_many_tasks", 3, None)]

    def test_so_many_faults_are_enough(self) -> None:
        found = LineCheck(CHAT)
        for number in range(1000):
            if found.hopeless:
                break
            found.look(FileLine(number + 1, b"{"))
        assert len(found.faults) == linecheck.MOST_TOLD

    def test_no_fault_repeats_what_was_sent(self) -> None:
        bad = (line("secret", url="secret"), line("secret", body={"model": "secret"}), b"secret")
        faults = checked(line("a"), *bad).faults
        assert len(faults) == 3
        assert "secret" not in " ".join(fault.message for fault in faults)


def jobs_for(request: Request, target: Target) -> list[Job]:
    """The jobs of a line, or the one that says why it is none."""
    body = body_of(request, target)
    return [body] if isinstance(body, Job) else jobs_of_line(request, body, target)


def job_of(request: Request, target: Target) -> Job:
    """The only job of a line."""
    (job,) = jobs_for(request, target)
    return job


def asked(**body: Any) -> Request:
    said = {"model": "m", "messages": [{"role": "user", "content": "hello"}]} | body
    return read(FileLine(7, line("a", body=said)), CHAT)


class TestJobs:
    def test_a_line_becomes_a_job_of_the_batch_lane_by_its_number(self) -> None:
        job = job_of(asked(max_tokens=5, metadata={"k": "v"}), TARGET)
        assert (job.id, job.batch, job.lane, job.model, job.custom_id) == (f"{BATCH}-6", BATCH, Lane.BATCH, "m", "a")
        assert (job.tenant, job.metadata, job.task) == ("anna@lab", {"k": "v"}, TaskName.RUN)
        assert isinstance(job.input, ChatInput)
        assert (job.input.max_output_tokens, job.input.stream) == (5, False)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"temperature": 5}, "temperature:"),
            ({"messages": []}, "messages:"),
            ({"stream": True}, "stream:"),
            ({"n": 9}, "n:"),
            ({"messages": [{"role": "user", "content": "\ud800"}]}, "body:"),
        ],
    )
    def test_what_a_line_may_not_ask_fails_by_itself(self, body: dict[str, Any], field: str) -> None:
        job = job_of(asked(**body), TARGET)
        assert (job.id, job.model, job.task, job.schema_version) == (f"{BATCH}-6", "read", TaskName.READ, FILES)
        assert isinstance(job.input, RefusedInput)
        assert job.input.message.startswith(field)

    def test_several_answers_are_jobs_of_one_line(self) -> None:
        """The line's own comes last: whoever finds it finds all."""
        *parts, own = jobs_for(asked(n=3, seed=7), TARGET)
        assert [job.id for job in parts] == [f"{BATCH}-6c1", f"{BATCH}-6c2"]
        assert {(job.item, job.settle) for job in parts} == {(own.id, Settle.NEVER)}
        assert (own.id, own.item, own.settle) == (f"{BATCH}-6", "", Settle.ALWAYS)
        answers = [Answer(text=str(n), usage=Usage(prompt_tokens=3, output_tokens=1)) for n in range(3)]
        others = [(State.SUCCEEDED, Result(answer=answer)) for answer in answers[1:]]
        ended = row(answer=answers[0], metadata=own.metadata)
        answered, raw = line_of(ended, TARGET, created_ms=0, others=others)
        body = json.loads(raw)["response"]["body"]
        assert answered
        assert [(one["index"], one["message"]["content"]) for one in body["choices"]] == [(0, "0"), (1, "1"), (2, "2")]
        assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (3, 3)
        others[1] = (State.DEAD, Result(fault=Fault(code="dead", message="Given up.")))
        assert not line_of(ended, TARGET, created_ms=0, others=others)[0]

    def test_what_is_too_long_does_too(self) -> None:
        why = Misfit("messages", "the prompt has 9 tokens", "Shorten it.", TOO_LONG)
        work = misfit(asked(), TARGET, why).input
        assert work == RefusedInput(code=TOO_LONG, message="messages: the prompt has 9 tokens. Shorten it.")


def told(row: Row, target: Target = TARGET) -> tuple[bool, dict[str, Any]]:
    answered, raw = line_of(row, target, created_ms=5000)
    assert raw.endswith(b"\n")
    return answered, json.loads(raw)


def row(state: State = State.SUCCEEDED, **fields: Any) -> Row:
    return Row(**{"index": 6, "custom_id": "a", "document": "", "state": state} | fields)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=8), some, max_size=4)
)
FIELDS = st.sampled_from(
    ["messages", "prompt", "input", "n", "stop", "tools", "stream", "logprobs", "metadata", "seed"]
)


class TestAnything:
    @given(st.lists(st.binary(max_size=60) | JSON.map(lambda said: json.dumps(said).encode()), max_size=6))
    def test_no_file_is_too_odd_to_be_told_what_is_wrong_with_it(self, lines: Sequence[bytes]) -> None:
        assert checked(*lines).faults

    @given(st.sampled_from(list(ENDPOINTS)), st.dictionaries(FIELDS | st.text(max_size=8), JSON, max_size=5))
    def test_no_body_is_too_odd_to_become_a_job(self, endpoint: str, body: dict[str, Any]) -> None:
        """One that can be written down, and read again by whoever runs it."""
        target = Target(BATCH, "anna@lab", endpoint, "m", 60.0)
        for job in jobs_for(Request(7, "a", "m", body | {"model": "m"}), target):
            assert INPUT.validate_json(job.input.model_dump_json()) == job.input


class TestOutput:
    def test_an_answer_is_a_response_of_the_endpoint(self) -> None:
        answer = Answer(text="Hallo.\u2028", usage=Usage(prompt_tokens=3, output_tokens=2))
        answered, said = told(row(answer=answer))
        assert answered
        assert (said["custom_id"], said["error"], said["response"]["status_code"]) == ("a", None, 200)
        assert said["id"] == f"batch_req_{BATCH[3:]}_7"
        assert said["response"]["request_id"]
        body = said["response"]["body"]
        assert (body["object"], body["model"], body["created"]) == ("chat.completion", "m", 5)
        assert body["choices"][0]["message"]["content"] == "Hallo.\u2028"
        assert body["usage"]["total_tokens"] == 5

    def test_vectors_are_packed_where_that_was_asked_for(self) -> None:
        target = Target(BATCH, "t", "/v1/embeddings", "m", 60.0)
        said = {"model": "m", "input": ["x"], "encoding_format": "base64"}
        job = job_of(Request(7, "a", "m", said), target)
        answer = Answer(text="", embeddings=((1.0, 2.0),))
        body = told(row(answer=answer, metadata=job.metadata), target)[1]["response"]["body"]
        assert isinstance(body["data"][0]["embedding"], str)
        body = told(row(answer=answer), target)[1]["response"]["body"]
        assert body["data"][0]["embedding"] == [1.0, 2.0]

    @pytest.mark.parametrize(
        ("state", "fault", "status", "code"),
        [
            (State.FAILED, Fault(code="invalid_request", message="n: no."), 400, "invalid_request"),
            (State.FAILED, Fault(code="context_length", message="messages: long."), 400, "context_length_exceeded"),
            (State.DEAD, Fault(code="dead", message="Given up."), 500, "dead"),
        ],
    )
    def test_a_failure_is_an_http_error(self, state: State, fault: Fault, status: int, code: str) -> None:
        answered, said = told(row(state, error=fault))
        assert not answered
        assert (said["response"]["status_code"], said["error"]) == (status, None)
        assert said["response"]["body"]["error"]["code"] == code

    @pytest.mark.parametrize(
        ("state", "fault", "code"),
        [
            (State.EXPIRED, Fault(code="expired", message="x"), "batch_expired"),
            (State.CANCELLED, Fault(code="cancelled", message="x"), "batch_cancelled"),
            (State.FAILED, Fault(code="timeout", message="x"), "request_timeout"),
        ],
    )
    def test_what_never_came_to_a_response_says_so(self, state: State, fault: Fault, code: str) -> None:
        answered, said = told(row(state, error=fault))
        assert not answered
        assert (said["response"], said["error"]["code"]) == (None, code)

    def test_what_was_never_a_job_is_told_alike(self) -> None:
        said = json.loads(unanswered(TARGET, 6, "a", EXPIRED))
        assert said == told(row(State.EXPIRED))[1]


@pytest.mark.parametrize(
    ("window", "seconds"),
    [("24h", 86_400), ("1h", 3600), ("90m", 5400), ("7d", 604_800), ("366d", 366 * 86_400), ("367d", None)]
    + [(bad, None) for bad in ("", "0h", "24", "h", "1w", "-1h", "24H", "1.5h", " 24h", "24h\n", "9999999d")],
)
def test_windows(window: str, seconds: float | None) -> None:
    assert seconds_of(window) == seconds
