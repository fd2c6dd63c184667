"""Events over HTTP, on a real server and through real sockets: what is told, when it ends, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.hands import Hands, document, open_batch, parts_of, sealed_batch
from tests.workers import eventually, make_job
from viiwork.api.__main__ import listen
from viiwork.api.app import create_app
from viiwork.client import Client
from viiwork.errors import NotFound
from viiwork.fleet.plan import settings_env
from viiwork.jobs import BatchState, Lane, State, new_id
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded
from viiwork.store.leases import Verdict
from viiwork.store.opening import make_store
from viiwork.store.watch import Watch


@dataclass
class Service:
    """The HTTP door behind a real socket, in the test's own loop."""

    app: FastAPI
    server: uvicorn.Server
    url: str
    http: httpx.AsyncClient

    @property
    def watch(self) -> Watch:
        watch: Watch = self.app.state.watch
        return watch


@pytest.fixture
async def service(settings: Settings, real_store: Store) -> AsyncIterator[Service]:
    async with served(settings, real_store) as made:
        yield made


@contextlib.asynccontextmanager
async def served(settings: Settings, store: Store) -> AsyncIterator[Service]:
    app = create_app(settings, store)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        yield Service(app, server, url, http)
    app.state.watch.end()
    server.should_exit = True
    await serving


@dataclass
class Told:
    """One event as it came."""

    event: str
    data: dict[str, object]
    id: str


async def told(response: httpx.Response) -> AsyncIterator[Told]:
    """The events of a stream."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Told(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
            fields = {}


async def test_a_job_is_told_from_its_waiting_to_its_end(service: Service, real_store: Store) -> None:
    """Its state at once, each change of it, the answer, and `end`, after which the stream closes."""
    hands = Hands(real_store)
    await hands.beat()
    job = make_job()
    seen: list[Told] = []
    async with service.http.stream("GET", f"/v1/jobs/{job.id}/events") as missing:
        assert missing.status_code == 404
    await real_store.submit([job])
    async with service.http.stream("GET", f"/v1/jobs/{job.id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        async for event in told(response):
            seen.append(event)
            if event.data["state"] == "queued":
                claim = await hands.take()
            elif event.data["state"] == "running":
                await hands.commit(claim.fence)
    assert [(event.event, event.data["state"]) for event in seen] == [
        ("state", "queued"),
        ("state", "running"),
        ("state", "succeeded"),
        ("end", "succeeded"),
    ]
    assert seen[-2].data == (await service.http.get(f"/v1/jobs/{job.id}")).json()
    assert [event.id for event in seen] == ["0.queued", "1.running", "1.succeeded", "end"]


async def test_an_analysis_is_told_by_its_counts(service: Service, real_store: Store) -> None:
    """`progress` whenever a row is there or its state changes, and `end`."""
    hands = Hands(real_store)
    await hands.beat()
    analysis = await sealed_batch(real_store, 3)
    seen: list[Told] = []
    async with service.http.stream("GET", f"/v1/analyses/{analysis}/events") as response:
        async for event in told(response):
            seen.append(event)
            if event.event == "progress" and event.data["state"] == "running":
                await hands.do(Verdict.SUCCEEDED)
    assert [(event.event, event.data["state"], event.id) for event in seen] == [
        ("progress", "running", "0"),
        ("progress", "running", "1"),
        ("progress", "running", "2"),
        ("progress", "completed", "3"),
        ("end", "completed", "end"),
    ]


async def test_pausing_and_cancelling_are_told(service: Service, real_store: Store) -> None:
    """What a person does to an analysis is a change like any other."""
    analysis = await sealed_batch(real_store, 2)
    seen: list[tuple[object, object]] = []
    async with service.http.stream("GET", f"/v1/analyses/{analysis}/events") as response:
        async for event in told(response):
            seen.append((event.data["state"], event.data.get("paused")))
            if len(seen) == 1:
                await real_store.pause(analysis)
            elif event.data.get("paused"):
                await real_store.cancel_batch(analysis)
    assert seen[:2] == [("running", False), ("running", True)]
    assert seen[-1] == ("cancelled", None)


async def test_what_has_ended_is_told_at_once(service: Service, real_store: Store) -> None:
    """Whoever comes late, or again, has the end in one answer."""
    hands = Hands(real_store)
    await real_store.submit([make_job(id=(job := new_id("job")))])
    await hands.do_all()
    answer = await service.http.get(f"/v1/jobs/{job}/events", headers={"last-event-id": "1.running"})
    assert re.findall("^event: (.+)$", answer.text, re.MULTILINE) == ["state", "end"]
    assert "retry: 2000" in answer.text


async def test_unknown_ids_are_refused_before_the_stream_begins(service: Service) -> None:
    """A document's job is no analysis, and an analysis is no job."""
    for path in ("jobs/nonsense", f"jobs/{new_id('an')}", f"analyses/{new_id('an')}-1", f"analyses/{new_id('an')}"):
        answer = await service.http.get(f"/v1/{path}/events")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_client_that_leaves_leaves_nothing_behind(service: Service, real_store: Store) -> None:
    """Neither a listener nor a subscription, whether it read a stream or waited in a long poll."""
    analysis, job = await sealed_batch(real_store, 1), make_job()
    await real_store.submit([job])
    async with service.http.stream("GET", f"/v1/analyses/{analysis}/events") as response:
        events = told(response)  # while it is there, httpx keeps the stream open
        await anext(events)
        waiting = asyncio.create_task(service.http.get(f"/v1/jobs/{job.id}", params={"wait": 60}))

        async def both() -> bool:
            return service.watch.listeners == 2

        await eventually(both, what="the stream and the long poll listen")
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    async def nobody() -> bool:
        channels = await real_store.client.pubsub_channels(f"{real_store.prefix}ev:*")
        return service.watch.listeners == 0 and channels == []

    await eventually(nobody, what="nobody listens any more")


