"""`client.chat.completions`, `client.completions`, `client.embeddings` and `client.models`, as the SDK calls them."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.front import MODEL, Front

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name a river."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class River(BaseModel):
    """What a shaped answer must be."""

    name: str
    length_km: int


class TestChats:
    def test_an_answer(self, sdk: OpenAI) -> None:
        """With all that programs look at: the choice, why it ended, the usage that adds up."""
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=12)
        assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.created > 1.7e9
        (choice,) = answer.choices
        assert choice.message.role == "assistant" and choice.message.content
        assert choice.finish_reason in ("stop", "length")
        assert answer.model == MODEL
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert 0 < answer.usage.completion_tokens <= 12

    def test_max_completion_tokens_is_the_newer_name_of_max_tokens(self, sdk: OpenAI) -> None:
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, max_completion_tokens=5)
        assert answer.usage is not None and answer.usage.completion_tokens == 5
        assert answer.choices[0].finish_reason == "length"

    def test_a_stream_says_the_same_as_the_whole(self, sdk: OpenAI) -> None:
        """Pieces first, why it ended in the last, and the usage after it when that was asked for."""
        whole = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=12, temperature=0)
        stream = sdk.chat.completions.create(
            model=MODEL,
            messages=ASK,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        said = [chunk.choices[0] for chunk in chunks if chunk.choices]
        assert "".join(one.delta.content or "" for one in said) == whole.choices[0].message.content
        assert said[0].delta.role == "assistant"
        assert [one.finish_reason for one in said if one.finish_reason] == [whole.choices[0].finish_reason]
        assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert all(chunk.object == "chat.completion.chunk" and chunk.model == MODEL for chunk in chunks)

    def test_a_stream_without_the_wish_has_no_usage(self, sdk: OpenAI) -> None:
        stream = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=4, stream=True)
        chunks = list(stream)
        assert all(chunk.usage is None for chunk in chunks) and chunks[-1].choices

    def test_the_sdks_own_stream_helper_puts_it_together(self, sdk: OpenAI) -> None:
        with sdk.chat.completions.stream(model=MODEL, messages=ASK, max_tokens=400) as stream:
            events = [event.type for event in stream]
            final = stream.get_final_completion()
        assert "content.delta" in events and final.choices[0].message.content

    def test_a_stream_can_be_left(self, sdk: OpenAI) -> None:
        """The next request is answered all the same."""
        stream = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=200, stream=True)
        next(iter(stream))
        stream.close()
        assert sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=4).choices

    def test_tools(self, sdk: OpenAI) -> None:
        """A forced call comes back with arguments that are JSON, and its answer can be sent."""
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, tools=[WEATHER], tool_choice="required")  # type: ignore[list-item]
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
        call = choice.message.tool_calls[0]
        assert call.type == "function" and call.function.name == "weather" and call.function.arguments.startswith("{")
        turns: list[ChatCompletionMessageParam] = [
            *ASK,
            choice.message.to_dict(),  # type: ignore[list-item] # what programs send back: the answer as it came
            {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
        ]
        assert sdk.chat.completions.create(model=MODEL, messages=turns, max_tokens=8).choices[0].message.content

    def test_tools_in_a_stream(self, sdk: OpenAI) -> None:
        stream = sdk.chat.completions.create(
            model=MODEL,
            messages=ASK,
            tools=[WEATHER],  # type: ignore[list-item]
            tool_choice="required",
            stream=True,
        )
        deltas = [call for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or ()]
        assert deltas and deltas[0].index == 0
        assert "".join(one.function.name or "" for one in deltas if one.function) == "weather"

    def test_a_shaped_answer_is_parsed_by_the_sdk(self, sdk: OpenAI) -> None:
        answer = sdk.chat.completions.parse(model=MODEL, messages=ASK, response_format=River)
        assert isinstance(answer.choices[0].message.parsed, River)

    def test_any_json_object(self, sdk: OpenAI) -> None:
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, response_format={"type": "json_object"})
        assert (answer.choices[0].message.content or "").lstrip().startswith("{")

    def test_several_choices(self, sdk: OpenAI) -> None:
        """The usage counts all of them."""
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=4, n=3, temperature=1)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert answer.usage is not None and answer.usage.completion_tokens == 12

    def test_logprobs(self, sdk: OpenAI) -> None:
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=4, logprobs=True, top_logprobs=2)
        told = answer.choices[0].logprobs
        assert told is not None and told.content is not None and len(told.content) == 4
        assert all(len(token.top_logprobs) == 2 for token in told.content)

    def test_stop_and_seed(self, sdk: OpenAI) -> None:
        """The same seed says the same, and the stop word ends it and is not in it."""
        told = {"model": MODEL, "messages": ASK, "max_tokens": 30, "temperature": 1.0, "seed": 7}
        first = sdk.chat.completions.create(**told).choices[0].message.content  # type: ignore[call-overload]
        assert sdk.chat.completions.create(**told).choices[0].message.content == first  # type: ignore[call-overload]
        word = str(first).split()[2]
        cut = sdk.chat.completions.create(**told, stop=[word]).choices[0]  # type: ignore[call-overload]
        assert cut.finish_reason == "stop" and cut.message.content == str(first)[: str(first).index(word)]

    def test_content_as_parts_and_the_developers_turn(self, sdk: OpenAI) -> None:
        """Text parts are put together; `developer` is the newer name of `system`."""
        turns: list[ChatCompletionMessageParam] = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Name"}, {"type": "text", "text": " a river."}]},
        ]
        assert sdk.chat.completions.create(model=MODEL, messages=turns, max_tokens=4).choices[0].message.content

    def test_unknown_fields_that_change_nothing_are_let_pass(self, sdk: OpenAI) -> None:
        """What newer SDKs and other programs send along."""
        answer = sdk.chat.completions.create(
            model=MODEL,
            messages=ASK,
            max_tokens=4,
            user="anna",
            store=False,
            metadata={"run": "7"},
            extra_body={"of_next_year": {"a": 1}},
        )
        assert answer.choices

    def test_the_lane_can_be_chosen(self, sdk: OpenAI) -> None:
        """`service_tier` is a field of the SDK's own."""
        answer = sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=4, service_tier="flex")
        assert answer.choices and answer.service_tier == "flex"
        raw = sdk.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, max_tokens=4, extra_headers={"x-viiwork-lane": "batch"}
        )
        assert raw.headers["x-request-id"] and raw.parse().choices

    def test_what_is_wrong_is_named(self, sdk: OpenAI) -> None:
        with pytest.raises(BadRequestError) as told:
            sdk.chat.completions.create(model=MODEL, messages=ASK, temperature=9)
        assert told.value.param == "temperature" and told.value.type == "invalid_request_error"
        with pytest.raises(BadRequestError) as told:
            sdk.chat.completions.create(model=MODEL, messages=[])
        assert str(told.value.param).startswith("messages")
        with pytest.raises(NotFoundError) as missing:
            sdk.chat.completions.create(model="gpt-6", messages=ASK)
        assert missing.value.code == "model_not_found" and missing.value.param == "model"

    def test_too_long_for_the_model_is_refused_with_the_counts(self, sdk: OpenAI) -> None:
        """The message names the way that has room for it."""
        long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "river " * 20_000}]
        with pytest.raises(BadRequestError) as told:
            sdk.chat.completions.create(model=MODEL, messages=long)
        assert told.value.code == "context_length_exceeded"
        assert "2,048" in told.value.message or "2048" in told.value.message
        assert "/v1/analyses" in told.value.message

    def test_what_only_the_engine_could_count_is_refused_with_the_engines_counts(self, sdk: OpenAI) -> None:
        """Nobody here knows the model's tokenizer: the door lets it in, and the engine says how long it is."""
        text = "river " * 2040
        said: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
        asks: dict[str, list[Callable[[], object]]] = {
            "messages": [
                lambda: sdk.chat.completions.create(model=MODEL, messages=said, max_tokens=100),
                lambda: sdk.chat.completions.create(model=MODEL, messages=said, max_tokens=100, stream=True),
            ],
            "prompt": [lambda: sdk.completions.create(model=MODEL, prompt=text, max_tokens=100)],
        }
        for param, ways in asks.items():
            for ask in ways:
                with pytest.raises(BadRequestError) as told:
                    ask()
                assert (told.value.code, told.value.param) == ("context_length_exceeded", param)
                assert re.search(
                    r"the prompt has 2,0\d\d tokens and 100 are asked for; .* 2,048 in all", told.value.message
                )
                assert "/v1/analyses" in told.value.message


