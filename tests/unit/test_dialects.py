"""What each engine is asked: the same wishes in its own words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from viiwork.errors import JobRefused
from viiwork.jobs import Lane
from viiwork.recipes.recipe import Dialect
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput, Message, Sampling, Shape
from viiwork_workers.engines.server.dialects import Tongue, encoded

DIALECTS: tuple[Dialect, ...] = ("openai", "vllm", "llama.cpp", "tgi", "mlc")
SCHEMA = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def chat(**more: Any) -> ChatInput:
    return ChatInput(messages=(Message(role="user", content="Hello."),), max_output_tokens=9, **more)


def completion(**more: Any) -> CompletionInput:
    return CompletionInput(prompt="Once", max_output_tokens=9, **more)


def body(
    work: ChatInput | CompletionInput | EmbeddingInput, dialect: Dialect = "vllm", *, stream: bool = False
) -> dict[str, Any]:
    return Tongue(dialect, "tiny").ask(work, lane=Lane.BATCH, stream=stream).body


def refused(work: ChatInput | CompletionInput | EmbeddingInput, dialect: Dialect) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        body(work, dialect)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_chat_says_what_was_asked_and_nothing_else(dialect: Dialect) -> None:
    """A field that nobody set would take the model's own defaults away."""
    assert body(chat(), dialect) == {
        "model": "tgi" if dialect == "tgi" else "tiny",  # which takes other names for those of adapters
        "messages": [{"role": "user", "content": "Hello."}],
        "max_tokens": 9,
        "temperature": 0.0,
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_completion_goes_to_its_own_endpoint(dialect: Dialect) -> None:
    """With a prompt, and no messages."""
    ask = Tongue(dialect, "tiny").ask(completion(), lane=Lane.BATCH)
    assert ask.path == "/v1/completions"
    assert {**ask.body, "model": ""} == {"model": "", "prompt": "Once", "max_tokens": 9, "temperature": 0.0}


def test_a_stream_asks_for_its_usage() -> None:
    """Else nobody would know what it cost."""
    said = body(chat(), stream=True)
    assert (said["stream"], said["stream_options"]) == (True, {"include_usage": True})


def test_everything_of_the_sampling_is_passed_on() -> None:
    """In vLLM's names, which are OpenAI's and top_k."""
    sampling = Sampling(
        top_p=0.9, top_k=5, presence_penalty=0.1, frequency_penalty=0.2, seed=7, stop=("\n\n", "END"), logprobs=3
    )
    said = body(chat(sampling=sampling, temperature=0.5))
    assert {name: said[name] for name in said if name not in ("model", "messages", "max_tokens")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "seed": 7,
        "stop": ["\n\n", "END"],
        "logprobs": True,
        "top_logprobs": 3,
    }
    assert body(completion(sampling=Sampling(logprobs=0)))["logprobs"] == 0


def test_llama_cpp_gives_no_log_probabilities_for_none_so_it_is_asked_for_one() -> None:
    """Its top_logprobs is n_probs."""
    said = body(chat(sampling=Sampling(logprobs=0)), "llama.cpp")
    assert (said["logprobs"], said["top_logprobs"]) == (True, 1)


@pytest.mark.parametrize(
    ("dialect", "work", "field"),
    [
        ("openai", chat(sampling=Sampling(top_k=5)), "top_k"),
        ("tgi", chat(sampling=Sampling(top_k=5)), "top_k"),
        ("tgi", chat(sampling=Sampling(presence_penalty=0.5)), "presence_penalty"),
        ("tgi", chat(sampling=Sampling(seed=-1)), "seed"),
        ("tgi", completion(sampling=Sampling(logprobs=1)), "logprobs"),
        ("mlc", completion(sampling=Sampling(top_k=5)), "top_k"),
        ("mlc", chat(tools=(TOOL,), tool_choice="required"), "tool_choice"),
        ("llama.cpp", chat(tools=(TOOL,), tool_choice={"type": "function", "function": {"name": "x"}}), "tool_choice"),
        ("llama.cpp", EmbeddingInput(texts=("a",), dimensions=8), "dimensions"),
    ],
)
def test_what_a_server_would_leave_out_in_silence_is_refused_by_name(
    dialect: Dialect, work: ChatInput | CompletionInput | EmbeddingInput, field: str
) -> None:
    """It answers 200 to such a field, and does something else."""
    error = refused(work, dialect)
    assert (error.code, error.param) == ("unsupported", field)
    assert field in error.message


def test_tgi_is_not_told_a_top_p_of_one() -> None:
    """It wants less than 1, and 1 means nothing."""
    assert "top_p" not in body(chat(sampling=Sampling(top_p=1.0)), "tgi")


def test_priority_is_said_only_where_the_launch_says_that_it_counts() -> None:
    """vLLM refuses one that is not 0 without its priority scheduler; lower is earlier."""
    assert "priority" not in body(chat())
    tongue = Tongue("vllm", "tiny", priority=True)
    assert tongue.ask(chat(), lane=Lane.INTERACTIVE).body["priority"] == 0
    assert tongue.ask(chat(), lane=Lane.BATCH).body["priority"] == 10


JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
SHAPED: list[tuple[Dialect, ChatInput | CompletionInput, dict[str, Any]]] = [
    ("openai", chat(shape=Shape(json_schema=SCHEMA)), {"response_format": JSON_SCHEMA}),
    ("openai", chat(shape=Shape(json_object=True)), {"response_format": {"type": "json_object"}}),
    ("vllm", chat(shape=Shape(json_schema=SCHEMA)), {"response_format": JSON_SCHEMA}),
    ("vllm", completion(shape=Shape(json_schema=SCHEMA)), {"response_format": JSON_SCHEMA}),
    ("vllm", chat(shape=Shape(regex="a+")), {"structured_outputs": {"regex": "a+"}}),
    ("vllm", completion(shape=Shape(choice=("a", "b"))), {"structured_outputs": {"choice": ["a", "b"]}}),
    ("llama.cpp", chat(shape=Shape(json_schema=SCHEMA)), {"response_format": JSON_SCHEMA}),
    ("llama.cpp", completion(shape=Shape(json_schema=SCHEMA)), {"json_schema": SCHEMA}),
    ("llama.cpp", completion(shape=Shape(json_object=True)), {"json_schema": {"type": "object"}}),
    ("llama.cpp", chat(shape=Shape(choice=('a "b"', "c\\d\n"))), {"grammar": r'root ::= "a \"b\"" | "c\\d\n"'}),
    ("tgi", chat(shape=Shape(json_schema=SCHEMA)), {"response_format": {"type": "json", "value": SCHEMA}}),
    ("tgi", chat(shape=Shape(regex="a+")), {"response_format": {"type": "regex", "value": "a+"}}),
    ("tgi", chat(shape=Shape(choice=("1.5", "b c"))), {"response_format": {"type": "regex", "value": r"(1\.5)|(b c)"}}),
    (
        "mlc",
        chat(shape=Shape(json_schema=SCHEMA)),
        {"response_format": {"type": "json_object", "schema": json.dumps(SCHEMA)}},
    ),
    ("mlc", completion(shape=Shape(json_object=True)), {"response_format": {"type": "json_object"}}),
]


@pytest.mark.parametrize(("dialect", "work", "words"), SHAPED)
def test_a_shape_is_said_in_each_engines_own_words(
    dialect: Dialect, work: ChatInput | CompletionInput, words: dict[str, Any]
) -> None:
    """What one engine obeys, the next does not hear."""
    plain = body(work.model_copy(update={"shape": None}), dialect)
    assert body(work, dialect) == plain | words


@pytest.mark.parametrize(
    ("dialect", "work"),
    [
        ("openai", chat(shape=Shape(regex="a"))),
        ("openai", chat(shape=Shape(choice=("a",)))),
        ("openai", completion(shape=Shape(json_schema=SCHEMA))),
        ("llama.cpp", chat(shape=Shape(regex="a"))),
        ("llama.cpp", chat(shape=Shape(choice=("a",)), tools=(TOOL,))),
        ("tgi", chat(shape=Shape(json_object=True))),
        ("tgi", chat(shape=Shape(json_schema={"type": "array"}))),
        ("tgi", completion(shape=Shape(regex="a"))),
        ("mlc", chat(shape=Shape(regex="a"))),
        ("mlc", chat(shape=Shape(choice=("a",)))),
    ],
)
def test_a_shape_that_an_engine_knows_no_words_for_is_refused(
    dialect: Dialect, work: ChatInput | CompletionInput
) -> None:
    """Rather than answered without it."""
    error = refused(work, dialect)
    assert (error.code, error.param) == ("unsupported_shape", "shape")


def test_a_choice_for_tgi_means_its_letters() -> None:
    """Whatever they mean in a regular expression."""
    choices = ("a.b", "c|d", "(e)", "1+1=2", "50 %", "x[0]{1}^$\\")
    pattern = body(chat(shape=Shape(choice=choices)), "tgi")["response_format"]["value"]
    assert all(re.fullmatch(pattern, choice) for choice in choices)
    assert not re.fullmatch(pattern, "aXb")


def test_tools_and_their_turns_are_passed_through() -> None:
    """As the OpenAI API has them, absent fields left out."""
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    turns = (
        Message(role="user", content="Hello."),
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="It is 5.", tool_call_id="1"),
    )
    said = body(ChatInput(messages=turns, tools=(TOOL,), tool_choice="auto"))
    assert said["messages"] == [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "It is 5.", "tool_call_id": "1"},
    ]
    assert (said["tools"], said["tool_choice"]) == ([TOOL], "auto")


