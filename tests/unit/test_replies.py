"""Engines' answers, whole and in pieces: what can be used, and what is garbage in whatever form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from viiwork_workers.engines.server.fields import MOST_TOKENS, Garbled, Reported
from viiwork_workers.engines.server.replies import Reply, read_reply
from viiwork_workers.engines.server.transcript import Transcript


def whole(**more: Any) -> dict[str, Any]:
    message = {"content": "x", **more.pop("message", {})}
    return {"choices": [{"message": message, "finish_reason": "stop", **more.pop("choice", {})}], **more}


def streamed(*events: object) -> Reply:
    transcript = Transcript()
    for event in events:
        transcript.hear(event)
    return transcript.reply()


def delta(**said: Any) -> dict[str, Any]:
    return {"choices": [{"delta": said, "finish_reason": "stop"}]}


def vectors(*rows: object) -> dict[str, Any]:
    return {"data": list(rows)}


def called(call: object) -> dict[str, Any]:
    return whole(message={"content": None, "tool_calls": [call]})


GARBAGE: dict[str, Any] = {
    "no message and no text": {"choices": [{"finish_reason": "stop"}]},
    "a message that is none": {"choices": [{"message": None, "finish_reason": "stop"}]},
    "no text of a completion": {"choices": [{"text": None, "finish_reason": "stop"}]},
    "a finish that is a list": whole(choice={"finish_reason": ["stop"]}),
    "log probabilities in a list": whole(choice={"logprobs": [{"token": "secret"}]}),
    "log probabilities in a string": whole(choice={"logprobs": "secret"}),
    "log probabilities that are no numbers": whole(choice={"logprobs": {"token_logprobs": [float("nan")]}}),
    "a call in a string": called("look_up"),
    "a function in a string": called({"function": "look_up"}),
    "a call of no text": called({"function": {"name": 5, "arguments": "{}"}}),
    "arguments that are a number": called({"function": {"name": "look_up", "arguments": 5}}),
    "calls that are a number": whole(message={"tool_calls": 5}),
}
STREAMED: dict[str, Any] = {
    "an index in a string": delta(tool_calls=[{"index": "a"}]),
    "an endless index": delta(tool_calls=[{"index": float("inf")}]),
    "a function in a string": delta(tool_calls=[{"index": 0, "function": "look_up"}]),
    "calls that are a number": delta(tool_calls=5),
    "a finish that is an object": {"choices": [{"delta": {}, "finish_reason": {"a": 1}}]},
    "a finish and nothing else": {"choices": [{"finish_reason": "stop"}]},
    "log probabilities that are a list": {"choices": [{"delta": {}, "logprobs": [1], "finish_reason": "stop"}]},
    "a choice that is a string": {"choices": "secret"},
}
NO_VECTORS: dict[str, Any] = {
    "no number": vectors({"index": 0, "embedding": [float("nan"), 1.0]}, {"index": 1, "embedding": [1.0, 2.0]}),
    "no end": vectors({"index": 0, "embedding": [float("inf"), 1.0]}, {"index": 1, "embedding": [1.0, 2.0]}),
    "nothing": vectors({"index": 0, "embedding": [None, 1.0]}, {"index": 1, "embedding": [1.0, 2.0]}),
    "too large": vectors({"index": 0, "embedding": [10**400, 1.0]}, {"index": 1, "embedding": [1.0, 2.0]}),
    "two lengths": vectors({"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}),
    "empty": vectors({"index": 0, "embedding": []}, {"index": 1, "embedding": []}),
    "the same twice": vectors({"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}),
    "another's": vectors({"index": 0, "embedding": [1.0]}, {"index": 7, "embedding": [2.0]}),
    "no index": vectors({"embedding": [1.0]}, {"embedding": [2.0]}),
    "mixed indexes": vectors({"index": None, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}),
    "rows that are none": vectors(1, 2),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_of_any_form_is_no_answer(kind: str) -> None:
    """And the engine's fault, not a defect that ends the job; nothing of it is quoted."""
    with pytest.raises(Garbled) as caught:
        read_reply(GARBAGE[kind])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", STREAMED)
def test_garbage_in_a_stream_is_no_answer(kind: str) -> None:
    """The same, event by event."""
    with pytest.raises(Garbled):
        streamed(STREAMED[kind])


@pytest.mark.parametrize("kind", NO_VECTORS)
def test_embeddings_are_one_vector_of_numbers_for_each_text(kind: str) -> None:
    """All of one length."""
    with pytest.raises(Garbled):
        read_reply(NO_VECTORS[kind], texts=2)


def test_an_error_that_is_null_is_none() -> None:
    """Some servers have the field in every answer."""
    assert read_reply(whole(error=None)).text == "x"
    assert streamed({"error": None, **delta(content="x")}).text == "x"
    with pytest.raises(Reported):
        read_reply(whole(error={}))


@pytest.mark.parametrize(
    ("said", "counted"),
    [(7, 7), (10**30, MOST_TOKENS), (9 * 10**18, MOST_TOKENS), (-1, 0), (True, 0), (1.5, 0), ("7", 0), (None, 0)],
)
def test_a_count_of_tokens_is_one_that_can_be(said: object, counted: int) -> None:
    """A larger one would stop the fleet's own counts."""
    usage = {"prompt_tokens": said, "completion_tokens": said}
    reply = read_reply(whole(usage=usage))
    assert (reply.usage.prompt_tokens, reply.usage.output_tokens) == (counted, counted)


def test_half_a_character_is_made_whole_wherever_it_stands() -> None:
    """As in a text: no record could hold it."""
    probable = {"content": [{"token": "\ud800", "top_logprobs": [{"token": "a\udfff"}]}], "\ud800": None}
    call = {"id": "\ud800", "function": {"name": "f\ud800", "arguments": "\ud800"}}
    made = read_reply(whole(message={"tool_calls": [call]}, choice={"logprobs": probable}))
    for said in (made, streamed({"choices": [{"delta": {"tool_calls": [call]}, "logprobs": probable}]}, delta())):
        json.dumps([said.logprobs, said.tool_calls], ensure_ascii=False).encode()
        assert said.logprobs is not None
        assert said.logprobs["content"][0]["top_logprobs"] == [{"token": "a\ufffd\ufffd\ufffd"}]


def test_what_is_impossible_is_as_the_api_says_it() -> None:
    """JSON has no minus infinity, though servers in Python write one."""
    reply = read_reply(whole(choice={"logprobs": {"content": [{"logprob": float("-inf")}]}}))
    assert reply.logprobs == {"content": [{"logprob": -9999.0}]}


def test_a_call_whose_arguments_are_an_object_is_written_as_the_api_has_it() -> None:
    """TGI's are; OpenAI's are JSON in a string."""
    (call,) = read_reply(called({"function": {"name": "look_up", "arguments": {"x": "é"}}})).tool_calls
    assert call["function"] == {"name": "look_up", "arguments": '{"x": "é"}'}
