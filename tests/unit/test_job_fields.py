"""What a job may ask of an engine: every field is checked at the door, and reaches the worker as it was meant."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest
from pydantic import ValidationError

from model_made import CHATML, TEMPLATES, make_model
from standin import MODEL, StandIn, make_settings, make_store
from viiwork.api import scales
from viiwork.api.app import create_app
from viiwork.api.bodies import complaint
from viiwork.api.habits import IN_OTHER_WORDS, MISTAKEN, OURS
from viiwork.api.requests import JobBody, LineBody, OrderBody
from viiwork.documents.prompts import Count
from viiwork.errors import UsageError
from viiwork.roster import FleetStatus, WorkerCard, WorkerStatus
from viiwork.store import Store
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, Sampling, Shape, TaskOptions

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"messages": [USER]}
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "d", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def form(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}


def work(**body: Any) -> ChatInput | CompletionInput | EmbeddingInput:
    """The engine's work that a body asks for, as it comes out of the store again."""
    made = JobBody.model_validate_json(json.dumps(body)).to_wire()
    return type(made).model_validate_json(made.model_dump_json())


def refused(**body: Any) -> tuple[str, str]:
    """The field and the reason."""
    with pytest.raises(ValidationError) as caught:
        LineBody.model_validate_json(json.dumps(body))
    return complaint(caught.value.errors(include_url=False, include_input=False), of=LineBody)


class TestHabits:
    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            (CHAT | {"max_tokens": 9}, "max_tokens", "ours is max_output_tokens"),
            (CHAT | {"max_completion_tokens": 9}, "max_completion_tokens", "ours is max_output_tokens"),
            (CHAT | {"logprobs": 3, "top_logprobs": 3}, "top_logprobs", "ours is logprobs"),
            (CHAT | {"n": 2}, "n", "each job has one answer; send it as several jobs"),
            (CHAT | {"system": "Be brief."}, "system", "a message whose role is system says it"),
            (CHAT | {"tool": []}, "tool", "perhaps tools is meant"),
            (CHAT | {"deadline": "8h"}, "deadline", "it is the whole file's: `viiwork submit --deadline`"),
            (CHAT | {"keep_s": 9}, "keep_s", "it is the whole file's: the query parameter keep_s"),
            (
                {"custom_id": "a", "method": "POST", "url": "/", "body": CHAT},
                "method",
                "the body of OpenAI's Batch API",
            ),
        ],
    )
    def test_a_field_of_other_apis_is_refused_with_our_word_for_it(
        self, body: dict[str, Any], field: str, said: str
    ) -> None:
        """As people type them from habit."""
        named, reason = refused(**body)
        assert named == field
        assert reason.startswith("there is no such field; ")
        assert said in reason

    def test_fields_that_bear_the_same_name_and_take_something_else_say_what(self) -> None:
        """Parts of a message, and whether there are log probabilities."""
        parts = [{"role": "user", "content": [{"type": "text", "text": "secret"}]}]
        assert refused(messages=parts) == ("messages.0.content", MISTAKEN["string_type", "content"])
        assert refused(**CHAT, logprobs=True) == ("logprobs", MISTAKEN["int_type", "logprobs"])

    def test_the_options_of_an_analysis_have_our_words_too(self) -> None:
        """One level down."""
        with pytest.raises(ValidationError) as caught:
            OrderBody.model_validate({"task": "summarize", "options": {"max_tokens": 9}})
        found = complaint(caught.value.errors(include_url=False, include_input=False), of=OrderBody)
        assert found == ("options.max_tokens", "there is no such field; ours is max_output_tokens")

    def test_what_nobody_can_guess_is_only_refused(self) -> None:
        """Also a name that is far too long to compare."""
        for name in ("zzz", "max_output_tokens" * 5000, ""):
            assert refused(**CHAT, **{name: 1}) == (name, "there is no such field")

    def test_every_word_of_ours_is_a_field(self) -> None:
        """Of a job; the advice would lead to the next refusal."""
        assert {*OURS.values()} <= set(JobBody.model_fields)
        assert {field for field, _ in IN_OTHER_WORDS.values()} <= set(JobBody.model_fields)
        assert not {*OURS, *IN_OTHER_WORDS} & set(JobBody.model_fields)


