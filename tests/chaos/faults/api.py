"""The HTTP door killed while it takes a submission, and the submission sent again."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.load import Load
from tests.chaos.stage import MODEL, Stage
from tests.workers import ROOT, bare_environ, eventually
from viiwork.api.intake import SLICE
from viiwork.client import Client
from viiwork.errors import Unavailable
from viiwork.fleet.plan import settings_env
from viiwork.jobfile import CHUNK_BYTES


class Door:
    """`python -m viiwork.api`; comes back at the same port."""

    def __init__(self, stage: Stage) -> None:
        self._settings = stage.settings
        self._log = stage.settings.state_dir / "logs" / "api.log"
        self._port = self._starts = 0
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Wait until it listens."""
        await eventually(self._listens, within_s=60, what="the API listening")

    async def _listens(self) -> bool:
        found = re.findall(r"listening on http://127\.0\.0\.1:(\d+)", self._log.read_text())
        self._port = int(found[-1]) if found else 0
        return len(found) == self._starts

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=60)

    def start_again(self) -> None:
        self._process = self._start()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(timeout=60)

    def _start(self) -> subprocess.Popen[bytes]:
        api = self._settings.api.model_copy(update={"port": self._port})
        self._starts += 1
        inherited = bare_environ()
        env = inherited | settings_env(self._settings.model_copy(update={"api": api}))
        with self._log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "viiwork.api"], cwd=ROOT, env=env, stdout=log, stderr=log)


@dataclass(frozen=True, slots=True)
class ApiKilled:
    """SIGKILL to the API when part of a file of jobs is in; the same file under the same key makes it whole, once."""

    lines: int = 2000
    name: str = "API SIGKILL in mid-submit, submitted again"

    async def strike(self, stage: Stage, load: Load) -> None:
        file, key, door = self._write(stage), f"key-{load.batch}", Door(stage)
        killed = threading.Event()
        try:
            await door.open()
            with Client(door.url, retries=0) as client:
                half = partial(client.submit_file, file, idempotency_key=key, on_upload=lambda _, __: killed.wait(60))
                sending = asyncio.create_task(asyncio.to_thread(half))
                in_part = await self._in_part(stage, load)
                door.kill()
                killed.set()
                with pytest.raises(Unavailable):
                    await sending
                door.start_again()
                await door.open()
                again = [await asyncio.to_thread(client.submit_file, file, idempotency_key=key) for _ in range(2)]
            assert {status.id for status in again} == {in_part}, "the same key is the same batch"
            load.others[in_part] = self.lines
        finally:
            killed.set()
            door.close()

    def _write(self, stage: Stage) -> Path:
        """A file of two chunks or more: the client sends one, of more lines than the API submits at once, and waits."""
        path = stage.settings.state_dir / "jobs.jsonl"
        text = "The goods have arrived. " * 10
        messages = ([{"role": "user", "content": f"Letter {n}: {text}"}] for n in range(self.lines))
        bodies = ({"model": MODEL, "messages": said, "max_output_tokens": 40} for said in messages)
        lines = [json.dumps(body) + "\n" for body in bodies]
        path.write_text("".join(lines))
        assert SLICE < CHUNK_BYTES // len(lines[-1]) < self.lines, "what is sent before the kill is a part of the file"
        return path

    async def _in_part(self, stage: Stage, load: Load) -> str:
        """Wait until some of the lines are in; answers the batch's id."""
        prefix = stage.store.prefix
        while True:
            (ids,) = await stage.store.read([("ZRANGE", f"{prefix}uploading", "0", "-1")])
            for id_ in set(ids) - {load.batch}:
                (items,) = await stage.store.read([("HGET", f"{prefix}batch:{id_}", "items")])
                if 0 < int(items or 0) < self.lines:
                    return str(id_)
            await asyncio.sleep(0.01)
