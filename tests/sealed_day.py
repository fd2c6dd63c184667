"""A day of a fleet in a network namespace with no way out: `unshare --net python -m tests.sealed_day FOLDER [ENGINE]`.

ENGINE are words of `viiwork up`; without them the engine is simulated. It prints one JSON object: what was sent out,
and where the marker of documents, prompts and names was found.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from celery.events import EventReceiver

from tests.workers import bare_environ
from viiwork.fleet.plan import FLOWER_USER, TAG
from viiwork.queues import make_app
from viiwork.settings import load_settings
from viiwork.statedir import Run, StateDir
from viiwork.store.endpoint import broker
from viiwork.store.server_launch import sync_client, url_of

MARK = "Zqxwv9marker"
SAMPLES = Path(__file__).parents[1] / "samples" / "documents"
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
OUTSIDE = "192.0.2.1"
SIMULATED = ("--engine", "simulated", "--time-scale", "0.01")
BLOTTED = {"schema": b"JSON schema conversion was incomplete: #", "grammar": b"error parsing grammar: #"}
"""What llama.cpp says of a schema that it cannot use, less the schema."""
SHORT = ("--max-tokens", "64")
LOOK_S, LOOKS = 0.2, 100
PAGES = ("/", "/tasks", "/broker", "/api/tasks", "/api/workers?refresh=1", "/api/queues/length", "/metrics")


def main() -> int:
    """The day."""
    folder = Path(sys.argv[1])
    raise_loopback()
    told = day(folder, sys.argv[2:])
    told["sent_out"] = unroutable()
    told["would_be_seen"] = try_to_leave()
    print(json.dumps(told))
    return 0


def raise_loopback() -> None:
    """The only interface that there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))


def unroutable() -> int:
    """How often anybody in this namespace has tried to reach an address outside: the kernel counts each."""
    fields, counts = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")
    )
    of_v6 = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(counts[fields.index("OutNoRoutes")]) + int(of_v6.get("Ip6OutNoRoutes", 0))


