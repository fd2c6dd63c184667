"""Several processes of the API: on one port, each followed by a new one under load; and on two hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.door import Door
from tests.workers import Fleet, bare_environ, eventually, ready
from viiwork.settings import Settings
from viiwork.statedir import Run, StateDir
from viiwork.store import Store

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
LONG = "A prompt that is kept as a blob. " * 1000
JOB = {"messages": [{"role": "user", "content": "ready?"}]}


def until(true: Callable[[], bool], *, what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until_s, f"never: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """The state directory of a fleet with two processes of the API."""
    state = StateDir(tmp_path_factory.mktemp("scale") / "state")
    environ = {**bare_environ(), "VIIWORK_FLEET_STATE_DIR": str(state.root), "VIIWORK_API_PROCESSES": "2"}

    def viiwork(*arguments: str) -> None:
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        subprocess.run(argv, env=environ, cwd=state.root.parent, timeout=120, check=True, capture_output=True)

    viiwork("up", "--engine", "noop", "--no-flower", "--port", "0", "--detach", "--json")
    yield state
    viiwork("down")


def told(state: StateDir) -> Run:
    run = state.read_run()
    assert run is not None
    return run


def doors(state: StateDir) -> dict[str, int]:
    """The processes of the API that answer, by name."""
    supervisor = told(state).supervisor
    assert supervisor is not None
    return {child.name: child.pid for child in supervisor.children if child.role == "api" and child.state == "ready"}


class Load:
    """Clients that keep their connections and ask without a pause."""

    def __init__(self, url: str, *, clients: int) -> None:
        self.answered, self.failed = 0, list[str]()
        self._url, self._over = url, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S, trust_env=False) as http:
            while not self._over.is_set():
                try:
                    answer = http.post("/v1/jobs", params={"wait": 20}, json=JOB)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                self.answered += 1
                if answer.status_code != 202 or answer.json()["state"] != "succeeded":
                    self.failed.append(answer.text)


def lines(stream: httpx.Response) -> list[str]:
    """The events that a stream brings until it ends, by name."""
    return [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]


def test_a_renewal_under_load_fails_no_request_and_cuts_no_stream(state: StateDir) -> None:
    """SIGHUP to the supervisor: each process is followed by another, and finishes what it has in hand."""
    url, before = told(state).api_url, doors(state)
    assert set(before) == {"api", "api1"}
    supervisor = told(state).supervisor
    assert supervisor is not None
    heard: list[str] = []
    with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as http, Load(url, clients=4) as load:
        body = {"task": "summarize", "documents": [{"text": "one"}], "lane": "batch"}
        analysis = http.post("/v1/analyses", json=body).json()["id"]
        http.post(f"/v1/analyses/{analysis}/pause")

        def follow() -> None:
            with httpx.stream("GET", f"{url}/v1/analyses/{analysis}/events", timeout=PATIENCE_S) as stream:
                heard.extend(lines(stream))

        following = threading.Thread(target=follow)
        following.start()
        until(lambda: load.answered > 20, what="load")
        os.kill(supervisor.pid, signal.SIGHUP)
        until(
            lambda: set(doors(state)) == {"api", "api1"} and not set(doors(state).values()) & set(before.values()),
            what="new processes",
        )
        answered = load.answered
        until(lambda: load.answered > answered + 20, what="load on the new ones")
        assert following.is_alive()
        http.post(f"/v1/analyses/{analysis}/cancel")
        following.join(PATIENCE_S)
    assert load.failed == []
    assert heard[-1:] == ["end"]
    until(lambda: not any(map(psutil.pid_exists, before.values())), what="the end of the old ones")
    log = "".join(path.read_text() for path in state.logs.glob("api*.log*"))
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_what_dies_of_several_keeps_nobody_waiting(state: StateDir) -> None:
    """The port is the supervisor's: the other process answers meanwhile."""
    url, before = told(state).api_url, doors(state)
    os.kill(before["api1"], signal.SIGKILL)
    for _ in range(20):
        assert httpx.get(f"{url}/health/live", timeout=PATIENCE_S).status_code == 200
    until(lambda: doors(state).get("api1", before["api1"]) != before["api1"], what="another life")


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """The same fleet as another host has it: its own state directory, the fleet's Redis, its blobs mounted."""
    return settings.model_copy(update={"fleet": settings.fleet.model_copy(update={"state_dir": tmp_path / "other"})})


async def test_what_one_host_takes_in_is_awaited_at_another(
    settings: Settings, elsewhere: Settings, real_store: Store, fleet: Fleet
) -> None:
    """And the first one finishes what it has in hand before it makes way."""
    shared: dict[str, Any] = {"VIIWORK_BLOBS_DIR": str(settings.state_dir / "blobs")}
    fleet.start("cpu0")
    await ready(real_store, 1)
    with Door(settings, **shared) as one, Door(elsewhere, **shared) as two:
        large = {"messages": [{"role": "user", "content": LONG}]}
        submitted = httpx.post(f"{one.url}/v1/jobs", json=large, timeout=30).json()
        ended = httpx.get(f"{two.url}/v1/jobs/{submitted['id']}", params={"wait": 20}, timeout=30).json()
        assert ended["state"] == "succeeded", json.dumps(ended)

        fleet.kill("cpu0")
        begun = httpx.post(f"{two.url}/v1/jobs", json=JOB, timeout=30).json()
        answers: list[httpx.Response] = []
        url = f"{one.url}/v1/jobs/{begun['id']}"
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.get(url, params={"wait": 40}, timeout=PATIENCE_S))
        )
        waiting.start()
        await eventually(lambda: waited_for(real_store, begun["id"]), what="the wait")
        one.process.send_signal(signal.SIGHUP)
        until(lambda: refused(one.url), what="a door that takes nobody in")
        fleet.start("cpu0")
        waiting.join(PATIENCE_S)
        assert answers[0].json()["state"] == "succeeded"
        assert one.process.wait(PATIENCE_S) == 0


def refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/health/live", timeout=30)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        return False  # it was let in and then sent away: the door was just being closed
    return False


async def waited_for(store: Store, job: str) -> bool:
    """Whether somebody waits for a job: a connection alone may not have brought its request yet."""
    channel = f"{store.prefix}ev:{job}"
    return bool(dict(await store.client.pubsub_numsub(channel))[channel])
