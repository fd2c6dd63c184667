"""The official SDK against a real door and real workers: chats, completions, embeddings, models, streams, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.conftest import remove_keys
from tests.door import Door
from tests.visited import Visited
from tests.workers import Fleet, eventually, ready
from viiwork.jobs import Lane, State, Status
from viiwork.settings import load_settings
from viiwork.store import Store

T = TypeVar("T")
SIMULATED = "simulated-mistral-7b"
WORDY = "noop"
GIFTED = "gifted"
DOCS = Path(__file__).parents[2] / "docs" / "api.md"
NDA = Path(__file__).parents[2] / "samples" / "documents" / "nda-harbour-optics.pdf"
WORDS = "confidential"
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@dataclass
class Town(Visited):
    """A door; a worker that writes word by word, one that does everything, and a simulated card."""

    client: OpenAI
    """As anybody has it, but that it asks once only."""

    def job(self, job_id: str) -> Status:
        return self.do(lambda store: store.job(job_id))

    def becomes(self, job_id: str, state: State) -> None:
        """Wait until a job is in this state."""

        async def wait(store: Store) -> None:
            async def reached() -> bool:
                return (await store.job(job_id)).state is state

            await eventually(reached, what=f"{job_id} is {state}")

        self.do(wait)

    def running(self, model: str) -> str:
        """The id of the one job of a model that runs."""

        async def find(store: Store) -> str:
            found: list[str] = []

            async def runs() -> bool:
                found.clear()
                async for key in store.client.scan_iter(match=f"{store.prefix}job:job_*"):
                    state, of = await store.client.hmget(key, "state", "model")
                    found.extend([str(key).rpartition(":")[2]] if (state, of) == ("running", model) else [])
                return len(found) == 1

            await eventually(runs, what=f"one job of {model} runs")
            return found[0]

        return self.do(find)

    def served(self, model: str) -> None:
        """Wait until somebody serves a model."""

        async def wait(store: Store) -> None:
            async def there() -> bool:
                return model in (await store.fleet()).models

            await eventually(there, what=f"{model} is served")

        self.do(wait)

    def idle(self, model: str) -> None:
        """Wait until no worker of a model holds a job."""

        async def wait(store: Store) -> None:
            async def free() -> bool:
                workers = [w for w in (await store.fleet()).workers if w.card.model == model]
                return all(not sum(w.in_flight.values()) for w in workers)

            await eventually(free, what="its slot is free")

        self.do(wait)


class Gate:
    """Lets the engine write so many words and no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.let(0)

    def let(self, words: int) -> None:
        self._path.write_bytes(bytes(words))

    def order(self, words: int) -> list[Any]:
        """The messages that ask for them."""
        return says(f"{words} words, as {self._path} lets")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture(scope="module")
def town(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    root = tmp_path_factory.mktemp("openai")
    settings = load_settings(
        {
            "fleet": {"name": root.name, "state_dir": str(root)},
            "redis": {"url": redis_url, "prefix": f"viiwork-test:{root.name}:"},
            "flower": {"enabled": False},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 0.5},
        }
    )
    fleet = Fleet(settings)
    with (
        Door(settings) as door,
        OpenAI(base_url=f"{door.url}/v1", api_key="anything", max_retries=0, timeout=90) as client,
    ):
        fleet.start("gpu0", module="tests.wordy")
        fleet.start("cpu0", module="tests.gifted")
        quick = settings.engine.model_copy(update={"kind": "simulated", "time_scale": 0.001})
        fleet.start("cpu1", settings=settings.model_copy(update={"engine": quick}))
        made = Town(fleet, door.url, client)
        try:
            made.do(lambda store: ready(store, 3))
            yield made
        finally:
            fleet.close()
            made.do(remove_keys)


