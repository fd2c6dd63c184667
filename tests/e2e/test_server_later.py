"""The server of `--engine url` is started after the fleet, goes, and comes back with other models."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.workers import bare_environ

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


class Fleet:
    """Of one worker, whose server is started and ended by the test."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environ = {**bare_environ(), "VIIWORK_FLEET_STATE_DIR": str(root / "state"), "COLUMNS": "200"}
        self.cwd = root
        self.api = ""
        self.server: subprocess.Popen[bytes] | None = None

    def viiwork(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        told: dict[str, Any] = {"env": self.environ, "cwd": self.cwd, "timeout": PATIENCE_S, "check": False}
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, **told)

    def serve(self, model: str) -> None:
        """Start the server, with this model alone."""
        self.stop()
        argv = [sys.executable, "-m", "tests.fakes.openai_server", "--port", str(self.port), "--model", model]
        self.server = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def state(self) -> str:
        """How the service has the engine."""
        fleet = httpx.get(f"{self.api}/v1/fleet", timeout=PATIENCE_S, trust_env=False).json()
        (told,) = {each["card"]["engine_state"] for each in fleet["workers"] if each["card"]["name"].startswith("cpu0")}
        return str(told)

    def becomes(self, wanted: str) -> str:
        """Wait until the state begins so."""
        until_s = time.monotonic() + PATIENCE_S
        while not (state := self.state()).startswith(wanted):
            assert time.monotonic() < until_s, state
            time.sleep(0.1)
        return state


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One that was told the name that VIIWork shows, while nobody answered at the address."""
    made = Fleet(tmp_path_factory.mktemp("later"))
    try:
        engine = ("--engine", "url", "--url", f"{made.address}/v1", "--model", "tiny")
        ended = made.viiwork("up", "--detach", "--json", *engine, "--no-flower", "--port", "0")
        assert ended.returncode == 0, ended.stderr
        made.api = json.loads(ended.stdout)["api_url"]
        yield made
    finally:
        made.stop()
        made.viiwork("down", "--now")


def workers_of(doctor: str) -> str:
    """What `viiwork doctor` says of them."""
    checks = map(json.loads, doctor.splitlines())
    return next(f"{each['found']} {each['advice']}" for each in checks if each["check"] == "Workers")


def test_a_worker_takes_work_once_its_server_has_the_model_and_says_until_then_what_it_serves(fleet: Fleet) -> None:
    """It took work under a name that the server did not know. The name that is asked for is the server's own."""
    fleet.becomes("waiting for its server: ")
    assert "Start that server" in workers_of(fleet.viiwork("doctor", "--json").stdout)
    fleet.serve("other")
    told = f"{fleet.address} does not serve 'tiny'. It serves other"
    assert fleet.becomes("waiting for its model: ") == f"waiting for its model: {told}"
    assert told in fleet.viiwork("status").stdout
    assert told in (fleet.cwd / "state" / "logs" / "cpu0.log").read_text()
    assert "Have that server serve the model" in workers_of(fleet.viiwork("doctor", "--json").stdout)
    fleet.serve("models/Tiny.gguf")
    fleet.becomes("ready")
    asked = fleet.viiwork("ask", "Why?", "--json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["model"] == "tiny"
    fleet.serve("other")
    fleet.becomes("waiting for its model: ")
