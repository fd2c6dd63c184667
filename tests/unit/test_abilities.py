"""What an engine is known not to do is refused where it is asked for, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from standin import MODEL, StandIn, make_settings, make_store
from viiwork.abilities import WORDS, Ability, advice, beyond, missing
from viiwork.api.app import create_app
from viiwork.roster import WorkerCard
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, Message, Shape
from viiwork_workers.engines.extractive.engine import CANNOT as OF_PREVIEW
from viiwork_workers.engines.simulated.engine import CANNOT as OF_SIMULATED

TURN = {"role": "user", "content": "hello"}
CHAT = {"messages": [TURN]}
TOOL = {"type": "function", "function": {"name": "look_up"}}


@asynccontextmanager
async def served(root: Path, *crew: Collection[str]) -> AsyncIterator[httpx.AsyncClient]:
    """A door before a worker for each of these, with what it cannot do."""
    settings = make_settings(root)
    store = make_store(settings, fakeredis.FakeServer())
    for cannot in crew:
        await StandIn(store, cannot=cannot).join()
    transport = httpx.ASGITransport(create_app(settings, store), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        yield http
    await store.close()


async def send(http: httpx.AsyncClient, *jobs: dict[str, Any]) -> httpx.Response:
    body = "".join(f"{json.dumps(job)}\n" for job in jobs)
    return await http.post("/v1/jobs", content=body, headers={"content-type": "application/x-ndjson"})


@pytest.mark.parametrize(
    ("job", "field", "instead"),
    [
        ({"prompt": "Once"}, "prompt", "Send messages instead of prompt, or serve a language model"),
        ({"input": "a lease"}, "input", "Serve a language model"),
        (CHAT | {"tools": [TOOL]}, "tools", "Leave it out, or"),
        (CHAT | {"regex": "[a-z]+"}, "regex", "Leave it out, or"),
        (CHAT | {"choice": ["a", "b"]}, "choice", "Leave it out, or"),
        (CHAT | {"response_format": {"type": "json_object"}}, "response_format", "Leave it out, or"),
    ],
)
async def test_what_the_simulated_engine_cannot_do_is_refused_by_its_field(
    tmp_path: Path, job: dict[str, Any], field: str, instead: str
) -> None:
    """As a job, and as a line of a file, of which nothing is kept then."""
    async with served(tmp_path, OF_SIMULATED) as http:
        alone = (await http.post("/v1/jobs", json=job)).json()["error"]
        assert (alone["code"], alone["param"]) == ("unsupported_task", field)
        assert alone["message"].startswith(f"{field}: {MODEL} (stand-in) cannot ")
        assert instead in alone["message"]
        in_file = await send(http, CHAT, job)
        assert (in_file.status_code, in_file.json()["error"]["param"]) == (400, f"line.2.{field}")
        assert (await send(http, CHAT)).status_code == 202
        fleet = (await http.get("/v1/fleet")).json()
        assert sum(queue["waiting"] + queue["queued"] for queue in fleet["queues"]) == 1


async def test_the_preview_takes_documents_and_no_prompts(tmp_path: Path) -> None:
    """Its own tasks are begun, the task `prompt` is not, in either form of a request."""
    documents = [{"text": "one"}]
    async with served(tmp_path, OF_PREVIEW) as http:
        for job in (CHAT, {"prompt": "Once"}):
            said = (await http.post("/v1/jobs", json=job)).json()["error"]["message"]
            assert "It answers about documents (`viiwork analyze`: summarize, classify, ask)" in said
        order = {"task": "prompt", "options": {"prompt": "List all dates."}, "documents": documents}
        refused = await http.post("/v1/analyses", json=order)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "task")
        form = [("task", (None, "prompt")), ("prompt", (None, "List.")), ("files", ("a.txt", b"one"))]
        assert (await http.post("/v1/analyses", files=form)).json()["error"]["code"] == "unsupported_task"
        taken = await http.post("/v1/analyses", json={"task": "summarize", "documents": documents})
        assert taken.status_code == 202, taken.text


@pytest.mark.parametrize("crew", [((),), (OF_SIMULATED, ()), (OF_SIMULATED, ("chat",))])
async def test_what_some_worker_may_do_is_taken(tmp_path: Path, crew: tuple[Collection[str], ...]) -> None:
    """One that does not say, as those of earlier versions, or another engine behind the same name."""
    async with served(tmp_path, *crew) as http:
        assert (await http.post("/v1/jobs", json={"prompt": "Once"})).status_code == 202


async def test_a_job_that_was_taken_before_is_not_refused_when_it_is_sent_again(tmp_path: Path) -> None:
    """Its sender lost the answer, and the engine is another one now: it is told of the job that it has."""
    settings = make_settings(tmp_path)
    store = make_store(settings, fakeredis.FakeServer())
    key = {"idempotency-key": "k"}
    ids = []
    for cannot in ((), OF_SIMULATED):
        await store.client.delete(*[key async for key in store.client.scan_iter(match=f"{store.prefix}inc*")] or ["-"])
        await StandIn(store, cannot=cannot).join()
        transport = httpx.ASGITransport(create_app(settings, store), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
            taken = await http.post("/v1/jobs", json={"prompt": "Once"}, headers=key)
            assert taken.status_code == 202, taken.text
            ids.append(taken.json()["id"])
    assert ids[0] == ids[1]
    await store.close()


async def test_while_nobody_serves_anything_it_is_not_the_engine_that_is_blamed(tmp_path: Path) -> None:
    """503, as before: what the next worker can do is not known."""
    async with served(tmp_path) as http:
        answer = await http.post("/v1/jobs", json={"prompt": "Once"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


class TestDecision:
    def test_each_ability_has_words_and_advice(self) -> None:
        """Of any engine, in one sentence."""
        for ability in Ability:
            assert WORDS[ability]
            for cannot in (frozenset[str](), frozenset(Ability), OF_PREVIEW, OF_SIMULATED):
                assert advice(ability, cannot).count(".") - advice(ability, cannot).count(".md") == 1
        assert {task.value for task in AnalysisTask} < set(Ability)

    def test_the_first_that_is_missing_is_named(self) -> None:
        """A chat that asks for a shape is told of the shape, unless chats are not to be had at all."""
        shaped = ChatInput(messages=(Message(role="user", content="x"),), shape=Shape(json_object=True))
        assert missing(shaped, OF_SIMULATED) is Ability.SHAPE
        assert missing(shaped, OF_PREVIEW) is Ability.CHAT
        assert missing(shaped, ("something", "new")) is None
        assert missing(CompletionInput(prompt="x"), ()) is None

    def test_only_what_none_of_the_workers_can_do_is_beyond_them(self) -> None:
        """Pure."""

        def card(*cannot: str) -> WorkerCard:
            return WorkerCard(name="a", incarnation="i", host="h", pid=1, engine="e", model="m", slots=1, cannot=cannot)

        assert beyond([]) == frozenset()
        assert beyond([card("chat", "tools"), card("chat")]) == {"chat"}
        assert beyond([card("chat"), card()]) == frozenset()
