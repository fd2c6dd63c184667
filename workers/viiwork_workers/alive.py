"""`python -m viiwork_workers.alive gpu0`: whether this host's worker of that name beats. A container's healthcheck."""

from __future__ import annotations

import asyncio
import sys

from viiwork.errors import ViiworkError
from viiwork.settings import Settings, load_settings
from viiwork.store.embedded import locate
from viiwork.store.opening import make_store

SILENT = 1


def main(arguments: list[str]) -> int:
    """Exit codes: 0 it beats, 1 it does not, 2 wrong usage, 3 no server."""
    if len(arguments) != 1:
        print("usage: python -m viiwork_workers.alive NAME", file=sys.stderr)  # noqa: T201 - a program of its own
        return 2
    try:
        settings = load_settings()
        beats = asyncio.run(is_alive(settings, f"{arguments[0]}@{settings.host}"))
    except ViiworkError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    if not beats:
        print(f"{arguments[0]} does not beat", file=sys.stderr)  # noqa: T201
    return 0 if beats else SILENT


async def is_alive(settings: Settings, name: str) -> bool:
    """Whether one that calls itself so has beaten within a lease. Raises StoreUnavailable."""
    store = make_store(settings, locate(settings))
    try:
        fleet = await store.fleet()
    finally:
        await store.close()
    lease_ms = settings.queue.lease_ttl_s * 1000
    return any(each.card.name == name and each.beat_age_ms < lease_ms for each in fleet.workers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
