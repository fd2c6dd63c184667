"""The HTTP door killed while it takes a submission, and the submission sent again."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.chaos.load import Load
from tests.chaos.stage import MODEL, Stage, at
from tests.workers import ROOT, eventually
from viiwork.client import Client
from viiwork.errors import Unavailable
from viiwork.fleet.plan import settings_env
from viiwork.multipart import TextDocument


class Door:
    """`python -m viiwork.api` behind the stage's proxy; comes back at the same port."""

    def __init__(self, stage: Stage) -> None:
        self._settings = at(stage.settings, stage.proxy.url)
        self._log = stage.settings.state_dir / "logs" / "api.log"
        self._port = self._starts = 0
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Wait until it listens."""
        await eventually(self._listens, what="the API listening")

    async def _listens(self) -> bool:
        found = re.findall(r"listening on http://127\.0\.0\.1:(\d+)", self._log.read_text())
        self._port = int(found[-1]) if found else 0
        return len(found) == self._starts

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)

    def start_again(self) -> None:
        self._process = self._start()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(timeout=20)

    def _start(self) -> subprocess.Popen[bytes]:
        api = self._settings.api.model_copy(update={"port": self._port})
        self._starts += 1
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VIIWORK_")}
        env = inherited | settings_env(self._settings.model_copy(update={"api": api}))
        with self._log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "viiwork.api"], cwd=ROOT, env=env, stdout=log, stderr=log)


@dataclass(frozen=True, slots=True)
class ApiKilled:
    """SIGKILL to the API when part of an analysis is in; the same key again makes it whole, and once only."""

    documents: int = 250
    name: str = "API SIGKILL in mid-submit, submitted again"

    async def strike(self, stage: Stage, load: Load) -> None:
        texts = [TextDocument(f"Letter {n}: the goods have arrived.", name=f"{n}.txt") for n in range(self.documents)]
        stage.proxy.delay(0.02)
        door = Door(stage)
        try:
            await door.open()
            with Client(door.url, retries=0) as client:

                def send() -> str:
                    sent = client.analyze(texts, task="summarize", model=MODEL, idempotency_key=f"key-{load.batch}")
                    return sent.id

                sending = asyncio.create_task(asyncio.to_thread(send))
                in_part = await self._in_part(stage, load)
                door.kill()
                with pytest.raises(Unavailable):
                    await sending
                door.start_again()
                await door.open()
                answers = {await asyncio.to_thread(send), await asyncio.to_thread(send)}
                assert answers == {in_part}, "the same key is the same analysis"
            load.analyses[in_part] = self.documents
            await self._read(stage, in_part)
        finally:
            stage.proxy.delay(0.0)
            door.close()

    async def _in_part(self, stage: Stage, load: Load) -> str:
        """Wait until some of the documents are in; answers the analysis' id."""
        prefix = stage.store.prefix
        while True:
            (ids,) = await stage.store.read([("ZRANGE", f"{prefix}uploading", "0", "-1")])
            for id_ in set(ids) - {load.batch}:
                (items,) = await stage.store.read([("HGET", f"{prefix}batch:{id_}", "items")])
                if 0 < int(items or 0) < self.documents:
                    return str(id_)
            await asyncio.sleep(0.002)

    async def _read(self, stage: Stage, analysis: str) -> None:
        """A reader unfolds the documents into jobs and merges their answers."""
        stage.start("reader0")

        async def finished() -> bool:
            return (await stage.store.batch(analysis)).finished

        try:
            await eventually(finished, within_s=120, what="the analysis at its end")
        finally:
            await asyncio.to_thread(stage.fleet.stop, "reader0")
