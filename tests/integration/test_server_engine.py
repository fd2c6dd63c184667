"""The engine that is a server: what comes of jobs while it lives, dies, lies and is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.http import Connection, Reply, Request
from tests.keeping import StandIn
from viiwork.errors import Busy, EngineDied, EngineFault, JobRefused, Unavailable
from viiwork.jobs import Lane
from viiwork.recipes.launch import Launch
from viiwork.recipes.recipe import Metrics
from viiwork.work import (
    AnalysisTask,
    ChatInput,
    CompletionInput,
    EmbeddingInput,
    EngineWork,
    Label,
    Message,
    Sampling,
    Shape,
    StepInput,
    TaskOptions,
)
from viiwork_workers.engines.base import EngineFacts, Manner
from viiwork_workers.engines.guard.frames import Load, Phase
from viiwork_workers.engines.server.engine import ServerEngine
from viiwork_workers.engines.server.http_session import LARGEST_ANSWER_BYTES

Handler = Callable[[Request, Reply], Awaitable[None]]
FACTS = EngineFacts(name="vLLM", model="tiny", slots=64, context_tokens=2048, tokenizer="wordllama")
SECRET = "Mill Lane"
CHAT = ChatInput(messages=(Message(role="user", content=f"Where is {SECRET}?"),), max_output_tokens=40)
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOO_LONG = (
    "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens"
)
TOO_LONG_FOR_TGI = "Input validation error: `inputs` must have less than 1024 tokens. Given: 5000"
LINE_TOO_LONG = "data: " + "x" * (2 << 20)


def whole(text: str = "It is here.", **more: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}],
        "usage": USAGE,
    }


def piece(text: str | None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}]}


async def answers(request: Request, reply: Reply) -> None:
    """As a good server does, whole or as a stream."""
    if not request.json().get("stream"):
        return reply.send(200, whole())
    reply.open()
    reply.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for text in ("It ", "is ", "hére."):
        await asyncio.sleep(0)
        reply.event(piece(text))
    reply.event(piece("", "stop"))
    reply.event({"choices": [], "usage": USAGE})
    reply.event("[DONE]")
    return reply.close()


class Stage:
    """An engine, what keeps it, and the server that it talks to."""

    def __init__(self) -> None:
        self.handler: Handler = answers
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.left = asyncio.Event()
        """Set when a client has gone away from a request that was under way."""

    async def start(self, *, metrics: bool = True, verdict_s: float = 0.05, **more: Any) -> None:
        self.server = await asyncio.get_running_loop().create_server(self.connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        self.keeper = StandIn(ready(self.url))
        told = {"worker": "cpu0", "title": "vLLM", "alias": "tiny", "dialect": "vllm", **more}
        launch = Launch(**told, metrics=Metrics(output_tokens="tokens") if metrics else None)
        self.engine = ServerEngine(FACTS, launch, self.keeper, verdict_s=verdict_s)
        await self.engine.load()

    async def close(self) -> None:
        await self.engine.close()
        self.server.close()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.json() for request in self.requests]

    def connect(self) -> Connection:
        self.connections.append(Connection(self.answer))
        return self.connections[-1]

    async def answer(self, request: Request, reply: Reply) -> None:
        self.requests.append(request)
        try:
            await self.handler(request, reply)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def begun(self, count: int = 1) -> None:
        while len(self.requests) < count:
            await asyncio.sleep(0.001)

    def dies(self) -> None:
        self.keeper.say(Phase(stage="restarting", life=1, deaths=1))


def ready(url: str, life: int = 1) -> Phase:
    return Phase(stage="ready", life=life, url=url, key="sesame", pid=7)


def says(*sent: object) -> Handler:
    """A stream of these events; text as it is, an exception's place cuts the connection."""

    async def handler(request: Request, reply: Reply) -> None:
        reply.open()
        for one in sent:
            await asyncio.sleep(0)
            if one is CUT:
                return reply.cut()
            reply.piece(one) if isinstance(one, str) else reply.event(one)
        return reply.close()

    return handler


