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
from tests.terminal import Terminal
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

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one command, away from any terminal."""
        argv, pipe = [sys.executable, "-m", "viiwork.cli.main", *arguments], subprocess.PIPE
        told: dict[str, Any] = {"env": self.environ, "cwd": self.cwd, "text": True}
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, **told)

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

    def tells(self, wanted: str, *arguments: str) -> None:
        """Run a command until it says so: between two looks for the server its worker is on its way for a moment."""
        until_s = time.monotonic() + PATIENCE_S
        while wanted not in (told := self.viiwork(*arguments).stdout):
            assert time.monotonic() < until_s, told


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


def test_whoever_waits_is_told_for_what_and_is_answered_once_the_server_is_there(fleet: Fleet) -> None:
    """A bar that stood still for minutes said nothing. Rows, and an answer's JSON, stay by themselves; and the name
    that the server is asked for is its own.
    """
    fleet.stop()
    fleet.becomes("waiting for its server: ")
    fleet.tells("Start that server", "doctor", "--json")
    file = fleet.cwd / "letter.txt"
    file.write_text("The lease ends in May.\n")
    cause = f"the server at {fleet.address} does not answer (connection refused)"
    with Terminal(["analyze", str(file)], url=fleet.api) as analyze, Terminal(["ask", "Why?"], url=fleet.api) as ask:
        piped = [fleet.begin("analyze", str(file), "--json"), fleet.begin("ask", "Why?", "--json")]
        analyze.wait_for(cause)
        analyze.wait_for("0 of 1 done, waiting for its server")
        ask.wait_for(cause)
        for waiting in piped:
            assert waiting.stderr is not None
            while cause not in (line := waiting.stderr.readline()):
                assert line, "it ended without a word"
        fleet.serve("models/Tiny.gguf")
        fleet.becomes("ready")
        assert (analyze.end(), ask.end()) == (0, 0)
    for waiting in piped:
        told, _ = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 0
        assert [json.loads(line)["state"] for line in told.splitlines()] == ["succeeded"]


def test_a_server_that_comes_back_with_another_model_is_sent_nothing_and_is_said_to(fleet: Fleet) -> None:
    """Its worker took work under a name that the server did not know."""
    if fleet.server is None:
        fleet.serve("tiny")
    fleet.becomes("ready")
    fleet.serve("other")
    told = f"{fleet.address} does not serve 'tiny'. It serves other"
    assert fleet.becomes("waiting for its model: ").endswith(told)
    fleet.tells(told, "status")
    fleet.tells("Have that server serve the model", "doctor", "--json")
