"""What a fleet's processes stand on: laid before the first of them starts, gone after the last has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from viiwork.api.gate import check_keys
from viiwork.fleet.herald import Herald
from viiwork.fleet.hostname import HostName
from viiwork.fleet.joining import HeadWatch, check_blobs
from viiwork.fleet.leftcaps import give_back
from viiwork.fleet.leftovers import Leftovers
from viiwork.fleet.ports import settle_ports
from viiwork.fleet.powerroom import PowerRoom, make_room
from viiwork.fleet.report import ProcessReport
from viiwork.fleet.serverkeeper import ServerKeeper
from viiwork.listening import listen
from viiwork.power.needs import caps_cards, in_vain
from viiwork.settings import Settings
from viiwork.statedir import ServerRecord, StateDir
from viiwork.store import Store, embedded, open_store
from viiwork.store.server_check import check_server

ORPHAN_GRACE_S = 40.0
"""Workers finish what they have in hand, for up to half a minute. Engines that are servers get what they need."""
HURRIED_GRACE_S = 0.5


class Groundwork:
    """The API's socket, the power room, the embedded server, this host's name, and the look at whom it joined."""

    def __init__(self, state: StateDir, *, host: str, herald: Herald, hurry: asyncio.Event) -> None:
        self._state = state
        self._host = host
        self._herald = herald
        self._hurry = hurry
        self._server: ServerKeeper | None = None
        self._name: HostName | None = None
        self._head: HeadWatch | None = None
        self._orphans: list[int] = []
        self.listener: int | None = None
        self.power: PowerRoom | None = None

    @property
    def record(self) -> ServerRecord | None:
        """Of the embedded server, if there is one."""
        return self._server.record if self._server is not None else None

    def row(self) -> ProcessReport | None:
        """The same for people."""
        return self._server.row() if self._server is not None else None

    async def clear(self) -> None:
        """End what a killed `up` left behind."""
        leftovers = self._leftovers()
        if await asyncio.to_thread(leftovers.present):
            self._herald.progress("ending what an earlier run left behind")
        self._orphans = await asyncio.to_thread(leftovers.end, grace_s=ORPHAN_GRACE_S)

    async def lay(
        self,
        settings: Settings,
        undo: AsyncExitStack,
        *,
        doors: bool,
        placements: Callable[[], Mapping[str, tuple[str, ...]]],
    ) -> tuple[Settings, Store]:
        """Answers the settings with the ports that were found. `doors`: whether the API has a socket of ours."""
        settings = settings if settings.joined else settle_ports(settings)
        if doors and not settings.joined:
            self._open_door(settings, undo)
        undo.callback(self._forget_run)
        await self._open_power_room(settings, undo, placements)
        await self._start_server(settings, undo)
        undo.push_async_callback(self._end_stragglers)
        store = await open_store(settings)
        undo.push_async_callback(store.close)
        self._name = HostName(store, self._state, host=self._host)
        await self._name.claim()
        undo.push_async_callback(self._name.release)
        if not settings.joined:
            await check_keys(settings, store)
        else:
            await check_blobs(settings, store)
            self._head = HeadWatch(store, tell=self._herald.notice)
        await self._greet(settings, store)
        return settings, store

    async def look(self) -> None:
        """Whether it still holds; what can be mended is."""
        if self._server is not None:
            await self._server.look()
        if self._name is not None:
            await self._name.keep()
        if self._head is not None:
            await self._head.look()

    def _open_door(self, settings: Settings, undo: AsyncExitStack) -> None:
        """The API's socket stays open while its processes come and go: who connects meanwhile waits a moment."""
        listener = listen(settings.api.host, settings.api.port)
        undo.callback(listener.close)
        self.listener = listener.fileno()

    async def _open_power_room(
        self, settings: Settings, undo: AsyncExitStack, placements: Callable[[], Mapping[str, tuple[str, ...]]]
    ) -> None:
        """Before anything could load; it ends after the last engine has, since what still runs must be held to it."""
        if text := in_vain(settings):
            self._herald.notice(text)
        tell = self._herald.from_afar("notice")
        if not caps_cards(settings):
            await asyncio.to_thread(give_back, settings.state_dir, tell=tell)
        self.power = make_room(settings, placements=placements, environ=os.environ, tell=tell)
        if self.power is not None:
            undo.push_async_callback(self.power.close)
            await self.power.open()

    async def _start_server(self, settings: Settings, undo: AsyncExitStack) -> None:
        if settings.redis.url != "embedded":
            await asyncio.to_thread(embedded.end_server, self._state)  # left by a run with other settings
            return
        self._herald.progress("starting the embedded Redis server")
        self._server = ServerKeeper(settings, tell=self._herald.notice)
        undo.push_async_callback(self._server.stop)
        await self._server.start()
        if self._server.adopted:
            self._herald.notice("The Redis server of an earlier run is still alive and was taken over, with its data.")

    async def _greet(self, settings: Settings, store: Store) -> None:
        """Open the doors again, and give the orphans' jobs back at once."""
        for concern in (await check_server(store.client)).concerns:
            self._herald.notice(concern)
        if not settings.joined:
            await store.set_closing(False)
        for pid in self._orphans:
            await store.reap_host(host=self._host, pid=pid, crashed=False)  # it was we who ended them
        mine = [name for name in await store.quarantined() if name.endswith(f"@{self._host}")]
        if mine:  # without a name it lifts all
            await store.lift_quarantine(*mine)  # a person has looked at this host; of other hosts nobody knows that

    async def _end_stragglers(self) -> None:
        """What outlived the process that started it: helpers in sessions of their own, engines and their guards."""
        grace_s = HURRIED_GRACE_S if self._hurry.is_set() else ORPHAN_GRACE_S
        await asyncio.to_thread(self._leftovers().end, grace_s=grace_s)

    def _leftovers(self) -> Leftovers:
        """They end in a thread, and tell of it in ours."""
        return Leftovers(self._state, tell=self._herald.from_afar("progress"))

    def _forget_run(self) -> None:
        if embedded.running(self._state) is None:
            self._state.run_file.unlink(missing_ok=True)