def refuses(status: int, body: object, **headers: str) -> Handler:
    async def handler(request: Request, reply: Reply) -> None:
        reply.send(status, body, **headers)

    return handler


async def never(request: Request, reply: Reply) -> None:
    """Begins an answer and does not end it."""
    if request.json().get("stream"):
        reply.open()
        reply.event(piece("It "))
    await asyncio.Event().wait()


CUT = object()
DONE = "data: [DONE]\n\n"
LISTENING = Manner(on_text=lambda text: None)
MANNERS = pytest.mark.parametrize("manner", [Manner(), LISTENING], ids=["whole", "streamed"])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def bare() -> AsyncIterator[Stage]:
    """Of an engine without metrics."""
    made = Stage()
    await made.start(metrics=False, dialect="openai")
    yield made
    await made.close()


async def fault(stage: Stage, handler: Handler, manner: Manner = LISTENING, work: EngineWork = CHAT) -> EngineFault:
    stage.handler = handler
    with pytest.raises(EngineFault) as caught:
        await stage.engine.run(work, manner)
    assert SECRET not in str(caught.value)
    return caught.value


async def test_a_chat_is_answered_with_what_it_cost(stage: Stage) -> None:
    """By the engine's own counts; nothing is streamed to nobody."""
    answer = await stage.engine.run(CHAT)
    assert (answer.text, answer.finish_reason) == ("It is here.", "stop")
    assert (answer.engine, answer.model) == ("vLLM", "tiny")
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens) == (5, 3)
    assert "stream" not in stage.bodies[0]
    assert stage.requests[0].headers["authorization"] == "Bearer sesame"


async def test_who_listens_hears_the_answer_and_nothing_else(stage: Stage) -> None:
    """Piece by piece, and never what a thinking model thinks."""
    stage.handler = says(
        piece(None, reasoning_content="Hm, "),
        piece(None, reasoning="let me see."),
        piece("It "),
        piece("is."),
        piece(None, "stop"),
        DONE,
    )
    heard: list[str] = []
    answer = await stage.engine.run(CHAT, Manner(on_text=heard.append))
    assert heard == ["It ", "is."]
    assert answer.text == "It is."


async def test_a_stream_brings_its_usage(stage: Stage) -> None:
    """In an event of its own."""
    answer = await stage.engine.run(CHAT, LISTENING)
    assert (answer.text, answer.usage.output_tokens) == ("It is hére.", 3)


async def test_an_engine_without_metrics_always_streams_and_its_bytes_are_told(bare: Stage) -> None:
    """They are the only sign that it does not hang."""
    bare.handler = never
    running = asyncio.create_task(bare.engine.run(CHAT))
    await bare.begun()
    while bare.keeper.told[-1][1] == 0:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bare.bodies[0]["stream"] is True
    assert bare.keeper.told[0] == (1, 0)
    while bare.keeper.told[-1][0] != 0:  # the last change is told too
        await asyncio.sleep(0.01)


async def test_a_step_is_rendered_to_a_chat_and_its_answer_read(stage: Stage) -> None:
    """With its label; whoever listens hears the label."""
    stage.handler = refuses(200, whole("The label is **Letter**."))
    options = TaskOptions(labels=(Label(name="letter"), Label(name="invoice")), max_output_tokens=12)
    step = StepInput(task=AnalysisTask.CLASSIFY, options=options, title="A", text="Dear Ms Novak")
    heard: list[str] = []
    answer = await stage.engine.run(step, Manner(on_text=heard.append))
    assert (answer.label, answer.text, heard) == ("letter", "letter", ["letter"])
    assert [turn["role"] for turn in stage.bodies[0]["messages"]] == ["system", "user"]
    assert stage.bodies[0]["max_tokens"] == 12


