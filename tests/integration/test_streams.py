"""An answer heard while it is written: from the engine of a real worker process to a reader of the real HTTP door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.door import Door
from tests.hands import Hands, keys
from tests.ports import free_port
from tests.workers import Fleet, eventually, make_job, ready
from viiwork.client import Client
from viiwork.jobs import Job, Lane, State, Status
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded
from viiwork.store.opening import make_store
from viiwork.telling import Delta, Restart
from viiwork.work import Answer, ChatInput, Message
from viiwork_workers.tick import Tick
from viiwork_workers.voice import Voice

Event = tuple[str, dict[str, object]]
SLOWLY = "30 words, one every 0.05 s"
ALL = 1000


class Gate:
    """Lets the engine write so many words and no more: what a reader sees in the middle does not hang on luck."""

    def __init__(self, path: Path) -> None:
        self._path, self._said = path, path.with_name(f"{path.name}.said")
        self.let(0)

    def let(self, words: int) -> None:
        self._path.write_bytes(bytes(words))

    def order(self, words: int, more: str = "") -> str:
        """What to ask of the engine."""
        return f"{words} words, as {self._path} lets{more}"

    async def said(self, words: int) -> None:
        """Wait until it has written so many."""

        async def written() -> bool:
            return self._said.exists() and self._said.stat().st_size >= words

        await eventually(written, what=f"{words} words are written")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    with Door(settings, VIIWORK_API_PORT=str(free_port())) as running:
        yield running


def spoken(text: str = SLOWLY, **fields: Any) -> Job:
    """A job whose text may be heard."""
    work = ChatInput(messages=(Message(role="user", content=text),), stream=True)
    return make_job(lane=Lane.INTERACTIVE, input=work, **fields)


@asynccontextmanager
async def stream(door: Door, job: Job, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of one reader."""
    async with (
        httpx.AsyncClient(base_url=door.url, timeout=90) as http,
        http.stream("GET", f"/v1/jobs/{job.id}/events", headers=headers) as response,
    ):
        assert response.status_code == 200
        yield events_of(response)


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def all_of(door: Door, job: Job, **headers: str) -> list[Event]:
    async with stream(door, job, **headers) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    """What a reader has that begins again at each restart."""
    text = ""
    for name, data in events:
        text = "" if name == "restart" else text + str(data["text"]) if name == "delta" else text
    return text


def names_of(events: list[Event]) -> list[str]:
    """The events' names, runs of `delta` as one."""
    names = [name for name, _ in events]
    return [name for at, name in enumerate(names) if name != "delta" or names[at - 1 : at] != ["delta"]]


async def first_text(events: AsyncIterator[Event], *, seen: list[Event]) -> None:
    """Up to the first piece of text."""
    async for event in events:
        seen.append(event)
        if event[0] == "delta":
            return


async def answer_of(store: Store, job: Job) -> str:
    status = await store.job(job.id)
    assert status.answer is not None, status
    return status.answer.text


async def test_text_comes_while_it_is_written_and_is_the_answers(
    fleet: Fleet, door: Door, real_store: Store, gate: Gate
) -> None:
    """Many pieces before the end, none twice; the last state and `end` follow them."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(30))])
    seen: list[Event] = []
    async with stream(door, job) as events:
        for words in (1, 2, 3, ALL):
            gate.let(words)
            await first_text(events, seen=seen)
        seen += [event async for event in events]
    assert text_of(seen) == await answer_of(real_store, job)
    assert names_of(seen)[-3:] == ["delta", "state", "end"]
    assert "restart" not in names_of(seen)
    assert len([name for name, _ in seen if name == "delta"]) > 3
    assert {data["attempt"] for name, data in seen if name == "delta"} == {1}


async def test_nobody_listening_writes_nothing(fleet: Fleet, real_store: Store) -> None:
    """Neither while it is written nor after."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken("10 words, one every 0.05 s")])

    async def ended() -> bool:
        assert not [key for key in await keys(real_store) if key.startswith(("said:", "ears:"))]
        return (await real_store.job(job.id)).state is State.SUCCEEDED

    await eventually(ended, what="the job ends")


