"""The HTTP door as a process of its own, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

from viiwork.settings import Settings

WITHIN_S = 60.0
"""It comes up in two seconds and ends in less, on a machine that has nothing else to do."""


class Door:
    """`python -m viiwork.api`, and what it said."""

    def __init__(self, settings: Settings, **environment: str) -> None:
        own = {
            "VIIWORK_FLEET_NAME": settings.fleet.name,
            "VIIWORK_FLEET_STATE_DIR": str(settings.state_dir),
            "VIIWORK_REDIS_URL": settings.redis.url,
            "VIIWORK_REDIS_PREFIX": settings.prefix,
            "VIIWORK_API_PORT": "0",
        }
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.log = settings.state_dir / f"door-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "viiwork.api"], stdout=log, stderr=log, env=os.environ | own | environment
            )

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        until_s = time.monotonic() + WITHIN_S
        while not (found := re.search(r"listening on (http://\S+)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until_s, self.log.read_text()
            time.sleep(0.01)
        return found[1]

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_S)
