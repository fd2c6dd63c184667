"""A batch of many lines through a whole fleet whose parts are killed meanwhile: is all of it there, what did it take?

`python -m bench.batchfile [--lines 50000] [--megabytes 50] [--unhurt]` prints its figures as JSON. The reader, Redis, a
worker and the door are each killed (SIGKILL) once while the lines are taken in and run.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from openai import OpenAI
from openai.types import Batch

from bench.rig import Rig, make_rig
from viiwork.errors import Unavailable
from viiwork.fleet.plan import api_url
from viiwork.fleet.ports import settle_ports

MODEL = "sim"
WORKERS = ("reader0", "gpu0", "gpu1")
PROCESSES = {"api": ("viiwork.api",), **{name: ("viiwork_workers", name) for name in WORKERS}}
QUICK = {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0}
OVER = ("failed", "completed", "expired", "cancelled")
LOOK_S = 0.2
MIB = 1024 * 1024
READY_S = 120.0
TRIES = 20
"""A client asks again while the API or Redis is away, after half a second at first and 8 s at last."""


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
    """The processes of one fleet, by name; any may be killed, and is started again."""

    def __init__(self, rig: Rig, stack: ExitStack) -> None:
        settings = settle_ports(rig.settings)
        self.rig, self.url = rig, f"{api_url(settings)}/v1"
        self.workers = {
            name: stack.enter_context(rig.worker(name, ["-m", *words], settings=settings))
            for name, words in PROCESSES.items()
        }
        stack.callback(self._terminate)

    def memory_mib(self) -> dict[str, float]:
        """What each process has in memory now, its children not counted; of those that are there."""
        found = {}
        for name, worker in self.workers.items():
            with suppress(psutil.Error):
                found[name] = worker.process.memory_info().rss / MIB
        with suppress(psutil.Error):
            found["redis"] = self.rig.server.memory_info().rss / MIB
        return found

    def _terminate(self) -> None:
        for worker in self.workers.values():
            worker.terminate()


def run(*, lines: int, line_bytes: int, hurt: bool, quick: bool = False, time_scale: float = 0.0005) -> Figures:
    """One batch, from its file to its output; `quick` leases and slower cards suit a test."""
    figures = Figures(lines)
    engine = {"kind": "simulated", "model": MODEL, "slots": 16, "time_scale": time_scale}
    queue = {"drain_grace_s": 0.0} | (QUICK if quick else {})
    api = {"port": 0, "min_free_bytes": 0}
    redis = {"max_memory_bytes": 2048 * MIB}
    with make_rig(redis=redis, engine=engine, queue=queue, api=api) as rig, ExitStack() as stack:
        crew = Crew(rig, stack)
        client = stack.enter_context(OpenAI(base_url=crew.url, api_key="none", max_retries=TRIES))
        _await_model(client, crew)
        path = written(rig.settings.state_dir / "lines.jsonl", lines=lines, line_bytes=line_bytes)
        figures.input_bytes = path.stat().st_size
        with watched(crew, figures):
            _play(client, crew, path, figures, hurt=hurt)
    return figures


def _await_model(client: OpenAI, crew: Crew) -> None:
    end = time.monotonic() + READY_S
    while MODEL not in [model.id for model in client.models.list()]:
        for worker in crew.workers.values():
            worker.check()
        if time.monotonic() > end:
            raise Unavailable(f"no worker served {MODEL} within {READY_S:.0f} s.")
        time.sleep(LOOK_S)


def _play(client: OpenAI, crew: Crew, path: Path, figures: Figures, *, hurt: bool) -> None:
    begin = time.monotonic()
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    figures.upload_s = round(time.monotonic() - begin, 2)
    begin = time.monotonic()
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wounds = _wounds(crew, figures) if hurt else []
    while (now := client.batches.retrieve(batch.id)).status not in OVER:
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
        (0.0, wound("reader0", crew.workers["reader0"].crash)),
        (0.05, wound("redis", crew.rig.crash_server)),
        (0.15, wound("gpu0", crew.workers["gpu0"].crash)),
        (0.3, wound("api", crew.workers["api"].crash)),
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


def main(words: Sequence[str] | None = None) -> int:
    """0 where every line has its answer, once; else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.batchfile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--megabytes", type=int, default=50, help="the whole file (default: %(default)s)")
    parser.add_argument("--unhurt", action="store_true", help="kill nobody")
    options = parser.parse_args(words)
    line_bytes = options.megabytes * 1_000_000 // options.lines
    figures = run(lines=options.lines, line_bytes=line_bytes, hurt=not options.unhurt)
    print(json.dumps(asdict(figures), indent=2))
    return 0 if figures.distinct_ids == figures.output_lines == options.lines else 1


if __name__ == "__main__":
    sys.exit(main())