async def test_a_reader_that_comes_in_the_middle_has_all_from_the_beginning(
    fleet: Fleet, door: Door, real_store: Store, gate: Gate
) -> None:
    """Another one listens already; both end with the same text."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(30))])
    seen: list[Event] = []
    late: list[Event] = []
    async with stream(door, job) as events:
        for words in (1, 2):
            gate.let(words)
            await first_text(events, seen=seen)
        async with stream(door, job) as second:
            await first_text(second, seen=late)
            gate.let(ALL)
            late += [event async for event in second]
        seen += [event async for event in events]
    assert text_of(seen) == text_of(late) == await answer_of(real_store, job)
    assert "restart" not in names_of(late)
    assert len([name for name, _ in late if name == "delta"]) > 1


async def test_whoever_comes_when_nobody_has_listened_is_told_all_of_it_at_once(
    fleet: Fleet, door: Door, real_store: Store, gate: Gate
) -> None:
    """The worker has kept it."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(40))])
    gate.let(10)
    await gate.said(10)
    seen: list[Event] = []
    async with stream(door, job) as events:
        await first_text(events, seen=seen)
        for words in (11, ALL):
            gate.let(words)
            await first_text(events, seen=seen)
        seen += [event async for event in events]
    pieces = [str(data["text"]) for name, data in seen if name == "delta"]
    assert len(pieces[0].split()) > 5
    assert len(pieces) > 2
    assert text_of(seen) == await answer_of(real_store, job)


async def test_a_worker_killed_in_mid_stream_makes_its_readers_begin_again(
    fleet: Fleet, door: Door, real_store: Store, gate: Gate
) -> None:
    """`restart`, then the text of the later attempt alone, once, letter for letter."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(30))])
    seen: list[Event] = []
    other: list[Event] = []
    gate.let(1)
    async with stream(door, job) as events, stream(door, job) as second:
        await first_text(events, seen=seen)
        await first_text(second, seen=other)
        fleet.kill("gpu0")
        fleet.start("gpu1", module="tests.wordy")
        gate.let(ALL)
        seen += [event async for event in events]
        other += [event async for event in second]
    for told in (seen, other):
        assert text_of(told) == await answer_of(real_store, job)
        assert names_of(told).count("restart") == 1
        begins = [name for name, _ in told].index("restart")
        assert {data["attempt"] for name, data in told[begins:] if name in ("restart", "delta")} == {2}


async def test_an_attempt_that_fails_is_followed_by_a_restart(
    fleet: Fleet, door: Door, real_store: Store, gate: Gate
) -> None:
    """Also when all attempts fail, and there is no answer in the end."""
    fleet.settings = load_settings(
        {**fleet.settings.model_dump(), "queue": {"retry_base_s": 0.05, "max_attempts": 2, "beat_s": 0.2}}
    )
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(30, ", then fail"))])
    seen: list[Event] = []
    gate.let(1)
    async with stream(door, job) as events:
        await first_text(events, seen=seen)
        gate.let(ALL)
        seen += [event async for event in events]
    assert names_of(seen).count("restart") == 1
    assert seen[-1] == ("end", {"id": job.id, "state": "dead"})
    assert len(text_of(seen).split()) <= 30


async def test_an_engine_that_writes_all_at_once_is_heard_too(
    settings: Settings, fleet: Fleet, door: Door, real_store: Store
) -> None:
    """The simulated card: its text comes as one piece, before the end."""
    engine = {"kind": "simulated", "time_scale": 0.01}
    fleet.start("gpu0", settings=load_settings({**settings.model_dump(), "engine": engine}))
    await ready(real_store, 1)
    model = (await real_store.fleet()).models[0]
    await real_store.submit([job := spoken("Write a poem about meters.", model=model)])
    seen = await all_of(door, job)
    assert text_of(seen) == await answer_of(real_store, job)
    assert names_of(seen)[-3:] == ["delta", "state", "end"]


async def test_what_has_ended_is_told_whole_and_whoever_was_here_before_begins_again(
    fleet: Fleet, door: Door, real_store: Store
) -> None:
    """A browser that connects again says so by itself (`Last-Event-ID`)."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken("3 words, one every 0 s")])
    await all_of(door, job)
    assert names_of(await all_of(door, job)) == ["delta", "state", "end"]
    again = await all_of(door, job, **{"last-event-id": "1.text"})
    assert names_of(again) == ["restart", "delta", "state", "end"]
    assert text_of(again) == await answer_of(real_store, job)


