"""Whose cards a command shows: those that were named, those of the fleet that runs here, else this computer's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from viiwork.cli.screen import one_line, say
from viiwork.devices import Devices, open_devices
from viiwork.devices.choose import AUTO
from viiwork.fleet.running import neighbours_with_cards, running_here, simulated_cards
from viiwork.settings import Settings

ADVICE = "With a card in this computer: load its driver, and let this user open its devices (groups video and render)."
EXAMPLE = "simulated:4xRadeonVII"


@dataclass(frozen=True, slots=True)
class CardSource:
    """Which cards, and by whose word."""

    spec: str
    state_dir: Path
    by: str
    """`--devices`, or where else it was looked."""
    fleet: str = ""
    """The fleet that runs here with these simulated cards."""

    def open(self) -> Devices:
        """Raises UsageError for a word that says nothing."""
        return open_devices(self.spec, state_dir=self.state_dir)

    def remark(self) -> str:
        """Nobody should take simulated cards for this computer's; empty where nothing is to be said."""
        if not self.fleet:
            return ""
        whose = f"Simulated cards ({self.spec}) of the fleet '{self.fleet}', which runs here."
        return one_line(f"{whose} This computer's own: --devices {AUTO}")

    def explain(self, found: Devices, *, command: str) -> None:
        """Why there is no card, what was looked at, and what to do."""
        for line in ("No cards were found.", *found.why_none().splitlines(), self.by):
            say(line)
        for fleet, spec in neighbours_with_cards(self.state_dir) if not self.fleet else ():
            say(one_line(f"The fleet '{fleet}' runs here with {spec}: viiwork {command} --fleet {fleet}"))
        say(ADVICE)
        say(f"`viiwork doctor` checks more. To try it without a card: viiwork {command} --devices {EXAMPLE}")


def card_source(settings: Settings, *, named: bool) -> CardSource:
    """`named`: by --devices, which goes before the fleet that runs; that goes before the settings."""
    spec, place = settings.devices.spec, settings.state_dir
    run = None if named else running_here(place)
    if simulated := simulated_cards(run):
        return CardSource(simulated, place, by="Looked at: the fleet that runs here.", fleet=run.fleet if run else "")
    if named:
        return CardSource(spec or AUTO, place, by=f"Looked at: {spec or AUTO}, as --devices says.")
    whose = (
        f"{spec}, as devices.spec says"
        if spec
        else "this computer's own cards; no setting and no --devices names others"
    )
    fleet = "and the fleet that runs here has none that are simulated" if run else f"and no fleet runs from {place}"
    return CardSource(spec or AUTO, place, by=f"Looked at: {whose}; {fleet}.")
