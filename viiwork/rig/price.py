"""What work costs on one's own machine, and against a price that somebody names. What is not known has none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000
HOURS_A_YEAR = 8760.0
JOULES_PER_KWH = 3_600_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner says. Nothing of it is made up: what is None was not said."""

    currency: str
    supply_efficiency: float
    base_w: float
    """At the wall, beside the cards, of all machines together."""
    tariff_per_kwh: float | None = None
    hardware_price: float | None = None
    years: float | None = None
    """Over which the hardware is written off, by hours of the calendar."""
    cloud_in: float | None = None
    cloud_out: float | None = None
    """For a million tokens of prompts, and of answers."""
    page_tokens: int = 500
    """Of a prompt: how many make a page. An assumption unless it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the machine does in a second, all of it busy."""

    prompt_tokens_per_s: float
    output_tokens_per_s: float
    cards_w: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Money in the currency of the terms."""

    wall_w: float | None
    energy_per_hour: float | None
    hardware_per_hour: float | None
    per_million_tokens: float | None
    """Of prompts and answers together, in the proportion that was measured."""
    per_million_output_tokens: float | None
    """As if prompts were free: to compare with figures that count answers alone."""
    per_1000_pages: float | None
    cloud_per_million_tokens: float | None
    """The named price, for the same proportion of prompts and answers."""
    cloud_per_1000_pages: float | None
    break_even_hours: float | None
    """Of full work until the hardware has cost less; None where it is not known."""
    never: bool
    """The electricity alone costs as much as the named price, so there is no such moment."""


def price(work: Work, terms: Terms) -> Price:
    """The price of this work. Electricity and, where it was said, the hardware's share."""
    wall_w = at_the_wall_w(work.cards_w, terms)
    energy = _times(None if wall_w is None else wall_w / 1000, terms.tariff_per_kwh)
    hardware = hardware_per_hour(terms)
    own = None if energy is None else energy + (hardware or 0.0)
    cloud = cloud_per_hour(work, terms)
    output_m, all_m = millions_per_hour(work)
    pages_k = 3600 * work.prompt_tokens_per_s / terms.page_tokens / 1000
    saved = None if cloud is None or energy is None or terms.hardware_price is None else cloud - energy
    return Price(
        wall_w=wall_w,
        energy_per_hour=energy,
        hardware_per_hour=hardware,
        per_million_tokens=_over(own, all_m),
        per_million_output_tokens=_over(own, output_m),
        per_1000_pages=_over(own, pages_k),
        cloud_per_million_tokens=_over(cloud, all_m),
        cloud_per_1000_pages=_over(cloud, pages_k),
        break_even_hours=_over(terms.hardware_price, saved) if saved is not None and saved > 0 else None,
        never=saved is not None and saved <= 0,
    )


def at_the_wall_w(cards_w: float | None, terms: Terms) -> float | None:
    """What the supply draws for cards that take so much, with what the machine takes beside them."""
    return None if cards_w is None else terms.base_w + cards_w / terms.supply_efficiency


def hardware_per_hour(terms: Terms) -> float | None:
    """What an hour of owning it costs, worked or idle."""
    if terms.hardware_price is None or not terms.years:
        return None
    return terms.hardware_price / (terms.years * HOURS_A_YEAR)


def cloud_per_hour(work: Work, terms: Terms) -> float | None:
    """What the work of an hour would have cost at the named price; both parts of it are needed."""
    if terms.cloud_in is None or terms.cloud_out is None:
        return None
    a_second = work.prompt_tokens_per_s * terms.cloud_in + work.output_tokens_per_s * terms.cloud_out
    return 3600 * a_second / MILLION


def millions_per_hour(work: Work) -> tuple[float, float]:
    """Tokens of answers, and of prompts and answers."""
    output = 3600 * work.output_tokens_per_s / MILLION
    return output, output + 3600 * work.prompt_tokens_per_s / MILLION


def tokens_per_joule(tokens_per_s: float | None, watts: float | None) -> float | None:
    """Tokens of answers for each joule."""
    return _over(tokens_per_s, watts)


def _times(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _over(money: float | None, amount: float | None) -> float | None:
    return None if money is None or not amount else money / amount
