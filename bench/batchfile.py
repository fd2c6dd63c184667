"""A batch of many lines through a whole fleet whose parts are killed meanwhile: is all of it there, what did it take?

`python -m bench.batchfile [--lines 50000] [--megabytes 50] [--unhurt]` prints its figures as JSON. The reader, Redis, a
worker and the door are each killed (SIGKILL) once while the lines are taken in and run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import openai
import psutil
from openai import OpenAI
from openai.types import Batch

from viiwork.fleet.plan import settings_env
from viiwork.processes import is_alive
from viiwork.settings import Settings, load_settings
from viiwork.store import embedded

MODEL = "sim"
DOOR, READER = "api", "reader0"
OVER = ("failed", "completed", "expired", "cancelled")
LOOK_S = 0.2
MIB = 1024 * 1024
AWAY = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError)
"""What a client meets while the door or Redis is away; it asks again."""


@dataclass(slots=True)
class Figures:
    """What came of a run. Memory is of the processes themselves, in MiB, as they were before and at their highest."""

    lines: int
    input_bytes: int = 0
    upload_s: float = 0.0
    checked_s: float = 0.0
    """From the batch's making to `in_progress`."""
    whole_s: float = 0.0
    """From its making to its end."""
    status: str = ""
    output_lines: int = 0
    distinct_ids: int = 0
    error_lines: int = 0
    before_mib: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)