async def test_a_long_poll_ends_with_the_job(service: Service, real_store: Store) -> None:
    """No look in between: the answer comes when the job's end is published."""
    hands = Hands(real_store)
    await hands.beat()
    job = make_job(lane=Lane.INTERACTIVE)
    await real_store.submit([job])
    waiting = asyncio.create_task(service.http.get(f"/v1/jobs/{job.id}", params={"wait": 60}))

    channel = f"{real_store.prefix}ev:{job.id}"

    async def listened_to() -> bool:
        return bool(dict(await real_store.client.pubsub_numsub(channel))[channel])

    await eventually(listened_to, what="the long poll listens")
    assert await hands.do(lane=Lane.INTERACTIVE) == job.id
    assert (await waiting).json()["state"] == "succeeded"


async def test_too_many_listeners_are_429_and_a_long_poll_still_answers(service: Service, real_store: Store) -> None:
    """A stream is refused with Retry-After; waiting for a job degrades to a look."""
    service.app.state.watch = Watch(real_store.client, prefix=real_store.prefix, max_listeners=0)
    job = make_job()
    await real_store.submit([job])
    answer = await service.http.get(f"/v1/jobs/{job.id}/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert (await service.http.get(f"/v1/jobs/{job.id}", params={"wait": 0.1})).json()["state"] == "queued"


async def test_answers_leave_at_once(service: Service) -> None:
    """Nagle's algorithm is off on every connection: with it each answer waits 40 ms for an acknowledgement."""
    await service.http.get("/health/live")
    (connection,) = service.server.server_state.connections
    assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_document_is_told_as_its_job(service: Service, real_store: Store) -> None:
    """The jobs of an analysis may be followed one by one."""
    analysis = await open_batch(real_store, total=1)
    await real_store.submit([document(analysis)])
    await real_store.seal(analysis)
    await real_store.submit(parts_of(f"{analysis}-0", analysis, 1))
    await real_store.cancel_batch(analysis)
    answer = await service.http.get(f"/v1/jobs/{analysis}-0l0p0/events")
    assert '"state":"cancelled"' in answer.text.replace(" ", "")


async def test_the_client_follows_across_a_broken_stream(service: Service, real_store: Store) -> None:
    """Connections that break are made again; nothing is told twice, and the end comes once."""
    hands = Hands(real_store)
    await hands.beat()
    analysis = await sealed_batch(real_store, 2)

    def follow(client: Client) -> list[tuple[int, BatchState]]:
        seen = []
        for status in client.analysis_events(analysis):
            seen.append((status.counts.settled, status.state))
            if status.counts.settled < 2:
                loop.call_soon_threadsafe(lambda: asyncio.ensure_future(go_on()))
        return seen

    async def go_on() -> None:
        service.watch.end()
        service.app.state.watch = Watch(real_store.client, prefix=real_store.prefix)
        await hands.do()

    loop = asyncio.get_running_loop()
    with Client(service.url) as client:
        seen = await asyncio.to_thread(follow, client)
    assert seen == [(0, BatchState.RUNNING), (1, BatchState.RUNNING), (2, BatchState.COMPLETED)]


async def test_the_client_follows_a_job_and_says_what_does_not_exist(service: Service, real_store: Store) -> None:
    """Statuses up to the terminal one; an unknown id raises NotFound."""
    hands = Hands(real_store)
    await real_store.submit([make_job(id=(job := new_id("job")))])
    await hands.do_all()
    with Client(service.url) as client:
        assert [s.state for s in await asyncio.to_thread(lambda: list(client.job_events(job)))] == [State.SUCCEEDED]
        with pytest.raises(NotFound):
            await asyncio.to_thread(lambda: list(client.job_events(new_id("job"))))


async def test_a_service_that_shuts_down_ends_its_streams_in_order(
    settings: Settings, real_store: Store, tmp_path: Path
) -> None:
    """Open streams do not hold it up: none has to be broken off, and its log stays empty of complaints."""
    analysis = await sealed_batch(real_store, 1)
    log = tmp_path / "api.log"
    environ = os.environ | settings_env(settings) | {"VIIWORK_API_PORT": "0"}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "viiwork.api"], stdout=out, stderr=out, env=environ)
    try:

        async def up() -> bool:
            return "listening on" in log.read_text()

        await eventually(up, what="the API listens")
        found = re.search(r"listening on (\S+)", log.read_text())
        assert found is not None
        path = f"{found[1]}/v1/analyses/{analysis}/events"
        async with httpx.AsyncClient(timeout=60) as http, http.stream("GET", path) as response:
            events = told(response)
            assert (await anext(events)).event == "progress"
            process.send_signal(signal.SIGTERM)
            assert [event async for event in events] == []
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert "ancel" not in log.read_text() and "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def test_a_stream_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    """It stays open while the server is away, and tells what has changed once it is back."""
    settings = load_settings({"fleet": {"name": "away", "state_dir": str(tmp_path)}})
    server = embedded.start(settings)
    store = make_store(settings, server.url)
    try:
        hands = Hands(store)
        await hands.beat()
        analysis = await sealed_batch(store, 2)
        async with served(settings, store) as service:
            async with service.http.stream("GET", f"/v1/analyses/{analysis}/events") as response:
                events = told(response)
                assert (await anext(events)).id == "0"
                server.stop()
                assert "viiwork_up 0.0" in (await service.http.get("/metrics")).text
                server = embedded.start(settings)
                await hands.do_all()
                assert [event.id for event in [event async for event in events]][-2:] == ["2", "end"]
            assert "viiwork_up 1.0" in (await service.http.get("/metrics")).text
    finally:
        await store.close()
        server.stop()