async def test_a_completion_and_its_log_probabilities(stage: Stage) -> None:
    """Put together from the pieces of a stream."""
    stage.handler = says(
        {"choices": [{"text": "upon", "logprobs": {"tokens": ["upon"], "token_logprobs": [-1.0]}}]},
        {
            "choices": [
                {"text": " a", "logprobs": {"tokens": [" a"], "token_logprobs": [-2.0]}, "finish_reason": "length"}
            ]
        },
        DONE,
    )
    work = CompletionInput(prompt="Once", max_output_tokens=2, sampling=Sampling(logprobs=0))
    answer = await stage.engine.run(work, LISTENING)
    assert (answer.text, answer.finish_reason) == ("upon a", "length")
    assert answer.logprobs == {"tokens": ["upon", " a"], "token_logprobs": [-1.0, -2.0]}


async def test_tool_calls_are_put_together(stage: Stage) -> None:
    """Their arguments come in pieces, those of two calls mixed."""

    def part(index: int, text: str, **more: Any) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": text, **more.pop("function", {})}, **more}

    stage.handler = says(
        piece(None, tool_calls=[part(0, "", id="a", type="function", function={"name": "look_up"})]),
        piece(None, tool_calls=[part(0, '{"x"')]),
        piece(None, tool_calls=[part(1, "{}", id="b", function={"name": "stop"}), part(0, ": 1}")]),
        piece(None, "tool_calls"),
        DONE,
    )
    answer = await stage.engine.run(CHAT, LISTENING)
    assert answer.finish_reason == "tool_calls"
    assert answer.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    )


async def test_embeddings_come_in_the_order_of_their_texts(stage: Stage) -> None:
    """Whatever order the engine has them in."""
    rows = [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1.0, 2.0]}]
    stage.handler = refuses(200, {"data": rows, "usage": {"prompt_tokens": 2, "total_tokens": 2}})
    answer = await stage.engine.run(EmbeddingInput(texts=("a", "b")), LISTENING)
    assert answer.embeddings == ((1.0, 2.0), (3.0, 4.5))
    assert answer.usage.prompt_tokens == 2
    stage.handler = refuses(200, {"data": rows[:1]})
    with pytest.raises(EngineFault, match="1 embeddings of 2 texts"):
        await stage.engine.run(EmbeddingInput(texts=("a", "b")))


async def test_an_answer_of_many_megabytes_is_read(stage: Stage) -> None:
    """On a thread, with the same outcome."""
    rows = [{"index": number, "embedding": [number / 7] * 1_000} for number in range(100)]
    stage.handler = refuses(200, {"data": rows})
    answer = await stage.engine.run(EmbeddingInput(texts=("a",) * 100))
    assert [row[0] for row in answer.embeddings] == [number / 7 for number in range(100)]


async def test_a_shape_is_checked_again(stage: Stage) -> None:
    """The value comes with it; a miss is the job's end."""
    work = CHAT.model_copy(update={"shape": Shape(json_schema=SCHEMA)})
    stage.handler = refuses(200, whole('{"a": 5}'))
    assert (await stage.engine.run(work)).value == {"a": 5}
    stage.handler = refuses(200, whole('{"a": "Mill'))
    with pytest.raises(JobRefused) as refused:
        await stage.engine.run(work)
    assert refused.value.code == "invalid_output"
    assert "Mill" not in str(refused.value)


async def test_lanes_become_priorities_where_the_engine_knows_them() -> None:
    """Lower is earlier."""
    stage = Stage()
    await stage.start(priority=True)
    await stage.engine.run(CHAT, Manner(lane=Lane.INTERACTIVE))
    await stage.engine.run(CHAT, Manner(lane=Lane.BATCH))
    await stage.close()
    assert [body["priority"] for body in stage.bodies] == [0, 10]


async def test_a_job_of_a_thousand_others_gets_its_own_answer(stage: Stage) -> None:
    """64 at a time, over connections that are kept: a busy machine opens a few more than are in use."""

    async def echo(request: Request, reply: Reply) -> None:
        await asyncio.sleep(0)
        reply.send(200, whole(request.json()["prompt"]))

    stage.handler = echo
    slots = asyncio.Semaphore(64)

    async def one(number: int) -> str:
        async with slots:
            return (await stage.engine.run(CompletionInput(prompt=f"n{number}"))).text

    assert await asyncio.gather(*map(one, range(1_000))) == [f"n{number}" for number in range(1_000)]
    assert len(stage.connections) < 300