class TestKinds:
    def test_a_prompt_is_a_completion_and_an_input_asks_for_vectors(self) -> None:
        """One string is a list of one."""
        assert work(prompt="Once", max_output_tokens=5) == CompletionInput(prompt="Once", max_output_tokens=5)
        assert work(input="a") == EmbeddingInput(texts=("a",))
        assert work(input=["a", "b"], dimensions=64) == EmbeddingInput(texts=("a", "b"), dimensions=64)

    def test_an_answer_holds_only_so_many_numbers(self) -> None:
        """To write 38 MiB of them held everybody up for more than a second."""
        assert refused(input=["x"] * 1025) == (
            "input",
            "at 4,096 dimensions a job takes at most 1,024 texts, not 1,025; send fewer texts a job, "
            "or ask for fewer dimensions",
        )
        assert refused(input=["x"] * 65, dimensions=65_536)[0] == "input"
        assert isinstance(work(input=["x"] * 2048, dimensions=2048), EmbeddingInput)

    @pytest.mark.parametrize(
        ("body", "field", "reason"),
        [
            ({}, "messages", "required, or else prompt or input"),
            (CHAT | {"prompt": "x"}, "prompt", "no place beside messages"),
            ({"prompt": "x", "input": "y"}, "input", "no place beside prompt"),
            ({"prompt": ""}, "prompt", "at least 1 character"),
            ({"input": []}, "input", "at least 1 entry"),
            ({"input": ["x"] * 2049}, "input", "at most 2048 entries"),
            ({"input": ["a", ""]}, "input.1", "at least 1 character"),
            ({"input": [1, 2]}, "input.0", "valid string"),
            ({"input": "x", "temperature": 0}, "temperature", "means nothing beside input"),
            ({"input": "x", "max_output_tokens": 5}, "max_output_tokens", "means nothing beside input"),
            ({"input": "x", "stream": True}, "stream", "means nothing beside input"),
            ({"input": "x", "regex": "a"}, "regex", "means nothing beside input"),
            ({"input": "x", "dimensions": 0}, "dimensions", "greater than or equal to 1"),
            ({"prompt": "x", "tools": [TOOL]}, "tools", "means nothing beside prompt"),
            (CHAT | {"dimensions": 8}, "dimensions", "means nothing beside messages"),
            (CHAT | {"max_tokens": 8}, "max_tokens", "no such field"),
        ],
    )
    def test_what_does_not_go_together_is_named(self, body: dict[str, Any], field: str, reason: str) -> None:
        """The field that is too much, not the one that was meant."""
        said = refused(**body)
        assert said[0] == field
        assert reason in said[1]

    def test_null_is_as_good_as_left_out(self) -> None:
        """Clients of the OpenAI API send every field that they know."""
        assert work(input="x", top_p=None, stop=None, response_format=None, tools=None) == work(input="x")


