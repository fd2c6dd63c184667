"""`python -m tests.openapi SECONDS`: for so long, with other requests each time, at last with keys; `make openapi`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.front import Front, serving
from tests.openapi.asking import Outcome, ask
from tests.openapi.given import SUBMITTER, given
from viiwork.apikeys import Scope
from viiwork.settings import Settings, load_settings
from viiwork.store import apikeys, embedded
from viiwork.store.opening import make_store

QUEUE = {"max_attempts": 1}
SECRETS: list[str] = []
"""Of the admin's key."""


def main(seconds: str) -> int:
    """A service without keys and one that asks for them, half of the time each; the exit code."""
    half = str(int(seconds) // 2)
    with tempfile.TemporaryDirectory(prefix="viiwork-openapi-") as made:
        folder = Path(made)
        server = embedded.start(load_settings({"fleet": {"state_dir": str(folder / "redis")}}))
        try:
            return open_to_all(server.url, folder / "open", half) | with_keys(server.url, folder / "keyed", half)
        finally:
            server.stop()


def open_to_all(redis_url: str, folder: Path, seconds: str) -> int:
    folder.mkdir()
    with serving(redis_url, folder, queue=QUEUE) as front:
        return told(front, asked(front, folder, SUBMITTER, seconds))


def with_keys(redis_url: str, folder: Path, seconds: str) -> int:
    """Whoever shows no key, or another one, must be refused everywhere."""
    folder.mkdir()
    environ = {"VIIWORK_API_KEYS": "on"}
    with serving(redis_url, folder, queue=QUEUE, environ=environ, before=make_key, key=lambda: SECRETS[-1]) as front:
        headers = {"authorization": f"Bearer {SECRETS[-1]}"}
        return told(front, asked(front, folder, headers, seconds, checks=("ignored_auth",)))


def make_key(settings: Settings) -> None:
    async def make() -> None:
        store = make_store(settings, settings.redis.url)
        SECRETS.append((await apikeys.create(store, "admin", scopes=tuple(Scope))).secret)
        await store.close()

    asyncio.run(make())


def asked(
    front: Front, folder: Path, headers: dict[str, str], seconds: str, *, checks: tuple[str, ...] = ()
) -> Outcome:
    ids = given(front.url, headers)
    return ask(front.url, folder, ids, examples=200, headers=headers, checks=checks, more=["--max-time", seconds])


def told(front: Front, outcome: Outcome) -> int:
    """What schemathesis says, and whether the service has logged a defect."""
    defects = front.log().count("Traceback")
    print(outcome.said)
    print(f"{outcome.answers.total()} answers, {defects} defects in the log")
    return outcome.code | min(defects, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "600"))
