"""The power room of a host: looks at the cards in every period, writes caps, and tells the workers what they may do.

A thread of its own, since a driver in trouble may hold up whoever asks it: then `power.json` grows too old, and the
workers know what to do. What is decided is decided in `viiwork.power`, without any I/O.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo

from viiwork.devices import Devices, open_devices
from viiwork.errors import ViiworkError
from viiwork.fleet.capkeeper import CapKeeper, Placements, Sight, adopted
from viiwork.fleet.cards import card_ids
from viiwork.power.budget import may_load
from viiwork.power.control import to_write
from viiwork.power.loads import Loads
from viiwork.power.needs import caps_cards, rules
from viiwork.power.ruling import Ruling, ruled
from viiwork.power.schedule import Regime, schedule_of
from viiwork.power.timetable import Hours, hours_at
from viiwork.power.told import told_hours, with_watts
from viiwork.power.zone import zone_of
from viiwork.powerfile import PowerFile, read_power, remove_power, write_power
from viiwork.recipes.cards import numbers
from viiwork.settings import Settings

FIRST_S = 60.0
"""The longest wait for the first period: `sudo` may take half a minute to refuse."""
LAST_S = 40.0

Tell = Callable[[str], None]


class KnownCards:
    """Each engine worker's cards: as they were planned, else the one of its number once that is there."""

    def __init__(self, settings: Settings, placements: Callable[[], Placements]) -> None:
        self._settings = settings
        self._placements = placements
        self._found: dict[str, str] = {}

    def __call__(self) -> Placements:
        placements = {name: cards for name, cards in self._placements().items() if numbers(name)}
        if not all(cards or name in self._found for name, cards in placements.items()):
            self._found |= card_ids(self._settings)
        return {name: cards or tuple(filter(None, [self._found.get(name)])) for name, cards in placements.items()}


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
        self._schedule = schedule_of(settings.schedule, settings.power, zone=zone)
        self._placements = placements
        self._tell = tell
        self._now = now
        self._clock = clock
        self._keeper = CapKeeper(devices) if devices is not None and caps_cards(settings) else None
        self._hours: Hours | None = None
        self._ruling: Ruling | None = None
        self._told: PowerFile | None = None
        self._stuck = False
        """Whether caps could not be given back."""
        self._loads = Loads()
        self._states: Mapping[str, str] = {}
        self._heard_s = clock()
        self._period = 0
        self._said = self._trouble = ""
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Once this returns caps and budget are in force and workers are told; or it takes too long, and they wait."""
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def keep() -> None:
            self.adopt()
            self.turn()
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
        if self._keeper is None:
            return False
        start = () if self._ruling is None else self._ruling.allotment.start
        settled = self._loads.loaded.issuperset(start)
        return not settled or self._clock() - self._heard_s >= self._settings.power.control_s

    def hear(self, states: Mapping[str, str]) -> None:
        """How the engines stand, by their workers' names: whoever has loaded lets the next one begin."""
        self._heard_s = self._clock()
        if states != self._states:
            self._states = dict(states)
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
            self._stuck = True
        if not self._stuck:  # else whoever comes next gives them back by it
            remove_power(self._settings.state_dir)

    def adopt(self) -> None:
        """The caps as they were before a power room that was killed: else its own would be given back as theirs."""
        told = read_power(self._settings.state_dir)
        remove_power(self._settings.state_dir)  # nobody loads by what it let them
        if told is None or self._keeper is None or told.at_s > self._clock():
            return
        sight = self._keeper.look({"": tuple(told.before)})
        shown = {card.id: card.reading.cap_w for card in sight.cards}
        self._keeper.before |= adopted(told, shown.get)
        caps = {card: cap_w for card in self._keeper.before if (cap_w := shown.get(card)) is not None}
        self._told = PowerFile(at_s=told.at_s, believed_s=0.0, deals=True, caps=caps)
        self._note(self._keeper, caps)

    def _keep(self) -> None:
        next_s = self._clock() + self._settings.power.control_s
        while not self._stop.is_set():
            woken = self._wake.wait(max(0.0, next_s - self._clock()))
            self._wake.clear()
            if self._stop.is_set():
                break
            if not woken or self._clock() >= next_s:
                next_s = self._clock() + self._settings.power.control_s
                self.turn()
            else:
                self.turn(loads_alone=True)
        self._give_back()

    def turn(self, *, loads_alone: bool = False) -> None:
        """One period; or only whose turn it is to load, between two."""
        try:
            self._turn(loads_alone=loads_alone)
            self._trouble = ""
        except OSError as error:
            self._ail(f"The engine workers take nothing more: power.json cannot be written ({error.strerror}).")
        except Exception as error:  # noqa: BLE001 - the next period may go well, and workers notice that none was told
            self._ail(
                f"The engine workers take nothing more: dealing out the watts met a defect ({type(error).__name__})."
            )

    def _turn(self, *, loads_alone: bool) -> None:
        now, placements = self._now(), self._placements()
        self._hours = hours = hours_at(self._schedule, now, held=self._hours)
        self._period += not loads_alone
        if self._keeper is not None:
            if not loads_alone or self._ruling is None:
                self._ruling = self._rule(self._keeper, placements, hours.regime)
            self._let_load(self._keeper.look(placements), self._ruling)
            self._say(self._ruling.allotment.why)
        self._write(hours, placements, now)

    def _rule(self, keeper: CapKeeper, placements: Placements, regime: Regime) -> Ruling:
        """Decide and write; where a cap cannot be written, decide again without it."""
        while True:
            sight = keeper.look(placements)
            ruling = ruled(
                sight.cards,
                regime=regime,
                power=self._settings.power,
                before=self._ruling,
                others_w=sight.others_w,
                hot=sight.hot,
            )
            wanted = to_write(sight.cards, ruling.limits)
            if wanted:
                self._note(keeper, wanted)
            refused = keeper.write(wanted)
            if not refused:
                return ruling
            cards = ", ".join(keeper.name_of(card) for card in refused)
            self._tell(f"The power cap of {cards} cannot be written: {next(iter(refused.values()))}")

    def _note(self, keeper: CapKeeper, wanted: Mapping[str, float]) -> None:
        """Before it is done: else what the cards had would be lost with whoever is killed meanwhile."""
        keeper.note(wanted)
        last = PowerFile(at_s=self._clock(), believed_s=0.0, deals=True) if self._told is None else self._told
        spec = self._settings.devices.spec
        noted = {"before": dict(keeper.before), "wrote": dict(keeper.wrote), "devices": spec}
        with suppress(OSError):  # caps hold without it
            write_power(self._settings.state_dir, last.model_copy(update=noted))

    def _let_load(self, sight: Sight, ruling: Ruling) -> None:
        """The next ones, once their caps are seen to hold."""
        now_s, start = self._clock(), ruling.allotment.start
        self._loads = self._loads.seen(self._states).only(start)
        loading = self._loads.loading(self._states, now_s=now_s)
        at_once = self._settings.power.loads_at_once
        begun = self._loads.begun
        free = may_load(ruling.allotment, sight.cards, loading=loading, loaded=begun, at_once=at_once)
        self._loads = self._loads.let(free, now_s=now_s)

    def _write(self, hours: Hours, placements: Placements, now: datetime) -> None:
        told = told_hours(
            hours,
            zone=self._schedule.zone,
            now=now,
            now_s=self._clock(),
            control_s=self._settings.power.control_s,
            period=self._period,
        )
        if self._ruling is not None and self._keeper is not None:
            may, before = self._loads.begun, self._keeper.before
            spec = self._settings.devices.spec
            told = with_watts(told, self._ruling, workers=placements, may_load=may, before=before, devices=spec)
            told = told.model_copy(update={"wrote": dict(self._keeper.wrote)})
        write_power(self._settings.state_dir, told)
        self._told = told

    def _give_back(self) -> None:
        if self._keeper is None:
            return
        try:
            kept = self._keeper.restore()
        except (ViiworkError, OSError) as error:
            self._tell(f"The power caps stay as they are: {error}")
            self._stuck = True
            return
        self._stuck = bool(kept)
        if kept:
            cards = ", ".join(self._keeper.name_of(card) for card in kept)
            self._tell(f"The power caps of {cards} stay as they are: {next(iter(kept.values()))}")

    def _ail(self, text: str) -> None:
        if text != self._trouble:
            self._tell(text)
        self._trouble = text

    def _say(self, text: str) -> None:
        """Once, until it is something else."""
        if text and text != self._said:
            self._tell(f"{text[0].upper()}{text[1:]}.")
        self._said = text
