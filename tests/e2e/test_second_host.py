"""A second computer joins a fleet: two state directories and two names on this machine, one Redis behind TLS."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.certificates import Authority
from tests.chaos.proxy import Proxy
from tests.e2e.test_up import Box, wait_for
from viiwork.client import Client
from viiwork.settings import load_settings
from viiwork.store import embedded

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples" / "documents"
BIG = 20
AT_LENGTH = "Answer at length."
HALF_WAY = 24
"""Answers of the engine in one run: more than ten documents' and fewer than all."""


class Answering(BaseHTTPRequestHandler):
    """As much of an engine as the recipe `url` needs; each answer takes a while, and may be long."""

    goes_on = threading.Event()
    goes_on.set()
    answers = itertools.count()

    def do_GET(self) -> None:
        self._say({"data": [{"id": "small"}]})

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        time.sleep(0.05)
        if next(self.answers) >= HALF_WAY:
            self.goes_on.wait(120)
        text = "The notice period is three months. " * (600 if AT_LENGTH in asked else 1)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._say({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 10}})

    def _say(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def stopping_half_way() -> Iterator[None]:
    """The engine keeps the rest of its answers back, so that whoever is killed meanwhile was not done."""
    Answering.answers = itertools.count()
    Answering.goes_on.clear()
    try:
        yield
    finally:
        Answering.goes_on.set()


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """An engine that somebody runs on the second computer; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class TwoHosts:
    """The head, and what a second computer needs to join it."""

    def __init__(self, root: Path, redis_url: str, engine: str) -> None:
        authority = Authority(root / "tls")
        self.proxy, self.far = (Proxy(redis_url, tls=authority.server()) for _ in range(2))
        certificate, key = authority.issue("box2")
        query = f"?ssl_ca_certs={authority.file}&ssl_certfile={certificate}&ssl_keyfile={key}"
        self.url_file, self.token_file = root / "redis.url", root / "token"
        self.url_file.write_text(f"{self.proxy.url}{query}\n")
        self.far_file = root / "far.url"
        self.far_file.write_text(f"{self.far.url}{query}\n")
        self.root, self.boxes, self.tokens = root, list[Box](), 0
        self.head = self.box("head")
        self.worker = ("--engine", "url", "--url", engine, "--model", "small", "--context", "65536", "--cpus", "1")
        self.worker += ("--slots", "2", "--role", "worker")
        self.up_head()

    def box(self, name: str, **environ: str) -> Box:
        """A computer of this name, with its own state directory."""
        made = Box(self.root / name / "state")
        made.env |= {"VIIWORK_REDIS_URL_FILE": str(self.url_file), "VIIWORK_FLEET_HOST": name, **environ}
        made.env |= {"VIIWORK_QUEUE_BEAT_S": "0.3", "VIIWORK_QUEUE_LEASE_TTL_S": "3", "VIIWORK_ENGINE_CANARY": "false"}
        made.env |= {"VIIWORK_QUEUE_DRAIN_GRACE_S": "3"}
        self.boxes.append(made)
        return made

    def up_head(self) -> None:
        """API and a reader; it has no engine worker of its own."""
        told = self.head.up("--cpus", "0", "--no-flower", "--port", self.port)
        self.api = told["api_url"]
        assert [process["name"] for process in told["processes"]] == ["api", "reader0"]

    @property
    def port(self) -> str:
        return self.api.rpartition(":")[2] if hasattr(self, "api") else "0"

    def second(self, name: str = "box2") -> Box:
        """A second computer, with a token of the head's in a file."""
        self.tokens += 1
        made = self.head.viiwork("worker-token", "create", f"{name}-{self.tokens}")
        assert made.returncode == 0, made.stderr
        self.token_file.write_text(made.stdout)
        return self.box(name, VIIWORK_BLOBS_TOKEN_FILE=str(self.token_file), VIIWORK_REDIS_URL_FILE=str(self.far_file))

    def join(self, box: Box) -> dict[str, Any]:
        return box.up(*self.worker, "--api", self.api)

    def leave(self, *boxes: Box) -> None:
        for box in boxes:
            box.close()
            assert box.everything() == []
            self.boxes.remove(box)

    def close(self) -> None:
        self.leave(*reversed(self.boxes))
        self.proxy.close()
        self.far.close()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Iterator[TwoHosts]:
    """A Redis that a head and others share, ended last."""
    root = tmp_path_factory.mktemp("hosts")
    server = embedded.start(load_settings({"fleet": {"state_dir": str(root / "redis")}}))
    made = None
    try:
        made = TwoHosts(root, server.url, engine)
        yield made
    finally:
        if made is not None:
            made.close()
        server.stop()


@pytest.fixture
def box2(hosts: TwoHosts) -> Iterator[Box]:
    """The second computer, not joined yet."""
    made = hosts.second()
    yield made
    hosts.leave(made)


def vanish(box: Box) -> None:
    """As in a power cut: supervisor, workers and whatever they started, all at once."""
    box.kill_supervisor()
    for pid in box.everything():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: box.everything() == [])


