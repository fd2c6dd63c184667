"""Reading event streams and what engines mean, byte by byte and from recordings of a real vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from viiwork.jobs import Lane
from viiwork.work import ChatInput, EmbeddingInput, Message, Sampling, Shape
from viiwork_workers.engines.server.dialects import Ask, Tongue
from viiwork_workers.engines.server.fields import Reported
from viiwork_workers.engines.server.meanings import MEANINGS
from viiwork_workers.engines.server.refusals import own_doing, refusal
from viiwork_workers.engines.server.replies import read_reply
from viiwork_workers.engines.server.sse import LONGEST_LINE_BYTES, Events, LineTooLong
from viiwork_workers.engines.server.transcript import Transcript

RECORDED = Path(__file__).resolve().parents[1] / "fakes" / "recorded"


@pytest.mark.parametrize("step", [1, 3, 1_000])
def test_events_are_cut_out_of_a_stream(step: int) -> None:
    """Whatever ends their lines; comments and other fields are passed over, and nothing counts after the end."""
    sent = b': ping\n\ndata: {"a":1}\r\n\r\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\ndata: {"c":3}\n\n'
    events = Events()
    found = [payload for start in range(0, len(sent), step) for payload in events.feed(sent[start : start + step])]
    assert found == [b'{"a":1}', b'{"b":2}']
    assert events.done


def test_a_line_has_a_limit() -> None:
    """Whether it ends or not."""
    for end in (b"", b"\n"):
        with pytest.raises(LineTooLong):
            Events().feed(b"data: " + b"x" * (LONGEST_LINE_BYTES + 1) + end)


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"vllm-{name}.json").read_text(encoding="utf-8"))
    return found


def transcript(name: str) -> Transcript:
    made = Transcript()
    for payload in Events().feed((RECORDED / f"vllm-{name}.sse").read_bytes()):
        made.hear(json.loads(payload))
    return made


def test_vllms_answer_and_its_stream_say_the_same() -> None:
    """Text, usage, end and log probabilities, as recorded."""
    whole = read_reply(recorded("answer")["body"])
    assert whole == transcript("stream").reply()
    assert whole.finish_reason == "length"
    assert (whole.usage.prompt_tokens, whole.usage.output_tokens) == (15, 4)
    assert len((whole.logprobs or {})["content"]) == 4


def test_vllms_tool_call_is_put_together() -> None:
    """As recorded: its name comes once, its arguments in pieces."""
    (call,) = transcript("tools-stream").reply().tool_calls
    assert call["function"]["name"] == "look_up"
    assert call["function"]["arguments"].startswith("35019")


def test_vllms_completion_is_read() -> None:
    """Its text stands where a chat has its message."""
    reply = read_reply(recorded("completion")["body"])
    assert reply.text
    assert len((reply.logprobs or {})["tokens"]) == reply.usage.output_tokens == 3


def test_vllm_says_in_its_stream_that_it_dies() -> None:
    """With an error event inside an answer that began with 200, and the usual end."""
    with pytest.raises(Reported):
        transcript("engine-died")


CHAT = ChatInput(messages=(Message(role="user", content="x"),))
SHAPED = CHAT.model_copy(update={"shape": Shape(json_object=True)})


def test_llama_cpp_says_of_an_answer_that_missed_its_shape_that_it_failed() -> None:
    """As recorded: with HTTP 500, or in its stream."""
    found = json.loads((RECORDED / "llama-cpp-error-own-format.json").read_text("utf-8"))
    ask = Tongue("llama.cpp", "tiny").ask(SHAPED, lane=Lane.BATCH)
    made = Transcript()
    with pytest.raises(Reported) as reported:
        for payload in Events().feed((RECORDED / "llama-cpp-stream-error.sse").read_bytes()):
            made.hear(json.loads(payload))
    for said in (json.dumps(found["body"]).encode(), reported.value.said):
        error = own_doing(said, ask=ask)
        assert error is not None
        assert error.code == "invalid_output"
        assert own_doing(said, ask=asked(CHAT)) is None


@pytest.mark.parametrize("said", [b"", b"\xff", b"[" * 100_000, b"null", None, 5, {"error": None}, {"error": "no"}])
def test_most_failures_are_the_engines_own(said: object) -> None:
    """Whatever they say."""
    assert own_doing(said, ask=asked(SHAPED)) is None


def test_a_number_of_thousands_of_digits_is_none() -> None:
    """Python itself refuses to read it."""
    text = f"This model's maximum context length is {'9' * 5_000} tokens, and your prompt contains 5 tokens"
    assert refusal(400, json.dumps({"error": {"message": text}}).encode(), ask=asked(CHAT)).code == "context_length"


ASKED: dict[str, tuple[ChatInput | EmbeddingInput, str, str]] = {
    "error-prompt-too-long": (CHAT, "context_length", "2,049"),
    "error-output-too-long": (CHAT, "context_length", "9,000"),
    "error-text-too-long": (CHAT, "context_length", "200,031"),
    "error-bad-schema": (CHAT.model_copy(update={"shape": Shape(json_schema={})}), "unsupported_shape", "shape"),
    "error-bad-regex": (CHAT.model_copy(update={"shape": Shape(regex="a")}), "unsupported_shape", "shape"),
    "error-unknown-model": (CHAT, "model_not_found", "name"),
    "error-logprobs": (CHAT.model_copy(update={"sampling": Sampling(logprobs=20)}), "invalid_request", "30"),
    "error-no-tools": (CHAT.model_copy(update={"tools": ({},)}), "unsupported", "tools"),
    "error-wrong-type": (CHAT, "invalid_request", "HTTP 400"),
    "error-not-json": (CHAT, "invalid_request", "HTTP 400"),
    "error-no-embeddings": (EmbeddingInput(texts=("a",)), "unsupported_task", "embeddings"),
}


def asked(work: ChatInput | EmbeddingInput) -> Ask:
    return Tongue("vllm", "tiny").ask(work, lane=Lane.BATCH)


@pytest.mark.parametrize("name", ASKED)
def test_what_vllm_refuses_is_said_in_our_words(name: str) -> None:
    """As recorded; its own words quote what it was sent."""
    work, code, part = ASKED[name]
    found = recorded(name)
    error = refusal(found["status"], json.dumps(found["body"]).encode(), ask=asked(work))
    assert error.code == code
    assert part in error.message
    assert error.hint
    assert not any(word in str(error) for word in ("zebra", "nope", "hot words"))


def test_the_field_that_is_wrong_is_named_when_we_sent_it() -> None:
    """And no other: what the engine says may come from the prompt."""
    found = recorded("error-wrong-type")
    assert refusal(400, json.dumps(found["body"]).encode(), ask=asked(CHAT)).param == "temperature"
    other = {"error": {"message": "", "param": "body.secret"}}
    assert refusal(400, json.dumps(other).encode(), ask=asked(CHAT)).param is None


WRITTEN: dict[str, tuple[object, str]] = {
    "llama.cpp": (
        {"error": {"message": "request (9412 tokens) exceeds the available context size (8192 tokens)"}},
        "the prompt has 9,412 tokens; the model takes 8,192.",
    ),
    "TGI": (
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
            "Given: 2000 `inputs` tokens and 100 `max_new_tokens`"
        },
        "the prompt has 2,000 tokens and 100 are asked for; the model takes 2,048 in all.",
    ),
    "MLC-LLM": (  # JSON within JSON
        json.dumps(
            {"message": "Request prompt has 2015 tokens in total, larger than the model input length limit 1416."}
        ),
        "the prompt has 2,015 tokens; the model takes 1,416.",
    ),
    "OpenAI": (
        {
            "error": {
                "message": "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens"
            }
        },
        "the prompt and what is asked for have 5,000 tokens; the model takes 4,097 in all.",
    ),
    "vLLM, of both together": (
        {
            "message": "This model's maximum context length is 2048 tokens. However, you requested 100 output tokens "
            "and your prompt contains at least 2000 input tokens, for a total of at least 2100 tokens."
        },
        "the prompt has 2,000 tokens and 100 are asked for; the model takes 2,048 in all.",
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_each_engine_says_that_a_prompt_is_too_long_in_its_own_words(name: str) -> None:
    """From their sources; the counts get into ours."""
    body, said = WRITTEN[name]
    error = refusal(400, json.dumps(body).encode(), ask=asked(CHAT))
    assert (error.code, error.message) == ("context_length", said)


def test_a_prompt_that_is_quoted_and_speaks_of_grammars_is_no_shape() -> None:
    """Only who asked for a shape can have asked for one that the engine does not know."""
    body = json.dumps({"error": {"message": "Invalid message: 'explain this regex and its grammar'"}}).encode()
    assert refusal(400, body, ask=asked(CHAT)).code == "invalid_request"


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b'{"error": null}', b'{"error": {"message": 5}}']
)
def test_a_refusal_may_hold_anything(body: bytes) -> None:
    """It is one all the same."""
    assert refusal(400, body, ask=asked(CHAT)).code == "invalid_request"


def test_mlc_says_with_400_that_it_does_not_serve_a_model() -> None:
    """Others say 404."""
    body = json.dumps(json.dumps({"object": "error", "message": 'The requested model "x" is not served.', "code": 400}))
    assert refusal(400, body.encode(), ask=asked(CHAT)).code == "model_not_found"


def test_every_meaning_has_a_message_with_its_numbers() -> None:
    """No message asks for a number that its pattern does not find."""
    for meaning in MEANINGS:
        assert meaning.message.format(*["1"] * meaning.numbers)
        assert meaning.hint