async def test_a_connection_that_the_server_closed_in_between_fails_no_job(stage: Stage) -> None:
    """The request goes out once more, over a new one."""

    async def once(request: Request, reply: Reply) -> None:
        reply.send(200, whole())
        stage.handler = gone

    async def gone(request: Request, reply: Reply) -> None:
        stage.handler = answers
        reply.cut()

    stage.handler = once
    await stage.engine.run(CHAT)
    assert (await stage.engine.run(CHAT)).text == "It is here."
    assert (len(stage.requests), len(stage.connections)) == (3, 2)


async def test_a_request_that_kills_is_not_sent_twice(stage: Stage) -> None:
    """A new connection that breaks was not closed by an idle server."""

    async def cut(request: Request, reply: Reply) -> None:
        reply.cut()

    await fault(stage, cut)
    assert len(stage.requests) == 1


@MANNERS
async def test_nothing_is_taken_before_the_engine_is_ready(stage: Stage, manner: Manner) -> None:
    """The job never reached it, and goes back uncharged."""
    stage.keeper.say(Phase(stage="loading", life=2, since_s=35.2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=r"loading \(35 s\)"):
        await stage.engine.run(CHAT, manner)
    assert stage.requests == []


async def test_it_is_ready_again_in_its_next_life(stage: Stage) -> None:
    """At another port."""
    other = Stage()
    await other.start()
    stage.dies()
    waiting = asyncio.create_task(stage.engine.until_ready())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert not stage.engine.signals().ready
    stage.keeper.say(ready(other.url, life=2))
    await waiting
    assert stage.engine.signals().ready
    assert (await stage.engine.run(CHAT)).text == "It is here."
    assert (len(stage.requests), len(other.requests)) == (0, 1)
    await other.close()


@MANNERS
async def test_when_the_engine_dies_every_job_in_it_is_a_suspect(stage: Stage, manner: Manner) -> None:
    """At once: the keeper knows before the connections do."""
    stage.handler = never
    running = [asyncio.create_task(stage.engine.run(CHAT, manner)) for _ in range(3)]
    await stage.begun(3)
    stage.dies()
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert [type(error) for error in ended] == [EngineDied] * 3
    await stage.left.wait()
    with pytest.raises(Unavailable):
        await stage.engine.run(CHAT, manner)


async def test_jobs_of_an_engine_that_was_ended_for_its_text_are_given_back(stage: Stage) -> None:
    """No job made a card compute rubbish: none of them is a suspect, and none has a strike."""
    stage.handler = never
    running = [asyncio.create_task(stage.engine.run(CHAT)) for _ in range(3)]
    await stage.begun(3)
    stage.keeper.say(Phase(stage="restarting", life=1, fault_of="engine"))
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert [type(error) for error in ended] == [Unavailable] * 3


async def test_three_failures_in_a_row_have_the_engine_looked_at(stage: Stage) -> None:
    """One that lives and fails would eat the queue."""
    bad = refuses(500, {})
    for handler in (bad, bad, answers, bad, bad):
        stage.handler = handler
        await asyncio.gather(stage.engine.run(CHAT), return_exceptions=True)
    assert stage.keeper.doubts == 0
    await fault(stage, bad)
    assert stage.keeper.doubts == 1


async def test_an_engine_whose_counters_have_gone_is_asked_to_stream(stage: Stage) -> None:
    """Its bytes are then what tells that it works."""
    stage.keeper.load = Load(output_tokens=3)
    await stage.engine.run(CHAT)
    stage.keeper.load = Load(uncounted=True)
    await stage.engine.run(CHAT)
    assert [bool(body.get("stream")) for body in stage.bodies] == [False, True]


async def test_a_new_life_means_that_the_old_one_is_over(stage: Stage) -> None:
    """Even if nobody saw it go."""
    stage.handler = never
    running = asyncio.create_task(stage.engine.run(CHAT))
    await stage.begun()
    stage.keeper.say(ready(stage.url, life=2))
    with pytest.raises(EngineDied):
        await running


@MANNERS
@pytest.mark.parametrize("how", ["cut", "500"])
async def test_a_connection_that_breaks_before_the_keeper_knows_is_a_death_too(manner: Manner, how: str) -> None:
    """The keeper is given a moment to say so."""
    stage = Stage()
    await stage.start(verdict_s=30.0)

    async def dying(request: Request, reply: Reply) -> None:
        reply.cut() if how == "cut" else reply.send(500, {"error": {"message": SECRET}})
        asyncio.get_running_loop().call_later(0.05, stage.dies)

    assert isinstance(await fault(stage, dying, manner), EngineDied)
    await stage.close()


FAULTS: dict[str, Handler] = {
    "500": refuses(500, {"error": {"message": SECRET}}),
    "502": refuses(502, "bad gateway"),
    "no JSON": refuses(200, "<html>Mill Lane</html>"),
    "a list": refuses(200, [1]),
    "no choices": refuses(200, {"choices": []}),
    "an error in 200": refuses(200, {"error": {"message": SECRET}}),
    "MLC's error in 200": refuses(200, {"object": "error", "message": SECRET}),
    "text that is no text": refuses(200, whole(5)),  # type: ignore[arg-type] # on purpose
    "given up": refuses(200, whole(finish_reason="abort")),
    "log probabilities that are none": refuses(200, whole(logprobs=[{"token": SECRET}])),
    "no message": refuses(200, {"choices": [{"finish_reason": "stop"}]}),
    "a tool call that is none": says(piece(None, "stop", tool_calls=[{"index": SECRET}]), DONE),
    "an error in the stream": says(piece("It "), {"error": {"message": SECRET, "code": 500}}, DONE),
    "an error and no end": says(piece("It "), {"error": {"message": SECRET}}),
    "llama.cpp's old error": says(piece("It "), 'error: {"message": "Mill Lane"}\n\n'),
    "broken off": says(piece("It ")),
    "cut": says(piece("It "), CUT),
    "done without an end": says(piece("It "), DONE),
    "nothing": says(),
    "only done": says(DONE),
    "given up in the stream": says(piece("It "), piece("", "abort"), DONE),
    "garbage": says("data: {nope\n\n"),
    "no object": says("data: 5\n\n"),
    "half an event": says('data: {"choices": [{"delta": {"content": "x"'),
    "no delta": says({"choices": [{"delta": "x"}]}),
    "an endless line": says(LINE_TOO_LONG),
    "an endless stream": says(*[": " + "x" * (1 << 20) + "\n"] * (1 + (LARGEST_ANSWER_BYTES >> 20))),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_what_is_no_answer_is_the_engines_fault(stage: Stage, kind: str) -> None:
    """Another attempt may succeed; no word of it is repeated. The next job is answered."""
    error = await fault(stage, FAULTS[kind])
    assert not isinstance(error, EngineDied)
    assert error.retryable
    stage.handler = answers
    assert (await stage.engine.run(CHAT)).text == "It is here."


@MANNERS
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asks", "wait_s"),
    [("", 2.0), ("7", 7.0), ("0", 2.0), ("86400", 30.0), ("9" * 5_000, 30.0), ("-1", 2.0), ("²", 2.0)],
)
async def test_an_engine_without_room_may_be_asked_again_later(
    stage: Stage, manner: Manner, status: int, asks: str, wait_s: float
) -> None:
    """It is nobody's fault; how long to wait may be its own wish, within reason."""
    stage.handler = refuses(status, SECRET, retry_after=asks)
    with pytest.raises(Busy) as busy:
        await stage.engine.run(CHAT, manner)
    assert busy.value.retry_after_s == wait_s
    assert SECRET not in str(busy.value)
    stage.handler = answers
    assert (await stage.engine.run(CHAT, manner)).text


@pytest.mark.parametrize("kind", ["502", "no choices", "no JSON"])
async def test_an_engine_that_answered_to_the_end_has_not_died(kind: str) -> None:
    """Nobody waits for a verdict then. One of its 500s may be its last: vLLM's HTTP server outlives its EngineCore."""
    stage = Stage()
    await stage.start(verdict_s=3_600.0)
    async with asyncio.timeout(60.0):
        assert not isinstance(await fault(stage, FAULTS[kind], Manner()), EngineDied)
    await stage.close()


async def test_when_it_failed_is_told_apart_from_when_that_was_understood() -> None:
    """The keeper's moment is no time that the job took."""
    stage = Stage()
    await stage.start(verdict_s=0.5)
    failed = await fault(stage, FAULTS["500"])
    assert failed.failed_s is not None
    assert asyncio.get_running_loop().time() - failed.failed_s > 0.49, "timers may be a little early"
    await stage.close()


async def once_it_failed(stage: Stage, time_left: asyncio.Timeout) -> None:
    """The job's time ends then, while its verdict is pending."""
    while not stage.engine._troubles:
        await asyncio.sleep(0.001)
    time_left.reschedule(asyncio.get_running_loop().time())


@pytest.mark.parametrize("dies", [False, True])
async def test_a_job_whose_time_ends_with_the_verdict_pending_is_failed_by_its_engine(dies: bool) -> None:
    """It did not run for too long: it had failed before."""
    stage = Stage()
    await stage.start(verdict_s=3_600.0)
    stage.handler = FAULTS["500"]
    with pytest.raises(EngineFault) as caught:
        async with asyncio.timeout(None) as time_left:
            ending = asyncio.create_task(once_it_failed(stage, time_left))
            await stage.engine.run(CHAT)
    await ending
    assert time_left.expired()
    assert caught.value.failed_s is not None
    assert caught.value.failed_s < (time_left.when() or 0.0)
    if dies:
        asyncio.get_running_loop().call_later(0.05, stage.dies)
        with pytest.raises(EngineDied):
            await stage.engine.run(CHAT)
    await stage.close()


LLAMAS_ERROR = {
    "error": {"code": 500, "message": "The model produced output that does not match the expected peg-native format"}
}


@pytest.mark.parametrize(
    "handler", [refuses(500, LLAMAS_ERROR), says(piece("{ Mill"), LLAMAS_ERROR)], ids=["500", "event"]
)
async def test_an_answer_that_llama_cpp_could_not_hold_to_its_shape_is_the_jobs_own_miss(handler: Handler) -> None:
    """Not tried again; of a job that asked for no shape it is the engine's fault."""
    stage = Stage()
    await stage.start(dialect="llama.cpp")
    stage.handler = handler
    with pytest.raises(JobRefused) as refused:
        await stage.engine.run(CHAT.model_copy(update={"shape": Shape(json_object=True)}))
    assert refused.value.code == "invalid_output"
    assert "max_output_tokens" in refused.value.hint
    await fault(stage, handler)
    await stage.close()


async def test_calls_that_nobody_asked_for_are_no_way_around_a_shape(stage: Stage) -> None:
    """Who may call a tool need not answer in the shape; who may not, must."""
    call = {"id": "1", "function": {"name": "look_up", "arguments": "{}"}}
    stage.handler = refuses(
        200, {"choices": [{"message": {"content": "x", "tool_calls": [call]}, "finish_reason": "stop"}]}
    )
    work = CHAT.model_copy(update={"shape": Shape(choice=("yes", "no"))})
    with pytest.raises(JobRefused) as refused:
        await stage.engine.run(work)
    assert refused.value.code == "invalid_output"
    assert (await stage.engine.run(work.model_copy(update={"tools": ({},)}))).tool_calls


@pytest.mark.parametrize("text", ["🙂", "?", "{"])
async def test_a_prompt_needs_no_words(stage: Stage, text: str) -> None:
    """A passage of a document does; and something must be said."""
    chat = ChatInput(messages=(Message(role="user", content=text),))
    for work in (chat, CompletionInput(prompt=text)):
        assert (await stage.engine.run(work)).text
    step = StepInput(task=AnalysisTask.SUMMARIZE, text=text)
    for empty in (step, CompletionInput(prompt=" \n"), chat.model_copy(update={"messages": ()})):
        with pytest.raises(JobRefused) as refused:
            await stage.engine.run(empty)
        assert refused.value.code == "empty"


async def test_a_server_that_does_not_speak_http_is_the_engines_fault(stage: Stage) -> None:
    """And one that nobody can connect to."""

    class Mute(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    server = await asyncio.get_running_loop().create_server(Mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stage.keeper.say(ready(f"http://127.0.0.1:{port}", life=2))
    await asyncio.sleep(0.01)
    assert not isinstance(await fault(stage, answers), EngineDied)
    server.close()
    await fault(stage, answers)


@pytest.mark.parametrize(
    ("status", "body", "code", "part"),
    [
        (400, {"error": {"message": TOO_LONG}}, "context_length", "2,049"),
        (422, {"error": TOO_LONG_FOR_TGI, "error_type": "validation"}, "context_length", "5,000"),
        (400, {"error": {"message": f"Invalid value {SECRET} 77"}}, "invalid_request", "HTTP 400"),
        (404, {"error": {"message": f"The model `{SECRET}` does not exist."}}, "model_not_found", "name"),
        (413, "Payload Too Large", "too_large", "too large"),
        (422, SECRET, "invalid_request", "HTTP 422"),
    ],
)
@MANNERS
async def test_what_the_engine_refuses_is_the_jobs_own_fault(
    stage: Stage, manner: Manner, status: int, body: object, code: str, part: str
) -> None:
    """In our own words: the engine's may quote the prompt."""
    stage.handler = refuses(status, body)
    with pytest.raises(JobRefused) as refused:
        await stage.engine.run(CHAT, manner)
    assert (refused.value.code, refused.value.retryable) == (code, False)
    assert part in refused.value.message
    assert SECRET not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_nobodys_job(stage: Stage, status: int) -> None:
    """It says where the key comes from."""
    assert "key_file" in (await fault(stage, refuses(status, {"error": "Unauthorized"}))).hint


@MANNERS
async def test_cancelling_closes_the_connection(stage: Stage, manner: Manner) -> None:
    """The engine sees it and frees the slot; the next job is answered."""
    stage.handler = never
    running = asyncio.create_task(stage.engine.run(CHAT, manner))
    await stage.begun()
    running.cancel()
    await stage.left.wait()
    with pytest.raises(asyncio.CancelledError):
        await running
    stage.handler = answers
    assert (await stage.engine.run(CHAT, manner)).text


async def test_a_server_that_does_not_stream_is_heard_whole(stage: Stage) -> None:
    """Some answer as if nobody had asked for a stream."""
    stage.handler = refuses(200, whole())
    heard: list[str] = []
    answer = await stage.engine.run(CHAT, Manner(on_text=heard.append))
    assert heard == [answer.text] == ["It is here."]


async def test_it_stands_as_its_keeper_says(stage: Stage) -> None:
    """Load from its metrics, and what people read."""
    stage.keeper.load = Load(running=3, waiting=2, kv_use=0.5, preemptions=1, output_tokens=99)
    signals = stage.engine.signals()
    assert (signals.ready, signals.state, signals.pid, signals.failed) == (True, "ready", 7, "")
    assert (signals.running, signals.waiting, signals.kv_use, signals.output_tokens) == (3, 2, 0.5, 99)
    stage.keeper.say(Phase(stage="failed", life=5, why="it died 5 times.", advice="See its log.", restarts=4))
    signals = stage.engine.signals()
    assert (signals.ready, signals.restarts) == (False, 4)
    assert signals.state == "failed: it died 5 times. See its log."
    assert signals.failed == "it died 5 times. See its log."


async def test_a_person_may_have_it_tried_again(stage: Stage) -> None:
    """The keeper is told."""
    stage.engine.again()
    assert stage.keeper.again_asked == 1


async def test_what_is_under_way_when_it_closes_is_no_suspect(stage: Stage) -> None:
    """It was us who ended it. Afterwards it runs nothing, and may be closed again."""
    stage.handler = never
    running = asyncio.create_task(stage.engine.run(CHAT, LISTENING))
    await stage.begun()
    await stage.engine.close()
    with pytest.raises(EngineFault) as caught:
        await running
    assert not isinstance(caught.value, EngineDied)
    with pytest.raises(EngineFault):
        await stage.engine.run(CHAT)
    await stage.engine.close()
    assert stage.keeper.closed


RENT = StepInput(
    task=AnalysisTask.EXTRACT,
    options=TaskOptions(json_schema={"type": "object", "properties": {"rent": {"type": "integer"}}}),
    text=f"The rent of {SECRET} 12 is 900 euros.",
)
FILLED = '{"rent": {"quote": "The rent of Mill Lane 12 is 900 euros.", "value": 900}}'
MISSED = '{"rent": {"quote": "The rent of Mill Lane", "value": "nine hundred"}}'


def one_after_the_other(*said: str) -> Handler:
    left = list(said)

    async def handler(request: Request, reply: Reply) -> None:
        reply.send(200, whole(left.pop(0)))

    return handler


async def test_an_extraction_is_held_to_its_schema_and_comes_with_its_quotes(stage: Stage) -> None:
    """The engine is told the form of quotes and values; the answer has the fields alone."""
    stage.handler = one_after_the_other(FILLED)
    answer = await stage.engine.run(RENT)
    assert (answer.value, answer.text) == ({"rent": 900}, '{"rent":900}')
    assert [(piece.field, piece.quote) for piece in answer.evidence] == [
        ("/rent", "The rent of Mill Lane 12 is 900 euros.")
    ]
    (body,) = stage.bodies
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["rent"]["anyOf"][0]["required"] == ["quote", "value"]


async def test_an_extraction_that_misses_its_schema_is_asked_for_once_more(stage: Stage) -> None:
    """With the places in the schema and nothing of the first answer, and paid for twice."""
    stage.handler = one_after_the_other(MISSED, FILLED)
    answer = await stage.engine.run(RENT)
    assert (answer.value, answer.usage.output_tokens) == ({"rent": 900}, 6)
    first, second = (body["messages"][-1]["content"] for body in stage.bodies)
    assert second.startswith(first)
    assert "/properties/rent" in second[len(first) :]
    assert "nine hundred" not in second


async def test_an_extraction_that_misses_twice_is_refused_with_its_reason(stage: Stage) -> None:
    """And is not tried a third time: that would go on for ever."""
    stage.handler = one_after_the_other(MISSED, "{", FILLED)
    with pytest.raises(JobRefused, match="is no JSON") as refused:
        await stage.engine.run(RENT)
    assert (refused.value.code, len(stage.requests)) == ("invalid_output", 2)
    assert (refused.value.prompt_tokens, refused.value.output_tokens) == (10, 6), "both answers were paid for"


async def test_labels_with_reasons_are_held_to_their_form_and_tried_once_more(stage: Stage) -> None:
    """The words first, then why, then the label, for each that holds."""
    labels = (Label(name="rent"), Label(name="notice"))
    options = TaskOptions(labels=labels, multi=True, rationale=True)
    said = '{"labels": [{"quote": "900 euros", "rationale": "It names it.", "label": "rent"}]}'
    stage.handler = one_after_the_other('{"labels": [{"label": "dogs"}]}', said)
    answer = await stage.engine.run(RENT.model_copy(update={"task": AnalysisTask.CLASSIFY, "options": options}))
    assert (answer.labels, answer.rationales, answer.value) == (("rent",), {"rent": "It names it."}, None)
    assert [(piece.field, piece.quote) for piece in answer.evidence] == [("rent", "900 euros")]
    first, second = stage.bodies
    form = first["response_format"]["json_schema"]["schema"]["properties"]["labels"]["items"]
    assert list(form["properties"]) == ["quote", "rationale", "label"]
    assert second["response_format"] == first["response_format"]
    assert "dogs" not in second["messages"][-1]["content"]