def ask(url: str) -> str:
    """A job whose input and answer are over 16 KiB, both blobs; its id."""
    job = {"messages": [{"role": "user", "content": f"{AT_LENGTH} " + "The lease ends at the end of the year. " * 500}]}
    answer = httpx.post(f"{url}/v1/jobs", json=job, trust_env=False)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def answered(url: str, job: str) -> bool:
    """Whether a job came to its long answer, once it has ended."""
    with Client(url, retries=3) as client:
        ended = client.wait_job(job, timeout_s=60)
    assert ended.error is None, ended.error
    return ended.answer is not None and len(ended.answer.text) > 16_384


def blobs(box: Box) -> set[str]:
    return {path.name for path in (box.state.root / "blobs").rglob("*") if len(path.name) == 32}


def test_a_second_host_does_the_engine_work_and_is_killed_half_way(hosts: TwoHosts, box2: Box, tmp_path: Path) -> None:
    """The samples and many long documents, every engine call on box2, blobs in both directions, a power cut, a dropped
    line: each document is answered exactly once."""
    documents = tmp_path / "documents"
    documents.mkdir()
    for sample in SAMPLES.iterdir():
        (documents / sample.name).write_bytes(sample.read_bytes())
    for number in range(BIG):
        lines = (f"Clause {number}.{line}: the notice period is {line % 12 + 1} months.\n" for line in range(300))
        (documents / f"long-{number}.txt").write_text("".join(lines))
    told = hosts.join(box2)
    assert [(process["name"], process["state"]) for process in told["processes"]] == [("cpu0", "ready")]
    shown = json.loads(hosts.head.viiwork("status", "--json").stdout)
    assert {worker["card"]["name"] for worker in shown["workers"]} == {"reader0@head", "cpu0@box2"}

    with Client(hosts.api, retries=3) as client:
        with stopping_half_way():
            jobs = [ask(hosts.api) for _ in range(4)]
            asked = ("--question", "What is the notice period?", "--no-wait", "--json")
            started = hosts.head.viiwork("analyze", str(documents), *asked)
            assert started.returncode == 0, started.stderr
            analysis = json.loads(started.stdout)["id"]
            wait_for(lambda: client.analysis(analysis).counts.settled >= 10)
            vanish(box2)
            assert not client.analysis(analysis).finished
        hosts.join(box2)
        hosts.far.drop()
        ended = client.wait_analysis(analysis, timeout_s=120)
        answers = [json.loads(line) for line in client.result_lines(analysis)]
    assert (ended.counts.total, ended.counts.succeeded, ended.counts.failed) == (BIG + 23, BIG + 18, 5)
    assert len({row["document"] for row in answers}) == len(answers) == BIG + 23
    assert all(answered(hosts.api, job) for job in jobs)
    copies = {path.name for path in (box2.state.root / "blob-copies").iterdir() if path.is_file()}
    assert copies
    assert copies < blobs(hosts.head)
    assert not (box2.state.root / "blobs").exists()
    logs = "".join(path.read_text() for box in (hosts.head, box2) for path in box.state.logs.glob("*.log"))
    assert "Traceback" not in logs
    assert hosts.token_file.read_text().strip() not in logs


def test_the_head_closes_and_the_second_host_waits_for_it(hosts: TwoHosts, box2: Box) -> None:
    """`down` there ends nothing here, and `down` here closes nothing there."""
    hosts.join(box2)
    worker = box2.children()["cpu0"]
    assert hosts.head.viiwork("down").returncode == 0
    log = box2.state.logs / "cpu0.log"
    wait_for(lambda: "the fleet was closed on its head: cpu0@box2 waits" in log.read_text())
    assert psutil.pid_exists(worker)
    hosts.up_head()
    wait_for(lambda: "the fleet is open again: cpu0@box2 goes on" in log.read_text())
    assert box2.children()["cpu0"] == worker
    assert answered(hosts.api, ask(hosts.api))
    assert box2.viiwork("down").returncode == 0
    assert httpx.get(f"{hosts.api}/health/ready", trust_env=False).status_code == 200


