"""The processes that a measurement stands on, and one run of the clients against any of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.gateway.load import Seen
from bench.machine import ROOT
from bench.rig import POLL_S, Rig, Worker
from viiwork.errors import StartupError, Unavailable

START_S = 60.0


@contextmanager
def process(rig: Rig, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """A program with its output in the rig's logs, ended with the block."""
    log = log_of(rig, name)
    running = Worker(name, list(argv), env={**os.environ, **(env or {})}, log=log)
    try:
        yield running
    finally:
        running.stop()


def log_of(rig: Rig, name: str) -> Path:
    """Where it writes."""
    folder = rig.settings.state_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


@contextmanager
def fake_engine(rig: Rig, *, model: str, tokens: int, each_ms: float) -> Iterator[tuple[Worker, str]]:
    """The stand-in engine, and its address."""
    argv = [sys.executable, "-m", "bench.gateway.fake", "--model", model]
    argv += ["--tokens", str(tokens), "--each-ms", str(each_ms)]
    with process(rig, f"engine-{each_ms:g}", argv) as engine:
        log, end = log_of(rig, engine.name), time.monotonic() + START_S
        while not log.read_text("utf-8").endswith("\n"):
            engine.check()
            if time.monotonic() > end:
                raise StartupError(f"the stand-in engine told no port within {START_S:.0f} s.")
            time.sleep(POLL_S)
        yield engine, f"http://127.0.0.1:{int(log.read_text('utf-8'))}"


async def asked(url: str, *, model: str, clients: int, requests: int, tokens: int, stream: bool = False) -> Seen:
    """One run of the clients, in a process of their own. Raises Unavailable when an answer is not as it should be."""
    argv = [sys.executable, "-m", "bench.gateway.load", f"{url}/v1/chat/completions", "--model", model]
    argv += ["--clients", str(clients), "--requests", str(requests), "--tokens", str(tokens)]
    running = await asyncio.create_subprocess_exec(
        *argv, *(["--stream"] if stream else []), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        said, wrong = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode:
        raise Unavailable(f"the clients of {url} stopped: {wrong.decode(errors='replace').strip()[-400:]}")
    return Seen(**json.loads(said))