class Crew:
    """The processes of one fleet, by name; any may be killed and is started again."""

    def __init__(self, root: Path, *, workers: int, time_scale: float, quick: bool) -> None:
        engine = {"kind": "simulated", "model": MODEL, "slots": 16, "time_scale": time_scale}
        quick_leases = {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0}
        sections: dict[str, Any] = {
            "fleet": {"name": "batchfile", "state_dir": str(root)},
            "redis": {"url": "embedded", "max_memory_bytes": 2048 * MIB},
            "engine": engine,
            "flower": {"enabled": False},
            "queue": {"drain_grace_s": 0.0} | (quick_leases if quick else {}),
            "api": {"port": 0, "min_free_bytes": 0},
        }
        self._own = load_settings(sections)
        self._server = embedded.start(self._own)
        self._settings = self._at(self._server.url)
        self.names = (DOOR, READER, *(f"gpu{n}" for n in range(workers)))
        self._logs = root / "logs"
        self._logs.mkdir(exist_ok=True)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port = 0
        for name in self.names:
            self.start(name)
        self._port = self._listening()

    @property
    def url(self) -> str:
        """Where the API is, in each of its lives."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self, name: str) -> None:
        """Start a process, on the settings that all of them have."""
        words = ["viiwork.api"] if name == DOOR else ["viiwork_workers", name]
        api = self._settings.api.model_copy(update={"port": self._port})
        env = {key: value for key, value in os.environ.items() if not key.startswith("VIIWORK_")}
        env |= settings_env(self._settings.model_copy(update={"api": api}))
        with self._log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, "-m", *words], env=env, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """SIGKILL, and a new life."""
        self.processes[name].kill()
        self.processes[name].wait()
        self.start(name)

    def kill_redis(self) -> None:
        """SIGKILL, and a new life on the same data at the same address."""
        record = self._server.record
        os.kill(record.pid, signal.SIGKILL)
        while is_alive(record.pid, record.identity) or self._server.is_alive():
            time.sleep(0.01)
        self._server = embedded.start(self._own)

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self._server.stop()

    def memory_mib(self) -> dict[str, float]:
        """What each process has in memory now, its children not counted; of those that are there."""
        pids = {name: process.pid for name, process in self.processes.items()} | {"redis": self._server.record.pid}
        found = {}
        for name, pid in pids.items():
            with suppress(psutil.Error):
                found[name] = psutil.Process(pid).memory_info().rss / MIB
        return found

    def _at(self, url: str) -> Settings:
        return self._own.model_copy(update={"redis": self._own.redis.model_copy(update={"url": url})})

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _listening(self) -> int:
        words = "listening on http://127.0.0.1:"
        until("the API", lambda: words in self._log(DOOR).read_text())
        return int(self._log(DOOR).read_text().rpartition(words)[2].split()[0].strip("./"))


def run(
    root: Path, *, lines: int, line_bytes: int, hurt: bool, quick: bool = False, time_scale: float = 0.0005
) -> Figures:
    """One batch, from its file to its output; `quick` leases and slower cards suit a test."""
    figures = Figures(lines)
    crew = Crew(root, workers=2, time_scale=time_scale, quick=quick)
    try:
        client = OpenAI(base_url=crew.url, api_key="none", max_retries=0)
        until("the workers", lambda: MODEL in [model.id for model in insist(client.models.list)])
        path = written(root / "lines.jsonl", lines=lines, line_bytes=line_bytes)
        figures.input_bytes = path.stat().st_size
        with watched(crew, figures):
            _play(client, crew, path, figures, hurt=hurt)
    finally:
        crew.close()
    return figures


def _play(client: OpenAI, crew: Crew, path: Path, figures: Figures, *, hurt: bool) -> None:
    begin = time.monotonic()
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    figures.upload_s = round(time.monotonic() - begin, 2)
    begin = time.monotonic()
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wounds = _wounds(crew, figures) if hurt else []
    while (now := insist(lambda: client.batches.retrieve(batch.id))).status not in OVER:
        if now.status == "in_progress" and not figures.checked_s:
            figures.checked_s = round(time.monotonic() - begin, 2)
        while wounds and wounds[0][0] <= _done(now):
            wounds.pop(0)[1]()
        time.sleep(LOOK_S)
    figures.whole_s, figures.status = round(time.monotonic() - begin, 2), now.status
    output = _ids(client, now.output_file_id)
    figures.output_lines, figures.distinct_ids = len(output), len(set(output))
    figures.error_lines = len(_ids(client, now.error_file_id))


def _wounds(crew: Crew, figures: Figures) -> list[tuple[float, Callable[[], None]]]:
    """What is killed, and from which part of the lines on: the reader while it takes them in."""

    def wound(name: str, kill: Callable[[], None]) -> Callable[[], None]:
        def strike() -> None:
            figures.killed.append(name)
            kill()

        return strike

    return [
        (0.0, wound(READER, lambda: crew.kill(READER))),
        (0.05, wound("redis", crew.kill_redis)),
        (0.15, wound("gpu0", lambda: crew.kill("gpu0"))),
        (0.3, wound(DOOR, lambda: crew.kill(DOOR))),
    ]


def _done(batch: Batch) -> float:
    """The part of its lines that has ended; -1 until they are being taken in."""
    counts = batch.request_counts
    if batch.status == "validating" or counts is None or not counts.total:
        return -1.0
    return (counts.completed + counts.failed) / counts.total


def _ids(client: OpenAI, file: str | None) -> list[str]:
    if file is None:
        return []
    found: list[str] = []
    with client.files.with_streaming_response.content(file) as response:
        found += [json.loads(line)["custom_id"] for line in response.iter_lines() if line]
    return found


def written(path: Path, *, lines: int, line_bytes: int) -> Path:
    """A file of so many chats, each about so large."""
    with path.open("w") as file:
        for number in range(lines):
            said = f"Letter {number}: " + "The goods have arrived. " * max(1, (line_bytes - 170) // 24)
            body = {"model": MODEL, "messages": [{"role": "user", "content": said}], "max_tokens": 16}
            line = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path


@contextmanager
def watched(crew: Crew, figures: Figures) -> Iterator[None]:
    """Look at everybody's memory meanwhile."""
    figures.before_mib = {name: round(mib) for name, mib in crew.memory_mib().items()}
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            for name, mib in crew.memory_mib().items():
                figures.peak_mib[name] = max(figures.peak_mib.get(name, 0), round(mib))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def insist(ask: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    end = time.monotonic() + 120.0
    while True:
        try:
            return ask()
        except AWAY:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_S)


def until(what: str, check: Callable[[], bool]) -> None:
    """Wait for something. Raises TimeoutError."""
    end = time.monotonic() + 120.0
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(LOOK_S)


def main(words: Sequence[str] | None = None) -> int:
    """0 where every line has its answer, once; else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.batchfile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--megabytes", type=int, default=50, help="the whole file (default: %(default)s)")
    parser.add_argument("--unhurt", action="store_true", help="kill nobody")
    options = parser.parse_args(words)
    line_bytes = options.megabytes * 1_000_000 // options.lines
    with tempfile.TemporaryDirectory(prefix="viiwork-bench-") as root:
        figures = run(Path(root), lines=options.lines, line_bytes=line_bytes, hurt=not options.unhurt)
    print(json.dumps(asdict(figures), indent=2))
    return 0 if figures.distinct_ids == figures.output_lines == options.lines else 1


if __name__ == "__main__":
    sys.exit(main())
