"""What one model in the place of another would come to: who would know of it, what ends and begins, and whose cards
that takes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from viiwork.errors import NothingFits
from viiwork.fleet.berths import Berth
from viiwork.fleet.mending import Change, Mender, model_of

TAKE_FLAG = "--take-cards"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A swap that could be carried out."""

    mender: Mender
    """Who knows of it, once it is."""
    change: Change
    goes: str
    comes: str
    """The alias of either."""
    told: str
    """For people: on which cards it goes, what that takes from whom, and what is left over."""

    @property
    def robbed(self) -> tuple[Berth, ...]:
        """Workers of other models that would have to go."""
        return tuple(berth for berth in self.change.ended if model_of(berth) != self.goes)


def exchange_of(before: Mender, after: Mender, change: Change, *, goes: str, comes: str) -> Exchange:
    """With its sentence."""
    told = _told(change, before.berths, after.berths, goes=goes, comes=comes)
    return Exchange(after, change, goes, comes, told)


def check_taking(found: Exchange, *, allowed: bool) -> None:
    """Raises NothingFits where cards of other models are needed, and nobody said that they may be taken."""
    if found.robbed and not allowed:
        whose = ", ".join(sorted({model_of(berth) for berth in found.robbed}))
        message = f"{found.comes} would need cards of {whose}: {found.told}"
        raise NothingFits(message, hint=f"Nothing was changed. With {TAKE_FLAG} it takes them.")


def _told(change: Change, before: Sequence[Berth], after: Sequence[Berth], *, goes: str, comes: str) -> str:
    had, has = _holders(before), _holders(after)
    new = [card for card, model in has.items() if model == comes]
    idle = [card for card, model in had.items() if model == goes and card not in has]
    fresh = [card for card in new if card not in had]
    others = [f"{model_of(each)} leaves {each.name}" for each in change.ended if model_of(each) != goes]
    others += [f"{model_of(each)} begins on {each.name}" for each in change.started if model_of(each) != comes]
    on, off = _on(after, comes), _on(before, goes)
    parts = [f"{comes} goes on {on}, where {goes} is" if on == off else f"{comes} goes on {on}; {goes} leaves {off}"]
    parts += others
    parts += [f"{_names(fresh)}, which nobody had, {_are(fresh)} used as well"] if fresh else []
    parts += [f"{_names(idle)} {_are(idle)} left unused"] if idle else []
    return "; ".join(parts) + "."


def _holders(berths: Iterable[Berth]) -> dict[str, str]:
    """Which model has which card, by `gpu2`."""
    return {card: model_of(berth) for berth in berths for card in berth.name.split("+")}


def _on(berths: Iterable[Berth], model: str) -> str:
    return ", ".join(berth.name for berth in berths if model_of(berth) == model) or "no card"


def _names(cards: Sequence[str]) -> str:
    return " and ".join(cards) if len(cards) < 3 else ", ".join(cards)


def _are(cards: Sequence[str]) -> str:
    return "is" if len(cards) == 1 else "are"
