"""The power room of a host: a thread that keeps its periods, and hears how the engines stand.

A thread of its own, since a driver in trouble may hold up whoever asks it: then `power.json` grows too old, and the
workers know what to do.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo

from viiwork.devices import Devices, open_devices
from viiwork.fleet.capkeeper import CapKeeper, Placements
from viiwork.fleet.knowncards import KnownCards
from viiwork.fleet.powerperiods import PowerPeriods, Tell
from viiwork.power.needs import caps_cards, rules
from viiwork.power.schedule import schedule_of
from viiwork.power.zone import zone_of
from viiwork.powerfile import remove_power
from viiwork.settings import Settings

FIRST_S = 60.0
"""The longest wait for the first period: `sudo` may take half a minute to refuse."""
LAST_S = 40.0


def make_room(
    settings: Settings, *, placements: Callable[[], Placements], environ: Mapping[str, str], tell: Tell
) -> PowerRoom | None:
    """The power room that the settings ask for; None where there is nothing to watch. `tell` is called in its thread.

    Raises SettingsError for a time zone that is not known.
    """
    if not rules(settings):
        return None
    devices = open_devices(settings.devices.spec, state_dir=settings.state_dir) if caps_cards(settings) else None
    zone = zone_of(settings.power.timezone, environ=environ)
    return PowerRoom(settings, devices=devices, placements=KnownCards(settings, placements), zone=zone, tell=tell)


class PowerRoom:
    """`await room.open()` before the first worker starts, `hear` how engines stand, `await room.close()` at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        devices: Devices | None,
        placements: Callable[[], Placements],
        zone: tzinfo,
        tell: Tell,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._clock = clock
        self._caps = devices is not None and caps_cards(settings)
        self.periods = PowerPeriods(
            settings,
            schedule_of(settings.schedule, settings.power, zone=zone),
            keeper=CapKeeper(devices) if devices is not None and self._caps else None,
            placements=placements,
            tell=tell,
            now=now,
            clock=clock,
        )
        """What its thread does; for nobody else once it is open."""
        self._given_back = True
        self._heard_s = clock()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Once this returns caps and budget are in force and workers are told; or it takes too long, and they wait."""
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def keep() -> None:
            self.periods.adopt()
            self.periods.turn()
            loop.call_soon_threadsafe(begun.set)
            self._keep()

        self._thread = threading.Thread(target=keep, name="power room", daemon=True)
        self._thread.start()
        try:
            await asyncio.wait_for(begun.wait(), FIRST_S)
        except TimeoutError:
            self._tell("The cards do not answer: no engine starts until their watts are known.")

    @property
    def asks(self) -> bool:
        """Whether it wants to hear now: often while an engine loads or waits for that, else once a period."""
        if not self._caps:
            return False
        return not self.periods.settled or self._clock() - self._heard_s >= self._settings.power.control_s

    def hear(self, states: Mapping[str, str]) -> None:
        """How the engines stand, by their workers' names: whoever has loaded lets the next one begin."""
        self._heard_s = self._clock()
        if states != self.periods.states:
            self.periods.states = dict(states)
            self._wake.set()

    async def close(self) -> None:
        """Nobody works any more: the cards get the caps back that they had, and nothing is told any more.

        Where that cannot be done `power.json` stays, and says what they had.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        self._wake.set()
        await asyncio.to_thread(thread.join, LAST_S)
        if thread.is_alive():
            self._tell("The cards do not answer: their power caps stay as they are.")
        elif self._given_back:  # else whoever comes next gives them back by it
            remove_power(self._settings.state_dir)

    def _keep(self) -> None:
        next_s = self._clock() + self._settings.power.control_s
        while not self._stop.is_set():
            woken = self._wake.wait(max(0.0, next_s - self._clock()))
            self._wake.clear()
            if self._stop.is_set():
                break
            if not woken or self._clock() >= next_s:
                next_s = self._clock() + self._settings.power.control_s
                self.periods.turn()
            else:
                self.periods.turn(loads_alone=True)
        self._given_back = self.periods.give_back()
