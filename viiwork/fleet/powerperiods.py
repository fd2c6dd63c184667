"""One period of a power room after the other: look at the cards, write caps, tell the workers by `power.json`.

What is decided is decided in `viiwork.power`, without any I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

from viiwork.errors import ViiworkError
from viiwork.fleet.capkeeper import CapKeeper, Placements, Sight, adopted
from viiwork.power.budget import may_load
from viiwork.power.control import to_write
from viiwork.power.loads import Loads
from viiwork.power.ruling import Ruling, ruled
from viiwork.power.schedule import Regime, Schedule
from viiwork.power.timetable import Hours, hours_at
from viiwork.power.told import told_hours, with_watts
from viiwork.powerfile import PowerFile, read_power, remove_power, write_power
from viiwork.settings import Settings

Tell = Callable[[str], None]


class PowerPeriods:
    """`adopt` what a killed one left, `turn` after `turn`, and `give_back` in the end: all on one thread."""

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        *,
        keeper: CapKeeper | None,
        placements: Callable[[], Placements],
        tell: Tell,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._schedule = schedule
        self._keeper = keeper
        self._placements = placements
        self._tell = tell
        self._now = now
        self._clock = clock
        self.states: Mapping[str, str] = {}
        """How the engines stand, by their workers' names: to be set from outside."""
        self._hours: Hours | None = None
        self._ruling: Ruling | None = None
        self._told: PowerFile | None = None
        self._loads = Loads()
        self._period = 0
        self._said = self._trouble = ""

    @property
    def settled(self) -> bool:
        """Whether all that may run have loaded; may be asked from any thread."""
        return self._ruling is None or self._loads.loaded.issuperset(self._ruling.allotment.start)

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

    def give_back(self) -> bool:
        """The caps that the cards had; whether all of them have them now."""
        if self._keeper is None:
            return True
        try:
            kept = self._keeper.restore()
        except (ViiworkError, OSError) as error:
            self._tell(f"The power caps stay as they are: {error}")
            return False
        if kept:
            cards = ", ".join(self._keeper.name_of(card) for card in kept)
            self._tell(f"The power caps of {cards} stay as they are: {next(iter(kept.values()))}")
        return not kept

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
        self._loads = self._loads.seen(self.states, now_s=now_s).only(start)
        loading = self._loads.loading(self.states, now_s=now_s)
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

    def _ail(self, text: str) -> None:
        if text != self._trouble:
            self._tell(text)
        self._trouble = text

    def _say(self, text: str) -> None:
        """Once, until it is something else."""
        if text and text != self._said:
            self._tell(f"{text[0].upper()}{text[1:]}.")
        self._said = text