class TestSampling:
    def test_all_of_it_reaches_the_engine(self) -> None:
        """What is not said is left to the engine."""
        how = {"top_p": 0.9, "top_k": 40, "presence_penalty": -1.5, "frequency_penalty": 2, "seed": -(2**63)}
        sent = work(**CHAT, **how, stop=["a", "b"], logprobs=0, temperature=1.5, stream=True)
        assert isinstance(sent, ChatInput)
        assert sent.sampling == Sampling(**how, stop=("a", "b"), logprobs=0)
        assert (sent.temperature, sent.stream) == (1.5, True)
        assert work(**CHAT).sampling == Sampling()
        assert work(**CHAT, stop="END").sampling.stop == ("END",)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"top_p": 0}, "top_p"),
            ({"top_p": 1.1}, "top_p"),
            ({"top_p": True}, "top_p"),
            ({"top_k": 0}, "top_k"),
            ({"top_k": 1.5}, "top_k"),
            ({"presence_penalty": 2.1}, "presence_penalty"),
            ({"frequency_penalty": "1"}, "frequency_penalty"),
            ({"seed": 2**63}, "seed"),
            ({"stop": ["x"] * 17}, "stop"),
            ({"stop": ["a", ""]}, "stop.1"),
            ({"stop": "x" * 257}, "stop.0"),
            ({"logprobs": 21}, "logprobs"),
            ({"logprobs": True}, "logprobs"),
            ({"stream": "yes"}, "stream"),
        ],
    )
    def test_what_is_out_of_bounds_is_named(self, change: dict[str, Any], field: str) -> None:
        """No engine is asked to find that out."""
        assert refused(**CHAT, **change)[0] == field

    def test_nan_is_no_number(self) -> None:
        """JSON has none, and yet parsers take it."""
        with pytest.raises(ValidationError):
            LineBody.model_validate_json('{"prompt": "x", "presence_penalty": NaN}')


class TestShapes:
    def test_each_of_the_four_reaches_the_engine(self) -> None:
        """`text` is none."""
        assert work(**CHAT, response_format=form(SCHEMA)).shape == Shape(json_schema=SCHEMA)
        assert work(**CHAT, response_format={"type": "json_object"}).shape == Shape(json_object=True)
        assert work(prompt="x", regex="[a-z]+").shape == Shape(regex="[a-z]+")
        assert work(prompt="x", choice=["yes", "no"]).shape == Shape(choice=("yes", "no"))
        assert work(**CHAT, response_format={"type": "text"}).shape is None
        assert work(**CHAT, response_format={"type": "text"}, choice=["yes"]).shape == Shape(choice=("yes",))

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"response_format": {"type": "xml"}}, "response_format.type"),
            ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
            (
                {"response_format": {"type": "json_object", "json_schema": {"schema": {}}}},
                "response_format.json_schema",
            ),
            ({"response_format": {"type": "text", "strict": True}}, "response_format.strict"),
            ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
            ({"response_format": form([])}, "response_format.json_schema.schema"),
            ({"response_format": form({"type": "objct"})}, "response_format.json_schema.schema"),
            ({"response_format": form({"$ref": "http://127.0.0.1:9/x"})}, "response_format.json_schema.schema"),
            ({"regex": "(a"}, "regex"),
            ({"regex": ""}, "regex"),
            ({"regex": "a" * 5000}, "regex"),
            ({"choice": []}, "choice"),
            ({"choice": [""]}, "choice.0"),
            ({"choice": ["a"], "regex": "a"}, "choice"),
            ({"regex": "a", "response_format": {"type": "json_object"}}, "regex"),
        ],
    )
    def test_what_nobody_could_hold_to_is_refused_where_it_stands(self, change: dict[str, Any], field: str) -> None:
        """A bad schema is the sender's to mend, before a card has worked on it."""
        assert refused(**CHAT, **change)[0].startswith(field)

    def test_what_json_has_not_is_refused_and_not_taken_for_null(self) -> None:
        """Some parsers take NaN; the schema's place is named."""
        body = json.dumps({"prompt": "x", "response_format": form({"properties": {"a": {"const": float("nan")}}})})
        with pytest.raises(ValidationError) as caught:
            LineBody.model_validate_json(body)
        field, _ = complaint(caught.value.errors(include_url=False, include_input=False))
        assert field == "response_format.json_schema.schema.properties.a.const"

    def test_what_is_refused_is_not_kept(self) -> None:
        """Sixty-four schemas of 16 MiB would be all the memory of a small service."""
        tracemalloc.start()
        try:
            for number in range(4):
                assert "bytes" in refused(prompt="x", response_format=form({"title": "x" * 4_000_000 + str(number)}))[1]
            gc.collect()
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept_bytes < 4_000_000

    def test_a_bad_place_in_a_schema_is_named(self) -> None:
        """The path from the body's root."""
        field, reason = refused(**CHAT, response_format=form({"properties": {"age": {"type": "intt"}}}))
        assert field.startswith("response_format.json_schema.schema.properties.age")
        assert reason


