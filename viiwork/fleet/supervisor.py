"""`viiwork up`: bring the fleet up, keep it up, take it down in order."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from viiwork.errors import StartupError, StoreUnavailable, ViiworkError
from viiwork.fleet.berths import Berth
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.cardwatch import card_watch
from viiwork.fleet.child import Child
from viiwork.fleet.crew import Crew
from viiwork.fleet.describe import FLOWER_SECRET, death_notice, fleet_report, supervisor_record
from viiwork.fleet.groundwork import Groundwork
from viiwork.fleet.herald import Herald
from viiwork.fleet.hostboard import HostBoard
from viiwork.fleet.joining import check_joinable
from viiwork.fleet.judge import absences, engine_failure, is_held, is_up, judge_start
from viiwork.fleet.mending import Mender
from viiwork.fleet.neighbours import shared_cards
from viiwork.fleet.plan import ProcessSpec, Role, engine_end_s, engine_worker, flower_url, plan
from viiwork.fleet.posting import Posting, post
from viiwork.fleet.readiness import Readiness
from viiwork.fleet.renewal import Renewal
from viiwork.fleet.report import FleetReport, Report
from viiwork.fleet.settling import Settling
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.fleet.swapped import read_swaps, told, with_swaps
from viiwork.fleet.tending import Tending
from viiwork.settings import Settings
from viiwork.statedir import FleetLock, Run, StateDir, SupervisorRecord
from viiwork.store import Store

ENDS = (signal.SIGINT, signal.SIGTERM)
TICK_S = 0.25
READY_LIMIT_S = 900.0
"""A large model on a slow disk takes up to 15 minutes; after that the fleet is announced without the stragglers."""

Planner = Callable[[Settings, str], Sequence[ProcessSpec]]


class Supervisor:
    """One run of `up`. `planner` says which processes to keep; by default the plan of models and cards does."""

    def __init__(self, settings: Settings, *, report: Report, planner: Planner | None = None) -> None:
        self.settings = settings
        self.state = StateDir(settings.state_dir)
        self._herald = Herald(report)
        self._planner = planner
        self._posting = Posting(())
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._host = settings.host
        self._ground = Groundwork(self.state, host=self._host, herald=self._herald, hurry=self._hurry)
        self._crew = Crew(logs=self.state.logs, on_exit=self._after_exit, hurry=self._hurry)
        self._renewal = Renewal(self._crew, tell=self._herald.notice)
        self._tending: Tending | None = None
        self._readiness: Readiness | None = None
        self._given = settings
        """Before any swap."""
        self._announced = False
        self._swaps: list[str] = []
        self._store: Store | None = None

    async def run(self) -> None:
        """Until a signal, or until it can go on no more.

        Raises StartupError, StoreUnavailable, EngineFault or UsageError.
        """
        check_joinable(self.settings)
        swaps, self._given = read_swaps(self.settings.state_dir), self.settings
        self._swaps = told(self.settings, swaps)
        self.settings = with_swaps(self.settings, swaps)
        self.settings = await asyncio.to_thread(settle_cards, self.settings)  # a driver in trouble may take long
        if self._planner is None:
            self._posting = await asyncio.to_thread(post, self.settings)
        self.state.prepare()
        keep_no_dumps()
        with FleetLock(self.state, fleet=self.settings.fleet.name):
            self._listen_for_signals()
            async with AsyncExitStack() as undo:  # what was started last is stopped first, whatever fails
                try:
                    readiness = await self._bring_up(undo)
                except OSError as error:
                    raise _disk_error(error) from error
                await self._watch(readiness)

    def ask_to_stop(self) -> None:
        """As SIGTERM does: the first time in order, the second time in a hurry."""
        if self._stop.is_set() and not self._hurry.is_set():
            self._hurry.set()
            self._herald.notice("Stopping at once.")
        self._stop.set()

    def placements(self) -> dict[str, tuple[str, ...]]:
        """Which engine worker has which cards just now, by their identities; it changes while the fleet runs."""
        if self._tending is not None:
            return self._tending.placements()
        return {berth.name: berth.cards for berth in self._posting.berths}

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDS:
            loop.add_signal_handler(number, self.ask_to_stop)
        # A closed terminal sends it too: it must not end the fleet.
        loop.add_signal_handler(signal.SIGHUP, self._renew)

    def _renew(self) -> None:
        """The API anew, once the fleet is up."""
        if self._announced and not self._stop.is_set():
            self._renewal.ask()

    async def _bring_up(self, undo: AsyncExitStack) -> Readiness:
        await self._ground.clear()
        for text in await asyncio.to_thread(shared_cards, self.settings, self.state.root):
            self._herald.notice(text)
        for text in (*self._swaps, *self._posting.remarks()):
            self._herald.notice(text)
        doors = self._planner is None
        self.settings, store = await self._ground.lay(self.settings, undo, doors=doors, placements=self.placements)
        self._store = store
        undo.push_async_callback(self._stop_children, store)
        if self._planner is None:
            self._tending = self._tended(store)
            undo.push_async_callback(self._tending.close)
            self._start_children(await self._tending.prepare())
            self._tending.start()
        else:
            self._start_children()
        self._readiness = Readiness(self.settings, store, self._crew.children, host=self._host)
        return self._readiness

    def _start_children(self, berths: Sequence[Berth] = ()) -> None:
        password = self.state.secret(FLOWER_SECRET) if flower_url(self.settings) else ""
        if self._planner is not None:
            self._crew.begin(self._planner(self.settings, password))
            return
        end_s = engine_end_s(self.settings)
        self._crew.begin(
            plan(
                self.settings,
                environ=os.environ,
                flower_password=password,
                end_s=end_s,
                berths=berths,
                listener=self._ground.listener,
            )
        )

    def _tended(self, store: Store) -> Tending:
        """Who keeps the engine workers as the cards allow."""
        settings, end_s = self.settings, engine_end_s(self.settings)
        known = {card.id: card for card in self._posting.cards}
        given = self._given.model_copy(update={"workers": settings.workers})
        return Tending(
            Mender(settings, self._posting),
            self._crew,
            board=HostBoard(store, host=self._host),
            host=self._host,
            desk=SwapDesk(given, store, host=self._host, tell=self._herald.notice),
            trouble_of=lambda child: engine_failure(child, self._readiness.cards if self._readiness else {}),
            is_held=lambda child: is_held(child, self._readiness.cards if self._readiness else {}),
            watch=card_watch(settings, known),
            settling=Settling(known, settle_s=settings.devices.settle_s),
            spec_of=lambda berth: engine_worker(settings, berth, environ=os.environ, end_s=end_s),
            tell=self._herald.notice,
        )

    async def _watch(self, readiness: Readiness) -> None:
        """Start-up and the long time after it: look, write down what changed, stop when nothing can go on."""
        known, deadline = None, time.monotonic() + READY_LIMIT_S
        while not self._stop.is_set():
            await self._ground.look()
            await readiness.look()
            if (power := self._ground.power) is not None and power.asks:
                with suppress(StoreUnavailable):  # how they stood before holds
                    power.hear(await readiness.engine_states())
            if (seen := self._supervisor_record()) != known:
                known = seen
                self._write_run(seen)
            if not self._announced:
                judge_start(self._crew.children, readiness.cards)
                self._herald.progress(readiness.progress())
                self._announced = is_up(self._crew.children, readiness.cards) or time.monotonic() > deadline
                if self._announced:
                    self._crew.announced()
                    for text in absences(self._crew.children, readiness.cards):
                        self._herald.notice(text)
                    self._herald.tell("ready", fleet=self._fleet_report(readiness))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 4 * TICK_S if self._announced else TICK_S)

    async def _after_exit(self, child: Child, pid: int, returncode: int) -> None:
        """Its jobs go back to the queue at once, instead of when their lease runs out."""
        if child.spec.role in (Role.ENGINE, Role.READER) and pid and self._store is not None:
            with suppress(ViiworkError):  # else nobody would start it again; the leases run out by themselves
                await self._store.reap_host(host=self._host, pid=pid, crashed=not child.stopping)
        if text := death_notice(child, returncode):
            self._herald.notice(text)

    async def _stop_children(self, store: Store) -> None:
        """The API refuses new work, engines drain, then readers, the API and Flower end. Who joined closes nothing."""
        self._herald.progress("stopping: no new work is taken, running work is finished")
        if not self.settings.joined:
            with suppress(StoreUnavailable):
                await store.set_closing(True)
        await self._renewal.close()
        await self._crew.end_all()

    def _supervisor_record(self) -> SupervisorRecord:
        drained = self._tending.drained if self._tending is not None else {}
        return supervisor_record(self.settings, self._crew.children, drained=drained)

    def _write_run(self, record: SupervisorRecord) -> None:
        server, name = self._ground.record, self.settings.fleet.name
        with suppress(OSError):  # a full disk must not end a fleet that runs
            self.state.write_run(Run(fleet=name, api_url=record.api_url, server=server, supervisor=record))

    def _fleet_report(self, readiness: Readiness) -> FleetReport:
        return fleet_report(self.settings, self._crew.children, server=self._ground.row(), cards=readiness.cards)


async def keep_up(settings: Settings, *, report: Report) -> None:
    """One run in a process of its own. Whoever signals again once all is stopped does not end it while it leaves."""
    await Supervisor(settings, report=report).run()
    for number in ENDS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def keep_no_dumps() -> None:
    """Memory that a dying process leaves on the disk would be full of documents, an engine's of gigabytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _disk_error(error: OSError) -> StartupError:
    reason = os.strerror(error.errno) if error.errno else "a file cannot be used"
    return StartupError(f"{error.filename or 'the state directory'}: {reason}.")