def test_a_second_host_that_the_network_cuts_off_is_left_out_and_goes_on_afterwards(hosts: TwoHosts, box2: Box) -> None:
    """Its line to Redis falls silent in the middle of work, for longer than a lease."""

    def workers() -> set[str]:
        with Client(hosts.api, retries=3) as client:
            return {worker.card.name for worker in client.fleet().workers}

    hosts.join(box2)
    worker = box2.children()["cpu0"]
    jobs = [ask(hosts.api) for _ in range(40)]
    hosts.far.silence()
    wait_for(lambda: workers() == {"reader0@head"})
    hosts.far.speak()
    assert all(answered(hosts.api, job) for job in jobs)
    wait_for(lambda: workers() == {"reader0@head", "cpu0@box2"})
    assert box2.children()["cpu0"] == worker


def test_the_doctor_says_how_a_second_host_stands_and_a_revoked_token_charges_nobody(
    hosts: TwoHosts, box2: Box, tmp_path: Path
) -> None:
    """The worker takes nothing, which `status` tells on the head, until the file has a token that opens the door."""

    def documents() -> dict[str, str]:
        ended = box2.viiwork("doctor", "--role", "worker", "--api", hosts.api, "--json")
        found = {finding["check"]: finding for finding in map(json.loads, ended.stdout.splitlines())}
        assert found["Redis access"]["verdict"] == "ok", found
        assert "Traceback" not in ended.stderr
        return {"verdict": found["Documents"]["verdict"], "found": found["Documents"]["found"]}

    hosts.join(box2)
    assert documents()["verdict"] == "ok"
    name = json.loads(hosts.head.viiwork("worker-token", "list", "--json").stdout.splitlines()[-1])["name"]
    assert hosts.head.viiwork("worker-token", "revoke", name).returncode == 0
    wait_for(lambda: documents()["verdict"] == "fail")
    assert "does not take this host's worker token" in documents()["found"]
    job, log = ask(hosts.api), box2.state.logs / "cpu0.log"
    back = re.compile(f"job {job}\\S* goes back: The API at .* does not take this host's worker token")
    wait_for(lambda: back.search(log.read_text()) is not None)
    told = "throttled: takes nothing: The API at"
    wait_for(lambda: told in " ".join(hosts.head.viiwork("status").stdout.split()))
    worker = box2.children()["cpu0"]
    hosts.token_file.write_text(hosts.head.viiwork("worker-token", "create", f"{name}-again").stdout)
    assert answered(hosts.api, job)
    assert box2.children()["cpu0"] == worker


def test_a_second_host_is_told_at_up_what_is_wrong(hosts: TwoHosts, box2: Box, tmp_path: Path) -> None:
    """One line each, and nothing is started."""
    worker = hosts.worker
    (tmp_path / "wrong").write_text("vwt_wrong\n")
    other = httpx.URL(hosts.api).copy_with(port=1)
    for arguments, environ, code, reason in (
        (("--redis", "rediss://:secret@head:6380/0", *worker), {}, 2, "a password on a command line"),
        (("--api", hosts.api, *worker), {"VIIWORK_BLOBS_TOKEN_FILE": str(tmp_path / "wrong")}, 3, "worker token"),
        (("--api", str(other), *worker), {}, 3, "does not answer"),
        (worker, {}, 2, "is not the blob directory of the fleet"),
        (("--api", hosts.api, "--host-name", "head", *worker), {}, 2, "is called head"),
    ):
        ended = box2.viiwork("up", *arguments, **environ)
        assert (ended.returncode, ended.stdout) == (code, ""), (reason, ended.stderr)
        assert reason in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "secret" not in ended.stderr
        assert box2.everything() == []


def test_a_directory_that_is_mounted_needs_no_token(hosts: TwoHosts, box2: Box) -> None:
    """The marks in the directory and in Redis are the same."""
    mounted = str(hosts.head.state.root / "blobs")
    told = box2.up(*hosts.worker, "--readers", "1", VIIWORK_BLOBS_DIR=mounted)
    assert {process["name"] for process in told["processes"]} == {"cpu0", "reader0"}
    assert answered(hosts.api, ask(hosts.api))