async def test_the_client_has_the_text_across_a_restart_of_the_door(
    fleet: Fleet, settings: Settings, door: Door, real_store: Store, gate: Gate
) -> None:
    """It connects again by itself, and is told to begin again."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken(gate.order(60))])
    gate.let(1)
    port = door.url.rpartition(":")[2]

    def follow(on_text: Callable[[], object]) -> list[Status | Delta | Restart]:
        had = []
        with Client(door.url, retries=20) as client:  # a new door may take a while to open
            for told in client.job_text(job.id):
                had.append(told)
                pieces = sum(isinstance(event, Delta) for event in had)
                if pieces == 1:
                    gate.let(2)
                if pieces == 2:
                    on_text()
        return had

    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    following = asyncio.create_task(asyncio.to_thread(follow, lambda: loop.call_soon_threadsafe(heard.set)))
    await heard.wait()
    assert await asyncio.to_thread(door.end) == 0
    with Door(settings, VIIWORK_API_PORT=port) as anew:
        assert anew.url == door.url
        gate.let(ALL)
        had = await following
    text = ""
    for told in had:
        text = "" if isinstance(told, Restart) else text + told.text if isinstance(told, Delta) else text
    assert text == await answer_of(real_store, job)
    assert any(isinstance(told, Restart) for told in had)
    assert isinstance(had[-1], Status)
    assert had[-1].state is State.SUCCEEDED


async def test_the_states_of_such_a_job_are_told_as_ever(fleet: Fleet, door: Door, real_store: Store) -> None:
    """`job_events` knows nothing of the text."""
    fleet.start("gpu0", module="tests.wordy")
    await ready(real_store, 1)
    await real_store.submit([job := spoken("5 words, one every 0.01 s")])

    def follow() -> list[State]:
        with Client(door.url) as client:
            return [status.state for status in client.job_events(job.id)]

    assert (await asyncio.to_thread(follow))[-1] is State.SUCCEEDED


async def test_a_restart_of_redis_in_mid_stream_delays_the_text_and_loses_none(tmp_path: Path) -> None:
    """What the server forgot is said again; the reader's stream stays open all the while."""
    settings = load_settings({"fleet": {"name": "away", "state_dir": str(tmp_path)}})
    server = embedded.start(settings)
    store = make_store(settings, server.url)
    try:
        hands = Hands(store)
        await hands.beat()
        await store.submit([job := spoken()])
        claim = await hands.take(Lane.INTERACTIVE)
        voice, words = Voice(Tick(store), claim.fence), [f"wörd{number} " for number in range(20)]
        seen: list[Event] = []
        with Door(load_settings({**settings.model_dump(), "redis": {"url": server.url}})) as door:
            async with stream(door, job) as events:
                voice.say(words[0])
                await first_text(events, seen=seen)
                server.stop()
                for word in words[1:10]:
                    voice.say(word)
                server = embedded.start(settings)
                await first_text(events, seen=seen)
                for word in words[10:]:
                    voice.say(word)
                voice.finish()
                await hands.commit(claim.fence, result=Answer(text="".join(words)))
                seen += [event async for event in events]
        assert text_of(seen) == "".join(words)
        assert "restart" not in names_of(seen)
    finally:
        await store.close()
        server.stop()
