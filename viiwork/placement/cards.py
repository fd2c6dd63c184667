"""The cards that a plan is made for: those of this machine, or `4xRadeonVII@x1`, which nobody needs to own yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from viiwork.devices import Device, Link, Reading
from viiwork.devices.kinds import MOST_CARDS, CardKind, card_kinds
from viiwork.devices.makers import check_one_maker, maker_of
from viiwork.errors import UsageError

LINK = re.compile(r"(?:gen(?P<generation>[1-5]))?x(?P<lanes>1|2|4|8|16)", re.IGNORECASE)
GTS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0}
"""Gigatransfers a second and lane of each generation of PCIe."""
PAYLOAD = 0.82
"""Of 8 bits a byte: 13.2 GB/s were measured over 16 lanes of PCIe 3, 6.5 over 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCard:
    """One card, as far as a plan goes by it."""

    id: str
    index: int
    kind: str
    """What it is called: `Radeon VII`."""
    arch: str
    vram_bytes: int
    link: Link | None = None
    trouble: str = ""
    """Why nothing may be placed on it; empty where something may."""

    @property
    def label(self) -> str:
        """The worker of it: `gpu2`."""
        return f"gpu{self.index}" if self.index >= 0 else self.id

    @property
    def link_bytes_s(self) -> float | None:
        """What its link carries; None where nobody tells.

        By its lanes as they are and the speed that it can have: an idle link clocks down, a riser has few lanes always.
        """
        return None if self.link is None else _carried_bytes_s(self.link)


def cards_of(seen: Iterable[tuple[Device, Reading]]) -> tuple[PlanCard, ...]:
    """Cards of a machine, each with how it is now."""
    return tuple(
        PlanCard(
            id=device.id,
            index=device.index,
            kind=device.name,
            arch=device.arch,
            vram_bytes=device.vram_bytes,
            link=reading.link,
            trouble=_trouble(device, reading),
        )
        for device, reading in seen
    )


def cards_named(written: str) -> tuple[PlanCard, ...]:
    """Cards of a list such as `4xRadeonVII+2xMI50-32GB`, a part with its link after `@`: `@x1`, `@gen2x4`.

    Without one they have that of their kind, without a generation that generation. Raises UsageError, as `viiwork up`
    does also for cards of two makers.
    """
    parts = [(part.strip(), _part(part.strip())) for part in written.split("+")]
    found = [each for _, cards in parts for each in cards]
    if len(found) > MOST_CARDS:
        raise UsageError(f"{written}: these are {len(found)} cards.", hint=f"{MOST_CARDS} at most.", param="cards")
    check_one_maker((maker_of(kind.arch) for kind, _ in found), whose="these are", hint=_apart(parts), param="cards")
    return tuple(
        PlanCard(id=f"card{index}", index=index, kind=kind.name, arch=kind.arch, vram_bytes=kind.vram_bytes, link=link)
        for index, (kind, link) in enumerate(found)
    )


def _apart(parts: Sequence[tuple[str, Sequence[tuple[CardKind, Link]]]]) -> str:
    """The same cards, those of each maker for themselves."""
    makers: dict[str, list[str]] = {}
    for part, cards in parts:
        makers.setdefault(maker_of(cards[0][0].arch), []).append(part)
    lists = " or ".join(f"--cards {'+'.join(each)}" for each in makers.values())
    return f"Choose with {lists}; another fleet may have the others."


@lru_cache(maxsize=256)
def _carried_bytes_s(link: Link) -> float | None:
    gts = max(link.gts or 0.0, link.max_gts or 0.0)
    return gts * link.width / 8 * PAYLOAD * 1e9 if gts and link.width else None


def _trouble(device: Device, reading: Reading) -> str:
    if reading.state != "ok":
        return {"resetting": "its driver starts it again", "gone": "it has left the bus"}[reading.state]
    if not device.openable:
        return "this user may not open it (groups video and render)"
    return "" if device.vram_bytes else "nobody tells how much memory it has"


def _part(part: str) -> list[tuple[CardKind, Link]]:
    listed, at, link = part.partition("@")
    return [(kind, _link(link.strip(), kind) if at else kind.link) for kind in card_kinds(listed, option="cards")]


def _link(written: str, kind: CardKind) -> Link:
    found = LINK.fullmatch(written)
    if found is None:
        hint = "After @ stand the lanes of each card's link, and its generation if wanted: 4xRadeonVII@x1, @gen2x4."
        raise UsageError(f"{written!r} in the list of cards is no link.", hint=hint, param="cards")
    gts = GTS[int(found["generation"])] if found["generation"] else kind.link.gts
    return Link(gts, int(found["lanes"]))