class TestTools:
    def test_a_conversation_with_tools_reaches_the_engine(self) -> None:
        """Null where an assistant said nothing but called; fields of the engine's own are kept in its calls."""
        call = CALL | {"index": 0}
        turns = [
            USER | {"name": "anna"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "3", "tool_call_id": "c1"},
        ]
        named = {"type": "function", "function": {"name": "look_up"}}
        sent = work(messages=turns, tools=[TOOL], tool_choice=named)
        assert isinstance(sent, ChatInput)
        assert [turn.content for turn in sent.messages] == ["hi", "", "3"]
        assert sent.messages[1].tool_calls == (call,)
        assert (sent.messages[0].name, sent.messages[2].tool_call_id) == ("anna", "c1")
        assert (sent.tools, sent.tool_choice) == ((TOOL,), named)

    @pytest.mark.parametrize(
        ("turn", "field"),
        [
            ({"role": "user"}, "messages.0.content"),
            ({"role": "user", "content": None}, "messages.0.content"),
            ({"role": "assistant", "content": None}, "messages.0.content"),
            ({"role": "assistant", "tool_calls": []}, "messages.0.content"),
            ({"role": "user", "content": [{"type": "text", "text": "x"}]}, "messages.0.content"),
            ({"role": "boss", "content": "x"}, "messages.0.role"),
            ({"role": "tool", "content": "x"}, "messages.0.tool_call_id"),
            ({"role": "user", "content": "x", "tool_call_id": "c"}, "messages.0.tool_call_id"),
            ({"role": "user", "content": "x", "tool_calls": [CALL]}, "messages.0.tool_calls"),
            ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages.0.tool_calls.0.function"),
            ({"role": "user", "content": "x", "name": "n" * 257}, "messages.0.name"),
            ({"role": "user", "content": "x", "weight": 1}, "messages.0.weight"),
        ],
    )
    def test_a_turn_that_cannot_be_is_named(self, turn: dict[str, Any], field: str) -> None:
        """By its place and its field."""
        assert refused(messages=[turn])[0] == field

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"tools": [{"type": "code"}]}, "tools.0.type"),
            ({"tools": [{"type": "function", "function": {"name": "has space"}}]}, "tools.0.function.name"),
            ({"tools": [TOOL | {"x": 1}]}, "tools.0.x"),
            (
                {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"d": "x" * 70_000}}}]},
                "tools.0",
            ),
            ({"tools": [TOOL] * 129}, "tools"),
            ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
            ({"tools": [TOOL], "tool_choice": 3}, "tool_choice"),
            ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
            (
                {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
                "tool_choice.function.name",
            ),
            ({"tool_choice": "auto"}, "tool_choice"),
            ({"tools": [], "tool_choice": "auto"}, "tool_choice"),
        ],
    )
    def test_a_tool_that_cannot_be_is_named(self, change: dict[str, Any], field: str) -> None:
        """Also a choice of what is not there."""
        assert refused(**CHAT, **change)[0].startswith(field)


