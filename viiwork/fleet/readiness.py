"""Whether each process does its work: the API answers, workers beat, Flower listens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import httpx

from viiwork.errors import StoreUnavailable
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import Role, api_url
from viiwork.roster import AWAITS_MODEL, AWAITS_SERVER, GIVEN_UP, WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store

ANSWER_S = 2.0
UP = frozenset({httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS, httpx.codes.INSUFFICIENT_STORAGE})
"""A service without room for new work is up: its work goes on, and whoever makes room needs it."""


class Readiness:
    """Looks at every process that is still starting."""

    def __init__(self, settings: Settings, store: Store, children: Sequence[Child], *, host: str) -> None:
        self._settings = settings
        self._store = store
        self._children = children
        self._host = host
        self.cards: dict[int, WorkerCard] = {}
        """What the workers of this machine told of themselves, by process id."""

    async def look(self) -> None:
        """Call those ready that show it."""
        starting = [child for child in self._children if child.state is ChildState.STARTING and child.pid]
        if any(child.spec.role in (Role.ENGINE, Role.READER) for child in starting):
            await self._read_cards()
        for child in starting:
            pid = child.pid
            if await self._is_ready(child) and child.pid == pid and child.state is ChildState.STARTING:
                child.state = ChildState.READY

    async def _read_cards(self) -> None:
        with suppress(StoreUnavailable):
            fleet = await self._store.fleet()
            mine = (worker.card for worker in fleet.workers if worker.card.host == self._host)
            self.cards = {card.pid: card for card in mine}

    async def engine_states(self) -> dict[str, str]:
        """How the engine of each worker of this fleet's own stands, by its name. Raises StoreUnavailable.

        Of one that has not joined, nothing is told.
        """
        fleet = await self._store.fleet()
        told = {worker.card.pid: worker.card.engine_state for worker in fleet.workers if worker.card.host == self._host}
        engines = [child for child in self._children if child.spec.role is Role.ENGINE]
        lost = {child.spec.name: GIVEN_UP for child in engines if child.state is ChildState.FAILED}
        return {child.spec.name: told[child.pid] for child in engines if child.pid in told} | lost

    async def _is_ready(self, child: Child) -> bool:
        if child.spec.role is Role.API:
            return child.answers and await is_up(api_url(self._settings) + "/health/ready")
        if child.spec.role is Role.FLOWER:
            return await _listens(self._settings.flower.host, self._settings.flower.port)
        card = self.cards.get(child.pid)
        return card is not None and card.engine_state in ("", "ready")

    def progress(self) -> str:
        """Who is still awaited, in one line."""
        waiting = [self._awaited(child) for child in self._children if child.state is not ChildState.READY]
        if not waiting:
            return "ready"
        shown = ", ".join(waiting[:4]) + (f" and {len(waiting) - 4} more" if len(waiting) > 4 else "")
        return f"{len(self._children) - len(waiting)} of {len(self._children)} processes are ready; waiting for {shown}"

    def _awaited(self, child: Child) -> str:
        """`gpu0`, or `gpu0: loading (35 s)` once its worker tells how its engine stands.

        Of a server that somebody else runs, why it is of no use: that is for whoever waits here to mend.
        """
        card = self.cards.get(child.pid)
        told = card.engine_state if card is not None and child.pid else ""
        short, _, why = told.partition(": ")
        state = why if short in (AWAITS_SERVER, AWAITS_MODEL) else short
        return f"{child.spec.name}: {state}" if state else child.spec.name


async def is_up(url: str) -> bool:
    """Whether the service does its work, be there room for more or not."""
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
            return (await client.get(url)).status_code in UP
    return False


async def _listens(host: str, port: int) -> bool:
    with suppress(OSError, TimeoutError):
        _, writer = await asyncio.wait_for(asyncio.open_connection(host or "127.0.0.1", port), ANSWER_S)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True
    return False