def says(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


class TestChats:
    def test_a_chat_is_answered_with_its_usage_and_the_job_behind_it(self, town: Town) -> None:
        raw = town.client.chat.completions.with_raw_response.create(model=SIMULATED, messages=says("Hello there."))
        answer = raw.parse()
        assert answer.object == "chat.completion"
        assert answer.id.startswith("chatcmpl-")
        assert answer.model == SIMULATED
        assert (answer.choices[0].message.content or "").startswith("[simulated]")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
        job = town.job(raw.headers["x-viiwork-job"])
        assert (job.state, job.lane) == (State.SUCCEEDED, Lane.INTERACTIVE)
        assert answer.id == "chatcmpl-" + job.id.removeprefix("job_")
        assert int(raw.headers["x-viiwork-queue-position"]) >= 0
        assert int(raw.headers["x-viiwork-wait-ms"]) >= 0
        assert raw.headers["x-request-id"]

    def test_parts_of_text_are_one_text_and_what_is_asked_reaches_the_engine(self, town: Town) -> None:
        parts: list[Any] = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
        asked: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
        assert (
            town.client.chat.completions.create(model=GIFTED, messages=asked).choices[0].message.content == "one\ntwo"
        )
        answer = town.client.chat.completions.create(
            model=GIFTED,
            messages=says("what?"),
            max_completion_tokens=7,
            seed=3,
            stop=["x"],
            temperature=0.5,
            user="me",
        )
        assert answer.choices[0].message.content == repr((0.5, 7, 3, ("x",)))
        usual = town.client.chat.completions.create(model=GIFTED, messages=says("what?"))
        assert usual.choices[0].message.content == repr((1.0, 1024, None, ()))

    def test_several_choices_are_jobs_of_their_own_and_come_back_as_one_answer(self, town: Town) -> None:
        answer = town.client.chat.completions.create(model=GIFTED, messages=says("what?"), n=3, seed=5)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert [eval(choice.message.content or "")[2] for choice in answer.choices] == [5, 6, 7]
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 12)
        with pytest.raises(openai.BadRequestError, match="n: ") as refused:
            town.client.chat.completions.create(model=GIFTED, messages=says("x"), n=9)
        assert refused.value.param == "n"

    def test_tools_shapes_and_log_probabilities(self, town: Town) -> None:
        asked: dict[str, Any] = {"model": GIFTED, "messages": says("look up"), "tools": [TOOL]}
        choice = town.client.chat.completions.create(**asked).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert [json.loads(call.function.arguments) for call in choice.message.tool_calls or ()] == [
            {"place": "here"}
        ] * 2
        single = town.client.chat.completions.create(**asked, parallel_tool_calls=False).choices[0]
        assert len(single.message.tool_calls or ()) == 1

        class Word(BaseModel):
            word: str

        parsed = town.client.chat.completions.parse(model=GIFTED, messages=says("fill it"), response_format=Word)
        assert parsed.choices[0].message.parsed == Word(word="heard")
        likely = town.client.chat.completions.create(model=GIFTED, messages=says("a b"), logprobs=True, top_logprobs=0)
        assert likely.choices[0].logprobs is not None
        assert [token.token for token in likely.choices[0].logprobs.content or ()] == ["a", "b"]

    def test_the_tier_or_a_header_chooses_the_lane(self, town: Town) -> None:
        make = town.client.chat.completions.with_raw_response.create
        flex = make(model=GIFTED, messages=says("x"), service_tier="flex")
        assert flex.parse().service_tier == "flex"
        header = make(model=GIFTED, messages=says("x"), extra_headers={"x-viiwork-lane": "batch"})
        assert {town.job(raw.headers["x-viiwork-job"]).lane for raw in (flex, header)} == {Lane.BATCH}
        with pytest.raises(openai.BadRequestError, match="x-viiwork-lane"):
            make(model=GIFTED, messages=says("x"), extra_headers={"x-viiwork-lane": "slow"})

    def test_the_same_idempotency_key_has_the_same_answer(self, town: Town) -> None:
        key = {"Idempotency-Key": "once"}
        make = town.client.chat.completions.create
        first, second = (make(model=GIFTED, messages=says("x"), n=2, extra_headers=key) for _ in range(2))
        assert first.id == second.id
        with pytest.raises(openai.ConflictError):
            make(model=GIFTED, messages=says("y"), extra_headers=key)


