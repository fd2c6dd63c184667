"""Checks of how each card is: its health, its memory and who holds it, its link, its power cap. Each is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from viiwork.devices.base import Link
from viiwork.doctor.cardfacts import CardFacts, CardsFacts
from viiwork.doctor.finding import GIB, Finding, fail, in_units, ok, warn

SPARE = 0.10
"""Of a card's memory: vLLM takes 0.90 of it by default, and does not start if that is not free."""
SMALL_BYTES = GIB
"""A desktop may hold so much of a card that nobody computes on."""
BUSY_PERCENT = 5.0
"""From here on a card is at work, and its link at its full speed."""
MANY_WATTS = 1000.0
"""Of the cards alone; an assumption: with the host and the supply's losses it is near what one circuit bears."""


def health(facts: CardsFacts) -> Finding:
    """Cards whose driver starts them again, or that have left the bus."""
    ill = [f"{card.name} is {card.reading.state}" for card in facts.cards if card.reading.state != "ok"]
    if not ill:
        return ok("Card health", f"{len(facts.cards)} answer")
    advice = (
        "Look at `dmesg` for a BACO reset or `qcm fence wait`: after one it mostly comes back, after a second leave "
        "the card out; `ret -62` and a card that is gone need a restart of the computer."
    )
    return (fail if facts.wanted else warn)("Card health", ", ".join(ill), advice)


def memory(facts: CardsFacts) -> Finding:
    """What others hold of the cards, an engine that was started cannot have."""
    known = [card for card in facts.cards if card.reading.vram_used_bytes is not None and card.device.vram_bytes]
    taken = [card for card in known if others_bytes(card, running=facts.running) > SMALL_BYTES]
    if not taken:
        free = [card.device.vram_bytes - (card.reading.vram_used_bytes or 0) for card in known]
        return ok("Card memory", f"{in_units(min(free))} free or more on each" if free else "the cards do not tell")
    found = "; ".join(said_of_memory(card, others_bytes(card, running=facts.running)) for card in taken)
    advice = (
        "End what is left over with kill -TERM and wait until the memory is free: SIGKILL of an engine that spans "
        "several cards can wedge them. `viiwork down` cleans up after a fleet."
    )
    full = any(others_bytes(card, running=facts.running) > SPARE * card.device.vram_bytes for card in taken)
    return (fail if full and facts.wanted else warn)("Card memory", found, advice)


def others_bytes(card: CardFacts, *, running: bool) -> int:
    """What is not this fleet's. While its engines run, memory that nobody is known to hold is taken for theirs."""
    told = sum(holder.vram_bytes for holder in card.strangers)
    return told if running else max(told, (card.reading.vram_used_bytes or 0) - card.ours_bytes)


def said_of_memory(card: CardFacts, size_bytes: int) -> str:
    """`gpu0: 14.0 of 16.0 GiB held by 4711 (VLLM::EngineCor)`."""
    people = ", ".join(f"{one.pid} ({one.name or 'not seen from here'})" for one in card.strangers)
    who = people or "processes that this user cannot see"
    return f"{card.name}: {in_units(size_bytes)} of {in_units(card.device.vram_bytes)} held by {who}"


def links(facts: CardsFacts) -> Finding:
    """A narrow link costs little where each card has a model of its own, and much where they share one."""
    narrow = [card for card in facts.cards if card.reading.link and is_narrow(card.reading.link)]
    slow = [card for card in facts.cards if card.reading.link and is_slow(card.reading.link)]
    at_work = [card for card in slow if (card.reading.busy_percent or 0.0) >= BUSY_PERCENT]
    if narrow or at_work:
        found = "; ".join(f"{card.name} has {written(card.reading.link)}" for card in union(narrow, at_work))
        return warn("Card links", found, advice_of_links(narrow))
    if slow:
        found = "; ".join(f"{card.name} has {written(card.reading.link)}" for card in slow)
        return ok("Card links", f"{found}: a card at rest may clock its link down; look again under load")
    told = dict.fromkeys(written(card.reading.link) for card in facts.cards)
    return ok("Card links", ", ".join(told) or "the cards do not tell")


def advice_of_links(narrow: Iterable[CardFacts]) -> str:
    """What it means, by what others measured on such links."""
    if any((card.reading.link and card.reading.link.width) == 1 for card in narrow):
        return (
            "A riser of one lane does for a model on each card, which only loads more slowly. Layers split over 2 such "
            "cards cost 2 to 13 %, over 4 of them 7 to 20 %; tensor parallel wants x8 or more."
        )
    return "One model a card is not slowed by it; tensor parallel is. Try another slot or riser, or the board's setup."


def union(*parts: Iterable[CardFacts]) -> list[CardFacts]:
    """Each card once."""
    return list({card.name: card for part in parts for card in part}.values())


def is_narrow(link: Link) -> bool:
    """Fewer lanes than the card could use."""
    return None not in (link.width, link.max_width) and (link.width or 0) < (link.max_width or 0)


def is_slow(link: Link) -> bool:
    """A lower generation than the card could use."""
    return None not in (link.gts, link.max_gts) and (link.gts or 0) < (link.max_gts or 0)


def written(link: Link | None) -> str:
    """`x1 of x16 at 8 GT/s`."""
    if link is None or link.width is None:
        return "a link of which nothing is told"
    lanes = f"x{link.width} of x{link.max_width}" if is_narrow(link) else f"x{link.width}"
    speed = f"{link.gts:g} of {link.max_gts:g}" if is_slow(link) else f"{link.gts:g}" if link.gts else "unknown"
    return f"{lanes} at {speed} GT/s"


def caps(facts: CardsFacts) -> Finding:
    """At their default caps many cards draw more than a circuit bears, for a few per cent of speed."""
    told = [card.reading for card in facts.cards if card.reading.cap_w is not None]
    if not told:
        return ok("Power caps", "the cards do not tell")
    total_w = sum(reading.cap_w or 0.0 for reading in told)
    found = f"{total_w:.0f} W over {len(told)} cards ({spread([reading.cap_w or 0.0 for reading in told])})"
    default = [reading for reading in told if reading.cap_default_w and (reading.cap_w or 0.0) >= reading.cap_default_w]
    if len(default) == len(told) and total_w >= MANY_WATTS and facts.gfx906:
        advice = (
            "`viiwork power set 180 --all` at every start: for a 27B model on two cards 225 W gave 3.6 % more tokens a "
            "second than 150 W, and one host of ten cards has kept to 180 W since its breaker tripped."
        )
        return warn("Power caps", f"{found}, the default", advice)
    return ok("Power caps", f"{found}, the default" if len(default) == len(told) else found)


def spread(watts: list[float]) -> str:
    """`180 W each`, or from where to where."""
    low, high = min(watts), max(watts)
    return f"{low:.0f} W each" if low == high else f"{low:.0f} to {high:.0f} W each"


CARD_CHECKS: tuple[Callable[[CardsFacts], Finding], ...] = (health, memory, links, caps)