def try_to_leave() -> int:
    """The count grows by this: else it would prove nothing that it stayed at zero."""
    before = unroutable()
    for address in (OUTSIDE, "2001:db8::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as leaving:
            leaving.connect_ex((address, 80))
    return unroutable() - before


def day(folder: Path, engine: Sequence[str]) -> dict[str, Any]:
    """Up, documents of every kind, a file of jobs, a question; what is seen of them; down. A real engine gets few."""
    state = StateDir(folder / "state")
    environ = {**bare_environ(), "VIIWORK_FLEET_STATE_DIR": str(state.root)}

    def viiwork(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        argv = [sys.executable, "-m", "viiwork.cli.main", *arguments]
        ended = subprocess.run(argv, env=environ, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode in codes, ended.stderr
        return ended.stdout

    viiwork("up", "--detach", *(engine or SIMULATED), "--port", "0", "--flower-port", "0")
    try:
        run = state.read_run()
        assert run is not None
        with hearing(state, run) as heard:
            work(folder, viiwork, samples=not engine)
            clients_of_openai(run.api_url)
            if engine:
                odd_shapes(run.api_url)
            found = {"files": left_in_files(state), **seen(state, run)}
        found["events"] = [event for event in heard if MARK in event]
        argv = secrets_in_argv(state)
        return {"found": found, "events": len(heard), "argv": argv, "blotted": blotted(state)}
    finally:
        viiwork("down")


def work(folder: Path, viiwork: Any, *, samples: bool) -> None:
    """The samples, a document that carries the marker in its name and its text, jobs and a question."""
    documents = folder / "documents"
    if samples:
        shutil.copytree(SAMPLES, documents)
    documents.mkdir(exist_ok=True)
    text = f"The lease of {MARK} ends in May. " * 3
    (documents / f"{MARK}.txt").write_text(text)
    (documents / f"broken-{MARK}.pdf").write_bytes(b"%PDF-1.4 " + MARK.encode())
    said = [{"role": "user", "content": f"When does the lease of {MARK} end? {text}"}]
    lines = [{"custom_id": f"{MARK}-{number}", "messages": said, "max_output_tokens": 64} for number in range(20)]
    (folder / "jobs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    viiwork("analyze", str(documents), "--question", f"Who is {MARK}?", *SHORT, "--out", "rows.jsonl", codes=(0, 1))
    viiwork("submit", "jobs.jsonl", "--wait", codes=(0, 1))
    viiwork("ask", f"Who is {MARK}? {text}", *SHORT, codes=(0, 1))
    assert MARK in (folder / "rows.jsonl").read_text(), "it would prove nothing that nobody answered"


def clients_of_openai(url: str) -> None:
    """A chat with a file in it, a stream, and a batch, as clients of the OpenAI API send them."""
    said = [{"role": "user", "content": f"Who is {MARK}?"}]
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        (model,) = (each["id"] for each in http.get("/v1/models").json()["data"])
        chat = {"model": model, "messages": said, "max_completion_tokens": 8}
        assert http.post("/v1/chat/completions", json=chat).status_code == 200
        assert "[DONE]" in http.post("/v1/chat/completions", json={**chat, "stream": True}).text
        line = {"method": "POST", "url": "/v1/chat/completions", "body": chat}
        lines = "".join(json.dumps({**line, "custom_id": f"{MARK}-{number}"}) + "\n" for number in range(10))
        file = {"file": (f"{MARK}.jsonl", lines.encode())}
        sent = http.post("/v1/files", data={"purpose": "batch"}, files=file).json()
        order = {"input_file_id": sent["id"], "endpoint": line["url"], "completion_window": "24h"}
        batch = http.post("/v1/batches", json={**order, "metadata": {"about": MARK}}).json()
        while batch["status"] not in ("completed", "failed", "expired"):
            time.sleep(0.2)
            batch = http.get(f"/v1/batches/{batch['id']}").json()
        assert batch["request_counts"] == {"total": 10, "completed": 10, "failed": 0}, batch
        assert MARK in http.get(f"/v1/files/{batch['output_file_id']}/content").text


def odd_shapes(url: str) -> None:
    """Schemas that an engine may not know what to do with; whatever it answers."""
    text = {"type": "string"}
    long = {**text, "minLength": 5_000, "maxLength": 100_000}
    for node in (long, {**text, "pattern": f"^(?={MARK})a$"}, {"enum": [MARK, "b"]}):
        schema = {"type": "object", "properties": {MARK: node}, "required": [MARK]}
        shape = {"type": "json_schema", "json_schema": {"name": "odd", "schema": schema}}
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
            (model,) = (each["id"] for each in http.get("/v1/models").json()["data"])
            said = [{"role": "user", "content": f"Who is {MARK}?"}]
            chat = {"model": model, "messages": said, "max_completion_tokens": 32, "response_format": shape}
            assert http.post("/v1/chat/completions", json=chat).status_code in (200, 400, 422)


@contextmanager
def hearing(state: StateDir, run: Run) -> Iterator[list[str]]:
    """Every event that a worker sends meanwhile."""
    assert run.server is not None
    settings = load_settings({"fleet": {"state_dir": str(state.root)}})
    server = broker(url_of(run.server))
    app = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
    heard: list[str] = []
    with app.connection_for_read() as connection:
        receiver = EventReceiver(connection, handlers={"*": lambda event: heard.append(repr(event))}, app=app)
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None}, daemon=True)
        thread.start()
        yield heard
        receiver.should_stop = True
        thread.join(timeout=10)


def seen(state: StateDir, run: Run) -> dict[str, list[str]]:
    """Where the marker shows: pages of Flower, the API's page of figures, kinds of keys in Redis."""
    assert run.supervisor is not None
    assert run.server is not None
    login = (FLOWER_USER, state.secret("flower.secret"))
    with httpx.Client(trust_env=False, timeout=30) as http:
        pages = {path: http.get(run.supervisor.flower_url + path, auth=login).text for path in PAGES}
        figures = {path: http.get(run.api_url + path).text for path in ("/metrics", "/v1/fleet", "/health/ready")}
    with sync_client(url_of(run.server)) as client:
        kinds = {kind(key) for key in client.scan_iter(count=1000) if MARK.encode() in bytes(client.dump(key) or b"")}
        client.config_set("rdbcompression", "no")
        kinds |= {kind(key) for key in client.scan_iter(count=1000) if MARK.encode() in bytes(client.dump(key) or b"")}
    return {
        "flower": [path for path, text in pages.items() if MARK in text],
        "figures": [path for path, text in figures.items() if MARK in text],
        "redis": sorted(kinds),
    }


def kind(key: bytes) -> str:
    """`job` of `viiwork:default:job:an_…-3`."""
    return key.decode().split(":")[2]


def in_files(state: StateDir) -> list[str]:
    """Files of the state directory that hold the marker: logs above all, and neither documents nor Redis' own."""
    kept = [state.root / name for name in ("blobs", "redis")]
    files = [path for path in state.root.rglob("*") if path.is_file() and not any(map(path.is_relative_to, kept))]
    assert any(path.parent == state.logs for path in files)
    return [path.name for path in files if MARK.encode() in content(path)]


def content(path: Path) -> bytes:
    """Nothing of a file that its fleet has just replaced or taken away."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def left_in_files(state: StateDir) -> list[str]:
    """Those that keep it: a guard goes through its engine's log once a second."""
    for _ in range(LOOKS):
        if not (found := in_files(state)):
            break
        time.sleep(LOOK_S)
    return found


def blotted(state: StateDir) -> dict[str, bool]:
    """Which traces of what was blotted out the engines' logs bear."""
    logs = b"".join(path.read_bytes() for path in state.logs.glob("engine-*.log"))
    return {name: trace in logs for name, trace in BLOTTED.items()}


def secrets_in_argv(state: StateDir) -> list[str]:
    """Processes of the fleet whose command line shows what a file of the state directory keeps secret."""
    kept = {path.read_text().strip() for path in state.root.glob("*.secret")} | {
        path.read_text().strip() for path in state.root.glob("*.key")
    }
    assert kept
    mine = [each for each in psutil.process_iter() if _tag(each) == str(state.root)]
    assert len(mine) > 3
    return [name for name, words in map(_shown, mine) if any(secret in words for secret in kept)]


def _shown(process: psutil.Process) -> tuple[str, str]:
    """Its name and its command line; of one that has just ended nobody can see them."""
    try:
        return process.name(), " ".join(process.cmdline())
    except psutil.Error:
        return "", ""


def _tag(process: psutil.Process) -> str:
    try:
        return process.environ().get(TAG, "")
    except psutil.Error:
        return ""


if __name__ == "__main__":
    os.environ.pop("VIIWORK_URL", None)
    sys.exit(main())