async def test_the_asynchronous_client_is_answered_alike(front: Front) -> None:
    """Its stream and its paging too."""
    async with AsyncOpenAI(base_url=f"{front.url}/v1", api_key="none is needed", timeout=30) as sdk:
        whole = await sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=6, temperature=0)
        stream = await sdk.chat.completions.create(model=MODEL, messages=ASK, max_tokens=6, temperature=0, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(said) == whole.choices[0].message.content
        assert [model.id async for model in sdk.models.list()] == [MODEL]


class TestCompletions:
    def test_an_answer_and_a_stream(self, sdk: OpenAI, plain: OpenAI) -> None:
        """In all pieces but the last `finish_reason` is null, which the SDK's type does not know."""
        whole = sdk.completions.create(model=MODEL, prompt="Once", max_tokens=8, temperature=0)
        assert whole.object == "text_completion" and whole.choices[0].text
        chunks = list(plain.completions.create(model=MODEL, prompt="Once", max_tokens=8, temperature=0, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]

    def test_several_prompts_are_several_choices(self, sdk: OpenAI) -> None:
        answer = sdk.completions.create(model=MODEL, prompt=["Once", "Twice"], max_tokens=4)
        assert [choice.index for choice in answer.choices] == [0, 1]

    def test_logprobs(self, sdk: OpenAI) -> None:
        answer = sdk.completions.create(model=MODEL, prompt="Once", max_tokens=4, logprobs=1)
        told = answer.choices[0].logprobs
        assert told is not None and told.tokens is not None and len(told.tokens) == 4


class TestEmbeddings:
    def test_the_sdk_asks_for_base64_and_decodes_it(self, plain: OpenAI) -> None:
        answer = plain.embeddings.create(model=MODEL, input=["one", "two"])
        assert [each.index for each in answer.data] == [0, 1] and answer.object == "list"
        assert all(isinstance(each.embedding[0], float) for each in answer.data)
        assert answer.usage.prompt_tokens > 0

    def test_floats_and_base64_are_the_same_numbers(self, plain: OpenAI) -> None:
        floats = plain.embeddings.create(model=MODEL, input="one", encoding_format="float").data[0].embedding
        packed = plain.embeddings.with_raw_response.create(model=MODEL, input="one", encoding_format="base64")
        raw = base64.b64decode(packed.http_response.json()["data"][0]["embedding"])
        assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(floats, rel=1e-6)

    def test_fewer_dimensions(self, plain: OpenAI) -> None:
        assert len(plain.embeddings.create(model=MODEL, input="one", dimensions=8).data[0].embedding) == 8


class TestModels:
    def test_the_list_and_one_of_it(self, sdk: OpenAI) -> None:
        """With what ours tell beside: how long a prompt may be, how many replicas, whether one is ready."""
        listed = list(sdk.models.list())
        assert [model.id for model in listed] == [MODEL]
        one = sdk.models.retrieve(MODEL)
        assert one.object == "model" and one.owned_by == "viiwork"
        told = one.to_dict()
        assert told["context_length"] == 2048 and (told["replicas"], told["ready"]) == (1, 1)

    def test_one_that_there_is_not(self, sdk: OpenAI) -> None:
        with pytest.raises(NotFoundError) as told:
            sdk.models.retrieve("gpt-6")
        assert told.value.code == "model_not_found"
