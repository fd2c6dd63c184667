"""A running Flower for tests, as `up` starts it, and what is asked of it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.endless import ENDLESS
from tests.ports import free_port
from tests.workers import eventually, make_job
from viiwork.fleet.plan import FLOWER_USER, Role, plan
from viiwork.jobs import Job, Lane, State
from viiwork.settings import Settings
from viiwork.store import Store

LONG = "word " * 7_800
"""A prompt that a simulated card at this scale chews on for over a second, and others wait for."""
WITHIN_S = 60.0


class Page:
    """A running Flower and a client that knows its password."""

    def __init__(self, settings: Settings, *, password: str | None = None) -> None:
        self.password = secrets.token_hex(16) if password is None else password
        specs = plan(settings, environ=_environ(), flower_password=self.password)
        spec = next(spec for spec in specs if spec.role is Role.FLOWER)
        self.settings = settings
        self.log = Path(settings.state_dir) / "logs" / "flower.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log)
        self.client = httpx.Client(
            base_url=spec.address, auth=(FLOWER_USER, self.password), timeout=WITHIN_S, trust_env=False
        )

    def wait(self) -> Page:
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s:
            try:
                if self.client.get("/healthcheck").status_code == httpx.codes.OK:
                    return self
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise AssertionError("Flower does not answer")

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def state(self, hint: str) -> str:
        answer = self.client.get(f"/api/task/info/{hint}")
        return str(answer.json()["state"]) if answer.status_code == httpx.codes.OK else ""

    def revoke(self, hint: str, *, terminate: bool) -> None:
        answer = self.client.post(f"/api/task/revoke/{hint}", params={"terminate": str(terminate).lower()})
        assert answer.status_code == httpx.codes.OK, answer.text

    def online(self) -> dict[str, bool]:
        return dict(self.get("/api/workers?status=1"))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)


def with_flower(settings: Settings) -> Settings:
    """Simulated cards with four slots, and Flower on a free port."""
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(
                update={"kind": "simulated", "model": "sim", "slots": 4, "time_scale": 0.15}
            ),
            "queue": settings.queue.model_copy(update={"drain_grace_s": 0.2}),
            "flower": settings.flower.model_copy(update={"enabled": True, "port": free_port()}),
        }
    )


def endless(number: int, *, lane: Lane = Lane.BATCH) -> Job:
    """A job that runs on `tests.endless` for as long as a test needs it, however busy the machine is."""
    return make_job(model="sim", lane=lane, text=f"{ENDLESS} {number}")


async def shown(page: Page, hint: str, state: str, *, within_s: float = WITHIN_S) -> None:
    """Wait until Flower shows a hint in this state."""
    await eventually(as_check(lambda: page.state(hint) == state), within_s=within_s, what=f"{hint} {state}")


async def stands(store: Store, one: Job, state: State) -> None:
    """Wait until the store has a job in this state."""

    async def there() -> bool:
        return (await store.job(one.id)).state is state

    await eventually(there, within_s=WITHIN_S, what=f"{one.id} {state}")


def as_check(check: Callable[[], bool]) -> Any:
    async def run() -> bool:
        return check()

    return run


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("VIIWORK_", "FLOWER_"))}