class TestStreams:
    def test_a_stream_has_the_chunks_of_the_api_and_its_usage(self, town: Town) -> None:
        options: Any = {"include_usage": True}
        chunks = list(
            town.client.chat.completions.create(
                model=GIFTED, messages=says("over and out"), stream=True, stream_options=options, logprobs=True
            )
        )
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "over and out"
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 3)
        assert all(chunk.usage is None for chunk in chunks[:-1])
        with town.client.chat.completions.stream(model=GIFTED, messages=says("call"), tools=[TOOL]) as stream:
            whole = stream.get_final_completion()
        assert [call.function.name for call in whole.choices[0].message.tool_calls or ()] == ["look", "look"]
        assert whole.choices[0].finish_reason == "tool_calls"

    def test_text_comes_while_it_is_written(self, town: Town, gate: Gate) -> None:
        gate.let(1)
        stream = town.client.chat.completions.create(model=WORDY, messages=gate.order(20), stream=True)
        assert stream.response.headers["x-viiwork-job"].startswith("job_")
        pieces = []
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "")
            gate.let(len([piece for piece in pieces if piece]) + 1)
        assert len("".join(pieces).split()) == 20
        assert len([piece for piece in pieces if piece]) > 3

    def test_several_choices_stream_side_by_side(self, town: Town) -> None:
        texts = {0: "", 1: ""}
        for chunk in town.client.chat.completions.create(
            model=WORDY, messages=says("5 words, one every 0.01 s"), n=2, stream=True
        ):
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert [len(text.split()) for text in texts.values()] == [5, 5]

    def test_what_is_refused_before_the_first_token_has_a_status_of_its_own(self, town: Town) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            town.client.chat.completions.create(model=WORDY, messages=says("nothing it knows"), stream=True)
        assert refused.value.code == "job_refused"


class TestLoss:
    """Each kills the worker that writes words, and starts another one under the same name."""

    def kill(self, town: Town) -> None:
        town.fleet.kill("gpu0")
        town.fleet.start("gpu0", module="tests.wordy")

    def test_a_worker_lost_before_the_first_token_is_not_seen(self, town: Town, gate: Gate) -> None:
        answers: list[str] = []

        async def ask() -> None:
            def read() -> None:
                stream = town.client.chat.completions.create(model=WORDY, messages=gate.order(5), stream=True)
                answers.extend(chunk.choices[0].delta.content or "" for chunk in stream)

            reading = asyncio.create_task(asyncio.to_thread(read))
            await asyncio.to_thread(town.running, WORDY)
            await asyncio.to_thread(self.kill, town)
            gate.let(100)
            await reading

        asyncio.run(ask())
        assert len("".join(answers).split()) == 5
        town.served(WORDY)

    def test_after_it_the_stream_ends_with_a_clear_error(self, town: Town, gate: Gate) -> None:
        gate.let(1)
        stream = town.client.chat.completions.create(model=WORDY, messages=gate.order(5), stream=True)
        with pytest.raises(openai.APIError, match="worker was lost") as lost:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    self.kill(town)
                    gate.let(100)
        assert lost.value.code == "answer_restarted"
        town.served(WORDY)

    def test_who_hangs_up_frees_the_slot(self, town: Town, gate: Gate) -> None:
        with pytest.raises(openai.APITimeoutError):
            town.client.with_options(timeout=0.5).chat.completions.create(model=WORDY, messages=gate.order(5))
        gate.let(1)
        stream = town.client.chat.completions.create(model=WORDY, messages=gate.order(5), stream=True)
        job = stream.response.headers["x-viiwork-job"]
        stream.close()
        town.becomes(job, State.CANCELLED)
        town.idle(WORDY)


class TestFiles:
    """Documents inside a chat are read in processes of their own, and their text stands in their place."""

    def test_a_pdf_is_read_as_bytes_and_as_a_file_that_was_sent_before(self, town: Town) -> None:
        data = f"data:application/pdf;base64,{base64.b64encode(NDA.read_bytes()).decode()}"
        kept = town.client.files.create(file=NDA, purpose="user_data")
        for file in ({"filename": "nda.pdf", "file_data": data}, {"file_id": kept.id}):
            said: Any = [{"type": "text", "text": "Look."}, {"type": "file", "file": file}]
            answer = town.client.chat.completions.create(model=GIFTED, messages=[{"role": "user", "content": said}])
            text = answer.choices[0].message.content or ""
            assert text.startswith('Look.\n<document name="')
            assert WORDS in text.lower()
            assert text.endswith("\n</document>")

    def test_what_cannot_be_read_is_refused_with_its_reason(self, town: Town) -> None:
        broken = {"filename": "a.pdf", "file_data": base64.b64encode(b"%PDF-1.7 nothing").decode()}
        for file, kind, code in (
            (broken, openai.BadRequestError, "damaged"),
            ({"file_id": "file-none"}, openai.NotFoundError, "not_found"),
            ({"file_data": "data:text/plain;base64,"}, openai.BadRequestError, "empty"),
        ):
            said: Any = [{"type": "file", "file": file}]
            with pytest.raises(kind) as refused:
                town.client.chat.completions.create(model=GIFTED, messages=[{"role": "user", "content": said}])
            assert refused.value.code == code

    def test_one_that_is_too_long_is_for_the_analyses(self, town: Town) -> None:
        file = {"file_data": base64.b64encode(b"word " * 200_000).decode(), "filename": "long.txt"}
        said: Any = [{"type": "file", "file": file}]
        with pytest.raises(openai.BadRequestError, match=r"[\d,]{5,} tokens.*POST /v1/analyses") as refused:
            town.client.chat.completions.create(model=GIFTED, messages=[{"role": "user", "content": said}])
        assert refused.value.code == "context_length_exceeded"