class Api:
    """The application with one worker, whose model's files may be here."""

    def __init__(self, store: Store, worker: StandIn, http: httpx.AsyncClient, model: Path) -> None:
        self.store, self.worker, self.http, self.model = store, worker, http, model

    async def join(self, context_tokens: int, tokenizer: str = "", name: str = "") -> None:
        """Let another worker of the model join."""
        worker = StandIn(self.store, context_tokens=context_tokens)
        change = {"tokenizer": tokenizer or str(self.model), "name": name or "gpu0@here"}
        worker._card = worker._card.model_copy(update=change)
        await worker.join()

    async def send(self, **body: Any) -> httpx.Response:
        return await self.http.post("/v1/jobs", json=body)

    async def send_file(self, *lines: dict[str, Any]) -> httpx.Response:
        content = b"\n".join(json.dumps(line).encode() for line in lines)
        return await self.http.post("/v1/jobs", content=content, headers={"content-type": "application/x-ndjson"})

    async def price(self, response: httpx.Response) -> int:
        """The tokens that the scheduler takes a job's prompt for."""
        assert response.status_code == 202, response.text
        key = f"{self.store.prefix}job:{response.json()['id']}"
        (cost,) = await self.store.read([("HGET", key, "cost")])
        return int(cost)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = make_settings(tmp_path)
    store = make_store(settings, fakeredis.FakeServer())
    worker = StandIn(store)
    app = create_app(settings, store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        yield Api(store, worker, http, make_model(tmp_path / "model", CHATML))
    await store.close()


def error(response: httpx.Response) -> tuple[int, str, str, str]:
    said = response.json()["error"]
    return response.status_code, said["code"], said["param"], said["message"]


class TestRoomForPrompts:
    async def test_a_prompt_that_cannot_fit_is_refused_with_the_counts(self, api: Api) -> None:
        """By the worker that takes least; one token less and it is taken, at its exact price."""
        await api.join(9000)
        await api.join(600, name="gpu1@here")
        fits = {"prompt": " the" * 98, "max_output_tokens": 501}
        assert await api.price(await api.send(**fits)) == 600
        status, code, param, message = error(await api.send(**fits | {"max_output_tokens": 502}))
        assert (status, code, param) == (400, "context_length", "prompt")
        assert message == (
            f"prompt: the prompt has 99 tokens and the answer may take 502; {MODEL} takes 600. "
            "Shorten it, or ask for a shorter answer (max_output_tokens, --max-tokens)."
        )

    async def test_an_answer_s_length_that_nobody_asked_for_is_shortened(self, api: Api) -> None:
        """To what the context leaves; the engine would do the same. One that was asked for is not."""
        await api.join(600)
        sent = await api.send(prompt=" the" * 498)
        record = await api.store.read([("HGET", f"{api.store.prefix}job:{sent.json()['id']}", "input")])
        assert json.loads(record[0])["max_output_tokens"] == 101
        assert await api.price(sent) == 600
        assert error(await api.send(prompt=" the" * 498, max_output_tokens=512))[1] == "context_length"
        assert error(await api.send(prompt=" the" * 599))[1:3] == ("context_length", "prompt")

    async def test_a_chat_is_counted_with_its_template(self, api: Api) -> None:
        """And one of the texts for vectors is named by its place."""
        await api.join(100)
        status, code, param, message = error(await api.send(**CHAT, max_output_tokens=90))
        assert (status, code, param) == (400, "context_length", "messages")
        assert "the prompt has 1" in message
        assert (await api.send(**CHAT, max_output_tokens=50)).status_code == 202
        assert error(await api.send(input=["a", "the " * 200]))[1:3] == ("context_length", "input.1")

    async def test_a_large_prompt_is_counted_too(self, api: Api) -> None:
        """A megabyte, beside the loop."""
        await api.join(8192)
        assert "the prompt has 262,145 tokens" in error(await api.send(prompt=" the" * 262_144))[3]

    async def test_what_the_template_refuses_is_refused_with_its_words(self, api: Api) -> None:
        """The engine would do the same later."""
        make_model(api.model, TEMPLATES["mistral"])
        await api.join(9000)
        status, code, param, message = error(await api.send(messages=[USER, USER]))
        assert (status, code, param) == (400, "chat_template", "messages")
        assert message == "messages: the model's chat template refuses them: Roles must alternate."

    @pytest.mark.parametrize("tokenizer", ["wordllama", "/nowhere/at/all"])
    async def test_where_nobody_here_can_count_the_engine_decides(self, api: Api, tokenizer: str) -> None:
        """A quarter of the characters is the price then."""
        await api.join(100, tokenizer)
        assert await api.price(await api.send(prompt="the " * 1000, max_output_tokens=5)) == 1005

    async def test_a_line_of_a_file_is_named_and_nothing_is_kept(self, api: Api) -> None:
        """With the same words."""
        await api.join(600)
        status, code, param, message = error(
            await api.send_file(CHAT | {"max_output_tokens": 9}, {"prompt": " the" * 700})
        )
        assert (status, code, param) == (400, "context_length", "line.2.prompt")
        assert message.startswith("line 2: prompt: the prompt has 701 tokens and the answer may take 512;")
        taken = await api.send_file(
            CHAT | {"max_output_tokens": 9}, {"input": "x"}, {"prompt": "x", "max_output_tokens": 9}
        )
        assert (taken.status_code, taken.json()["counts"]["total"]) == (202, 3)


class TestScales:
    async def test_a_template_that_does_not_end_is_not_asked_again(self, tmp_path: Path) -> None:
        """Its prompts go to the engine uncounted, and nobody waits for it."""
        slow = "{% for a in range(100) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x"
        folder = make_model(tmp_path / "m", slow)
        card = WorkerCard(
            name="gpu0@here",
            incarnation="1",
            host="here",
            pid=1,
            engine="e",
            model="m",
            slots=1,
            context_tokens=10,
            tokenizer=str(folder),
        )
        fleet = FleetStatus(fleet="f", workers=(WorkerStatus(card=card),))
        tried = scales.Scales(render_s=0.05)
        assert await tried.weigh([ChatInput(messages=[USER])], "m", fleet) == [None]
        make_model(folder, CHATML)
        assert await tried.weigh([ChatInput(messages=[USER])], "m", fleet) == [None]
        assert await scales.Scales().weigh([ChatInput(messages=[USER])], "m", fleet) != [None]

    async def test_a_slow_template_holds_no_analysis_up(self, tmp_path: Path) -> None:
        """What its options leave is counted roughly then."""
        slow = "{% for a in range(999) %}{% for b in range(3999) %}{% endfor %}{% endfor %}x"
        card = WorkerCard(
            name="gpu0@here",
            incarnation="1",
            host="here",
            pid=1,
            engine="e",
            model="m",
            slots=1,
            context_tokens=1000,
            tokenizer=str(make_model(tmp_path / "m", slow)),
        )
        tried = scales.Scales(render_s=0.05)
        for _ in range(2):
            await tried.check_room(card, AnalysisTask.SUMMARIZE, TaskOptions(max_output_tokens=300))
            with pytest.raises(UsageError, match="no room for a document"):
                await tried.check_room(card, AnalysisTask.SUMMARIZE, TaskOptions(max_output_tokens=900))


class TestDecision:
    def test_prompt_and_answer_may_fill_the_context_and_no_more(self) -> None:
        """Pure."""

        def weigh(tokens: int, most: int) -> scales.Weight:
            asked = CompletionInput(prompt="x", **({"max_output_tokens": most} if most else {}))
            return scales.weight_of(asked, Count((tokens,)), model="m", context_tokens=100)

        assert weigh(90, 10) == scales.Load(90, 10)
        assert isinstance(weigh(91, 10), scales.Misfit)
        assert weigh(91, 0) == scales.Load(91, 9)
        assert weigh(99, 0) == scales.Load(99, 1)
        assert isinstance(weigh(100, 0), scales.Misfit)
        vectors = scales.weight_of(EmbeddingInput(texts=("a", "b")), Count((100, 7)), model="m", context_tokens=100)
        assert vectors == scales.Load(107)


async def test_every_field_of_a_job_is_in_the_openapi_document_and_on_the_page(api: Api) -> None:
    """Programs are generated from the one, people read the other."""
    schemas = (await api.http.get("/openapi.json")).json()["components"]["schemas"]
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    for model in (JobBody, LineBody):
        assert set(schemas[model.__name__]["properties"]) == set(model.model_fields)
    assert [name for name in JobBody.model_fields if f"`{name}`" not in page] == []
    assert schemas["JobBody"]["properties"]["input"]["anyOf"][0] == {"type": "string"}
