"""Where a fault strikes: a private server, a proxy before it, and real workers under load."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.proxy import Proxy
from tests.chaos.server import Server
from tests.chaos.wounds import Wounds
from tests.workers import ROOT, Fleet, eventually
from viiwork.settings import Settings, load_settings
from viiwork.store.opening import make_store

MODEL = "sim"
ENGINE_DIED = "the engine's process"
"""How a worker's log begins to tell of each death of its engine."""
QUICK_LEASES = {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 0.0}
"""For the short form. The long one keeps the leases that fleets have."""


def stage_settings(
    root: Path, *, slots: int = 8, quick: bool = False, poison: bool = False, time_scale: float = 0.05
) -> Settings:
    """A fleet of simulated cards, each a process of its own and twenty times as fast as a real one."""
    engine = {"kind": "simulated", "model": MODEL, "slots": slots, "time_scale": time_scale}
    sections: dict[str, Any] = {
        "fleet": {"name": f"c{secrets.token_hex(4)}", "state_dir": str(root)},
        "engine": {**engine, "process": True, "poison": poison},
        "flower": {"enabled": False},
        "queue": QUICK_LEASES if quick else {},
    }
    return load_settings(sections)


class Stage:
    """One server, one proxy, the workers `names`; those in `behind` reach the server through the proxy."""

    def __init__(self, server: Server, *, names: Sequence[str], behind: Sequence[str] = ()) -> None:
        self.server = server
        self.proxy = Proxy(server.url)
        self.settings = at(server.settings, server.url)
        self.names = tuple(names)
        self.behind = tuple(behind)
        self.fleet = Fleet(self.settings)
        self.scraps = self.settings.state_dir / "tmp"
        """Where workers put temporary files; kombu would leave pickles there."""
        self.scraps.mkdir(exist_ok=True)
        self.store = make_store(self.settings, self.server.url)
        self.wounds = Wounds()
        self.notice = ""
        """What the table says of a run besides its figures."""
        self.code = ROOT
        """The tree that workers are run from."""
        self._deaths_before = 0
        self._keepers: set[asyncio.Task[None]] = set()

    @property
    def lease_ttl_s(self) -> float:
        return self.settings.queue.lease_ttl_s

    @property
    def slots(self) -> int:
        return self.settings.engine.slots or 0

    def start(self, *names: str, **how: Any) -> None:
        """Start workers, each by its own way to the server."""
        for name in names:
            url = self.proxy.url if name in self.behind else self.server.url
            environ = {"TMPDIR": str(self.scraps), **how.pop("environ", {})}
            self.fleet.start(name, settings=at(self.settings, url), code=self.code, environ=environ, **how)

    def set_out(self) -> None:
        """Begin a run: a store on this event loop, every worker that is missing started."""
        self.store = make_store(self.settings, self.server.url)
        self.wounds, self.notice = Wounds(), ""
        gone = [name for name in self.names if (p := self.fleet.processes.get(name)) is None or p.poll() is not None]
        self.start(*gone)
        self._deaths_before = self._deaths()

    def engine_deaths(self) -> int:
        """How many engines have died under their workers in this run."""
        return self._deaths() - self._deaths_before

    def _deaths(self) -> int:
        return sum(self.fleet.log(name).count(ENGINE_DIED) for name in self.names)

    async def tidy(self) -> None:
        """End a run."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        await self.store.close()

    def close(self) -> None:
        self.fleet.close()
        self.proxy.close()
        self.server.stop()

    async def joined(self, *names: str) -> None:
        """Wait until these workers, in this life of theirs, are in the roster."""

        async def check() -> bool:
            return all([await self.incarnation(name) for name in names])

        await eventually(check, within_s=60, what=f"{', '.join(names)} in the roster")

    async def incarnation(self, name: str) -> str:
        """This life of a worker, or an empty string while it has not joined."""
        process = self.fleet.processes.get(name)
        cards = [worker.card for worker in (await self.store.fleet()).workers]
        found = [card.incarnation for card in cards if process is not None and card.pid == process.pid]
        return found[0] if found else ""

    async def held(self, incarnation: str) -> list[str]:
        """The jobs that an incarnation runs, as the store has it."""
        (jobs,) = await self.store.read([("ZRANGE", f"{self.store.prefix}inc:{incarnation}:running", "0", "-1")])
        return list(jobs)

    async def busy(self, *names: str, jobs: int = 0) -> None:
        """Wait until each of these workers runs some jobs, by default half of what its batch lane may hold."""
        wanted = jobs or max(1, (self.slots - self.slots // 4) // 2)
        await self.joined(*names)

        async def check() -> bool:
            return all([len(await self.held(await self.incarnation(name))) >= wanted for name in names])

        await eventually(check, within_s=60, what=f"{', '.join(names)} at work")

    async def open_jobs(self) -> int:
        """Jobs that have not ended."""
        return sum(queue.waiting + queue.queued + queue.running for queue in (await self.store.fleet()).queues)

    async def now_ms(self) -> int:
        """Redis' clock."""
        (time,) = await self.store.read([("TIME",)])
        return int(time[0]) * 1000 + int(time[1]) // 1000

    async def note(self, *names: str) -> None:
        """Write down what these workers (all, without names) run at this moment: the fault hits now."""
        at_ms = await self.now_ms()
        jobs = [job for name in names or self.names for job in await self.held(await self.incarnation(name))]
        await self.wounds.note(self.store, at_ms, jobs)

    async def reap(self, pid: int) -> None:
        """What the supervisor does when it sees a worker exit."""
        await self.store.reap_host(host=socket.gethostname(), pid=pid)

    async def kill(self, *names: str, supervised: bool) -> None:
        """SIGKILL to workers at work, all at once; and their jobs back at once if somebody watches over them."""
        await self.busy(*names)
        lives = {name: (await self.incarnation(name), self.fleet.processes[name].pid) for name in names}
        at_ms = await self.now_ms()
        self.fleet.kill(*names)
        jobs = [job for incarnation, _ in lives.values() for job in await self.held(incarnation)]
        await self.wounds.note(self.store, at_ms, jobs)
        for _, pid in lives.values():
            if supervised:
                await self.reap(pid)

    def engine(self, name: str) -> psutil.Process | None:
        """The engine process of a worker; None between two lives of it."""
        children = psutil.Process(self.fleet.processes[name].pid).children()
        return next(
            (child for child in children if "viiwork_workers.engines.simulated.card_process" in child.cmdline()), None
        )

    def keep(self, *names: str) -> None:
        """From now on do for these workers what the supervisor does: reap and restart them when they exit."""
        for name in names:
            self._keepers.add(asyncio.create_task(self._keep(name), name=f"keeper of {name}"))

    async def _keep(self, name: str) -> None:
        while True:
            process = self.fleet.processes[name]
            while process.poll() is None:
                await asyncio.sleep(0.05)
            await self.reap(process.pid)
            self.wounds.restarts += 1
            self.start(name)


def at(settings: Settings, url: str) -> Settings:
    """The same fleet, reached at `url`."""
    return settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": url})})