def test_embeddings_are_asked_for_as_numbers() -> None:
    """Of all texts at once."""
    ask = Tongue("vllm", "tiny").ask(EmbeddingInput(texts=("a", "b"), dimensions=8), lane=Lane.BATCH)
    assert ask.path == "/v1/embeddings"
    assert ask.body == {"model": "tiny", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8}


@pytest.mark.parametrize("dialect", ["tgi", "mlc"])
def test_engines_without_embeddings_refuse_them(dialect: Dialect) -> None:
    """They have no such endpoint."""
    assert refused(EmbeddingInput(texts=("a",)), dialect).code == "unsupported_task"


def test_a_body_is_sent_as_utf_8() -> None:
    """Escapes would make other scripts six times as long."""
    work = ChatInput(messages=(Message(role="user", content="契約書 🙂"),))
    assert "契約書 🙂".encode() in encoded(Tongue("vllm", "tiny").ask(work, lane=Lane.BATCH))


def test_half_a_character_in_a_shape_is_refused() -> None:
    """A text's own is refused before."""
    with pytest.raises(JobRefused) as caught:
        encoded(Tongue("vllm", "tiny").ask(chat(shape=Shape(choice=("\ud800",))), lane=Lane.BATCH))
    assert caught.value.code == "invalid_text"