class TestDocs:
    """The examples of docs/api.md run as they stand there, but for the address and the name of the model."""

    @pytest.mark.parametrize(("language", "command"), [("bash", ["bash", "-e"]), ("python", [sys.executable, "-"])])
    def test_an_example_answers(self, town: Town, language: str, command: list[str]) -> None:
        section = DOCS.read_text("utf-8").partition("## With clients of the OpenAI API")[2].partition("\n## ")[0]
        (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
        here = code.replace("http://127.0.0.1:8400", town.url).replace("mistral-7b", SIMULATED)
        done = subprocess.run(command, input=here, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "[simulated]" in done.stdout


class TestOthers:
    def test_completions(self, town: Town) -> None:
        answer = town.client.completions.create(model=GIFTED, prompt=["one", "two"], logprobs=0)
        assert [(c.index, c.text) for c in answer.choices] == [(0, "one!"), (1, "two!")]
        assert answer.object == "text_completion"
        assert answer.choices[1].logprobs is not None
        assert answer.choices[1].logprobs.tokens == ["two!"]
        pieces = town.client.completions.create(model=GIFTED, prompt="so", stream=True)
        assert "".join(chunk.choices[0].text for chunk in pieces) == "so!"

    def test_embeddings_in_both_encodings(self, town: Town) -> None:
        packed = town.client.embeddings.create(model=GIFTED, input=["a", "bcd"])
        plain = town.client.embeddings.create(model=GIFTED, input=["a", "bcd"], encoding_format="float")
        assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data] == [[1, 0], [3, 1]]
        assert packed.usage.prompt_tokens == 2
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length"):
            town.client.embeddings.create(model=GIFTED, input=[[1, 2]])

    def test_models(self, town: Town) -> None:
        models = {model.id: model for model in town.client.models.list()}
        assert set(models) == {GIFTED, WORDY, SIMULATED}
        found: Any = town.client.models.retrieve(SIMULATED)
        assert (found.replicas, found.ready) == (1, 1)
        assert found.context_length > 1000
        with pytest.raises(openai.NotFoundError) as missing:
            town.client.models.retrieve("none")
        assert missing.value.code == "model_not_found"


class TestRefusals:
    def test_errors_are_the_sdks_own_and_name_the_field(self, town: Town) -> None:
        make = town.client.chat.completions.create
        with pytest.raises(openai.NotFoundError) as missing:
            make(model="none", messages=says("x"))
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        assert missing.value.request_id
        with pytest.raises(openai.BadRequestError, match="images are not looked at"):
            make(
                model=GIFTED, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
            )
        with pytest.raises(openai.BadRequestError) as wrong:
            make(model=GIFTED, messages=says("x"), temperature=9)
        assert wrong.value.param == "temperature"
        with pytest.raises(openai.BadRequestError, match="logit_bias"):
            make(model=GIFTED, messages=says("x"), logit_bias={"5": 1})
        assert make(model=GIFTED, messages=says("x"), extra_body={"never_heard_of": 1}).choices

    def test_what_takes_too_long_is_a_final_error_of_the_server(self, town: Town, gate: Gate) -> None:
        """The attempt's own time, and the request's."""
        for field, code in (("timeout_s", "timeout"), ("deadline_s", "expired")):
            with pytest.raises(openai.InternalServerError) as late:
                town.client.chat.completions.create(model=WORDY, messages=gate.order(5), extra_body={field: 0.3})
            assert (late.value.status_code, late.value.code) == (504, code)
            assert late.value.response.headers["x-should-retry"] == "false"

    def test_a_prompt_that_is_too_long_is_told_the_counts_and_where_to_go(self, town: Town) -> None:
        with pytest.raises(openai.BadRequestError, match=r"tokens.*POST /v1/analyses") as refused:
            town.client.chat.completions.create(model=SIMULATED, messages=says("word " * 40_000))
        assert refused.value.code == "context_length_exceeded"
