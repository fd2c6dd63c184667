"""What clients of the OpenAI API send, the jobs that it becomes, and the responses that are made of their ends."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from viiwork.api.openai.answers import Facts, job_of, response_id, response_of
from viiwork.api.openai.asked import check_length, created_ms, ids_of
from viiwork.api.openai.bodies import BODIES, AnyBody, ChatBody, CompletionBody, EmbeddingBody
from viiwork.api.openai.chunks import Chunks
from viiwork.api.openai.content import FilePart
from viiwork.api.openai.faults import failure_from, failure_of
from viiwork.api.openai.orders import jobs_of, parts_of
from viiwork.api.problems import wrong_field
from viiwork.api.work import characters
from viiwork.errors import Busy, UsageError
from viiwork.jobs import Fault, Job, Lane, State
from viiwork.store.ears import Ear, Mark, Vigil
from viiwork.work import Answer, ChatInput, CompletionInput, Usage

FACTS = Facts(job="job_x", model="m", created_ms=5_000)


def chat(**fields: Any) -> ChatBody:
    return ChatBody.model_validate_json(json.dumps({"model": "m", "messages": [user("hi")], **fields}))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def refusal(kind: type[BaseModel], **fields: Any) -> UsageError:
    """Why a body is refused."""
    with pytest.raises(ValidationError) as refused:
        kind.model_validate_json(json.dumps({"model": "m", **fields}))
    return wrong_field(refused.value, of=kind)


def jobs(body: AnyBody, *, context_tokens: int = 0) -> list[Job]:
    ids = ids_of("job_x", parts_of(body))
    return jobs_of(body, "m", ids, tenant="t", lane=Lane.INTERACTIVE, timeout_s=60, context_tokens=context_tokens)


def data_of(events: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in events.decode().split("\n\n") if line[6:7] == "{"]


class TestBodies:
    def test_what_is_asked_becomes_the_engines_work(self) -> None:
        """Every field in our words, and nothing that was not said."""
        work = chat(temperature=0.5, top_p=0.9, seed=4, stop="x", max_tokens=3, max_completion_tokens=9).works()[0]
        assert (work.temperature, work.max_output_tokens) == (0.5, 9)
        assert work.sampling.model_dump(exclude_defaults=True) == {"top_p": 0.9, "seed": 4, "stop": ("x",)}
        assert chat().works()[0].model_fields_set == {"messages", "temperature"}

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"messages": [user([{"type": "image_url"}])]}, "messages.0.content.0.type"),
            ({"messages": [user([{"type": "file", "file": {}}])]}, "messages.0.content.0.file"),
            (
                {"messages": [user([{"type": "file", "file": {"file_data": "?"}}])]},
                "messages.0.content.0.file.file_data",
            ),
            ({"messages": [user([{"type": "file", "file": {"file_id": "a/b"}}])]}, "messages.0.content.0.file.file_id"),
            ({"messages": [user(5)]}, "messages.0.content"),
            ({"messages": [user("")]}, "messages.0.content"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
            (
                {"messages": [{"role": "assistant", "content": "x", "function_call": {"name": "y"}}]},
                "messages.0.function_call",
            ),
            ({"messages": []}, "messages"),
            ({"n": 9}, "n"),
            ({"logit_bias": {"1": 2}}, "logit_bias"),
            ({"functions": [{}]}, "functions"),
            ({"modalities": ["audio"]}, "modalities.0"),
            ({"stream_options": {"include_usage": True}}, "stream_options"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"temperature": "hot"}, "temperature"),
        ],
    )
    def test_what_cannot_be_done_is_refused_by_name(self, fields: dict[str, Any], param: str) -> None:
        assert refusal(ChatBody, **{"messages": [user("hi")], **fields}).param == param

    def test_what_says_nothing_passes(self) -> None:
        """Also fields that nobody here has heard of."""
        fields = {"logit_bias": {}, "functions": None, "audio": None, "store": True, "new_in_2030": [1], "tools": []}
        assert chat(**fields, tool_choice="none", modalities=["text"]).works()

    def test_turns_keep_their_tools_and_files_wait_to_be_read(self) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        turns = [
            {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
            {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []},
            {"role": "tool", "content": [{"type": "text", "text": "5"}], "tool_call_id": "c"},
        ]
        messages = chat(messages=turns).works()[0].messages
        assert [(turn.role, turn.content) for turn in messages] == [
            ("system", "be\nbrief"),
            ("assistant", ""),
            ("tool", "5"),
        ]
        assert messages[1].tool_calls == (call,)
        sent = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}
        body = chat(messages=[user([sent, {"type": "file", "file": {"file_id": "file-1"}}])])
        assert body.has_files
        assert body.messages[0].files == (FilePart("a.txt", data=b"hi"), FilePart("", file_id="file-1"))

    def test_completions_and_embeddings(self) -> None:
        body = CompletionBody.model_validate_json('{"model": "m", "prompt": ["a", "b"], "n": 2, "logprobs": 1}')
        works = body.works()
        assert [work.prompt for work in works] == ["a", "a", "b", "b"]
        assert {(work.max_output_tokens, work.sampling.logprobs) for work in works} == {(16, 1)}
        assert refusal(CompletionBody, prompt=["a"] * 5, n=2).param == "n"
        assert refusal(CompletionBody, prompt="a", echo=True).param == "echo"
        assert refusal(CompletionBody, prompt=[1, 2]).param == "prompt"
        assert refusal(CompletionBody, prompt="a", best_of=2).param == "best_of"
        assert EmbeddingBody.model_validate_json('{"model": "m", "input": "a"}').works()[0].texts == ("a",)
        assert "check_embedding_ctx_length" in str(refusal(EmbeddingBody, input=[[1]]))
        assert refusal(EmbeddingBody, input=[]).param == "input"

    def test_every_body_has_a_schema(self) -> None:
        assert all(kind.model_json_schema()["properties"] for kind in BODIES.values())


class TestOrders:
    def test_a_request_is_as_many_jobs_as_it_has_choices(self) -> None:
        made = jobs(chat(n=3, seed=7, metadata={"a": "b"}))
        assert [job.id for job in made] == ["job_x", "job_x-1", "job_x-2"]
        assert [job.input.sampling.seed for job in made if isinstance(job.input, ChatInput)] == [7, 8, 9]
        assert made[0].metadata == {"a": "b"}

    def test_an_answer_that_nobody_bounded_may_be_shortened(self) -> None:
        """Where it is known how much the prompt leaves; the engine hears of its length all the same."""
        for context_tokens, most in ((0, 4096), (100_000, 4096), (2048, 512)):
            (job,) = jobs(chat(), context_tokens=context_tokens)
            assert isinstance(job.input, ChatInput)
            assert (job.input.max_output_tokens, job.max_output_tokens) == (most, most)
            assert "max_output_tokens" not in job.input.model_fields_set
        (asked,) = jobs(chat(max_tokens=7), context_tokens=2048)
        assert isinstance(asked.input, ChatInput)
        assert asked.input.max_output_tokens == 7
        (completion,) = jobs(CompletionBody.model_validate_json('{"model": "m", "prompt": "a"}'))
        assert isinstance(completion.input, CompletionInput)
        assert completion.input.max_output_tokens == 16

    def test_a_text_that_cannot_fit_is_not_even_counted(self) -> None:
        (job,) = jobs(chat(messages=[user("x" * 100_000)]))
        check_length(job, 0)
        check_length(job, 100_000)
        with pytest.raises(UsageError, match="3,125 tokens or more") as refused:
            check_length(job, 2048)
        assert refused.value.code == "context_length_exceeded"


class TestAnswers:
    def test_a_chat(self) -> None:
        answers = [Answer(text=text, usage=Usage(prompt_tokens=3, output_tokens=2)) for text in ("one", "two")]
        told = response_of(chat(n=2), answers, FACTS)
        assert (told["id"], told["created"], told["object"]) == ("chatcmpl-x", 5, "chat.completion")
        assert [(one["index"], one["message"]["content"]) for one in told["choices"]] == [(0, "one"), (1, "two")]
        used = {name: told["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        assert used == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}

    def test_an_answer_that_was_cut_off_says_so(self) -> None:
        """Also where the engine does not."""
        for most, said, finish in ((2, "", "length"), (3, "", "stop"), (2, "stop", "stop"), (None, "", "stop")):
            answer = Answer(text="a b", usage=Usage(output_tokens=2), finish_reason=said)
            (choice,) = response_of(chat(max_tokens=most), [answer], FACTS)["choices"]
            assert choice["finish_reason"] == finish

    def test_tools_that_are_called(self) -> None:
        calls = tuple({"id": name, "function": {"name": "look", "arguments": "{}"}} for name in ("a", ""))
        answer = Answer(text="", tool_calls=calls, finish_reason="tool_calls")
        (choice,) = response_of(chat(), [answer], FACTS)["choices"]
        assert choice["message"]["content"] is None
        assert [call["id"] for call in choice["message"]["tool_calls"]] == ["a", "call_1"]
        (single,) = response_of(chat(parallel_tool_calls=False), [answer], FACTS)["choices"]
        assert len(single["message"]["tool_calls"]) == 1

    def test_vectors_are_little_endian_floats_where_that_is_asked_for(self) -> None:
        answer = Answer(text="", embeddings=((1.0, -2.5),), usage=Usage(prompt_tokens=4))
        body = EmbeddingBody.model_validate_json('{"model": "m", "input": "a", "encoding_format": "base64"}')
        told = response_of(body, [answer], FACTS)
        assert struct.unpack("<2f", base64.b64decode(told["data"][0]["embedding"])) == (1.0, -2.5)
        assert told["usage"] == {"prompt_tokens": 4, "total_tokens": 4}

    def test_an_id_leads_back_to_its_job(self) -> None:
        for job_id in ("job_01m81ggg7hs266jw2bx0efdpxg", "an_01m81ggg7hs266jw2bx0efdpxg-12"):
            assert job_of(response_id(ChatBody, job_id)) == job_id

    def test_a_stream(self) -> None:
        body = chat(stream=True, stream_options={"include_usage": True}, logprobs=True)
        chunks = Chunks(body, FACTS)
        answer = Answer(text="hé", logprobs={"content": []}, usage=Usage(prompt_tokens=1, output_tokens=2))
        told = chunks.begin(0) + chunks.text(0, "hé") + chunks.end(0, answer) + chunks.last([answer])
        events = data_of(told)
        assert [event["choices"][0]["delta"] for event in events[:2]] == [
            {"role": "assistant", "content": "", "refusal": None},
            {"content": "hé"},
        ]
        assert events[2]["choices"][0]["logprobs"]["content"] == []
        assert events[3]["choices"][0]["finish_reason"] == "stop"
        assert [event["usage"] for event in events[:4]] == [None] * 4
        assert events[4]["usage"]["total_tokens"] == 3
        assert told.endswith(b"data: [DONE]\n\n")

    @pytest.mark.parametrize(
        ("state", "code", "status", "said"),
        [
            (State.FAILED, "context_length", 400, "context_length_exceeded"),
            (State.FAILED, "job_refused", 400, "job_refused"),
            (State.FAILED, "timeout", 504, "timeout"),
            (State.FAILED, "internal", 500, "internal"),
            (State.DEAD, "dead", 500, "dead"),
            (State.EXPIRED, "", 504, "expired"),
            (State.CANCELLED, "", 409, "cancelled"),
        ],
    )
    def test_what_failed_has_the_status_that_clients_go_by(
        self, state: State, code: str, status: int, said: str
    ) -> None:
        failure = failure_of(state, Fault(code=code, message="No.") if code else None, prompt="prompt")
        assert (failure.status, failure.code, failure.again) == (status, said, False)
        assert failure.param == ("prompt" if code == "context_length" else None)
        assert failure.error["type"] == ("server_error" if status >= 500 else "invalid_request_error")

    def test_a_refusal_at_the_door_keeps_its_own_words(self) -> None:
        assert failure_from(Busy("Too many.")).again
        assert failure_from(Busy("Too many.")).code == "busy"
        long = failure_from(UsageError("Too long.", hint="Raise max_output_tokens.", code="context_length"))
        assert "max_output_tokens" not in long.message
        assert "/v1/analyses" in long.message


class TestEars:
    def test_the_ids_of_a_process_are_told_from_those_of_others(self) -> None:
        mine, other = Mark(), Mark()
        made = mine.new_id()
        assert len(made) == len(other.new_id()) == 30
        assert (mine.is_on(made), other.is_on(made), mine.is_on("an_" + made[4:])) == (True, False, False)
        assert mine.pattern("a[b:ev:").startswith("a\\[b:ev:job_??????????" + mine.letters)
        assert created_ms(made) > 1_700_000_000_000

    async def test_a_vigil_is_woken_by_the_last_end_and_by_doubt(self) -> None:
        vigil = Vigil("a", "b")
        for word in ("queued", "running", "succeeded"):
            vigil.hear("a", word)
        await vigil.wait(0.01)
        assert not vigil.closed
        vigil.hear("b", "failed")
        await vigil.wait(60)
        vigil.hear("b", "")
        await vigil.wait(60)
        vigil.close()
        await vigil.wait(60)
        assert vigil.closed

    async def test_an_ear_keeps_what_is_said_of_each(self) -> None:
        ear = Ear("a", "b")
        ear.hear("a", "one")
        ear.hear("b", "two")
        await ear.wait(60)
        assert (ear.take("a"), ear.take("b"), ear.take("a")) == (("one",), ("two",), ())


def test_tools_are_part_of_the_prompt() -> None:
    """Of its rough price too: megabytes of them were reserved as nothing, and reached the engine."""
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 4000, "parameters": {"type": "object"}}}
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": "y" * 4000})}}
    turns = [{"role": "assistant", "tool_calls": [called]}, {"role": "tool", "tool_call_id": "c1", "content": "z"}]
    plain, tools, calls = (
        ChatBody.model_validate({"model": "m", "messages": messages, **more}).works()[0]
        for messages, more in (
            ([{"role": "user", "content": "a"}], {}),
            ([{"role": "user", "content": "a"}], {"tools": [tool] * 3}),
            (turns, {}),
        )
    )
    assert characters(plain) == 1
    assert 12_000 < characters(tools) < 13_000
    assert 4000 < characters(calls) < 4500
