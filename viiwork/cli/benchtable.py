"""What `viiwork bench` found, for people. What is not known is a dash, never a 0."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from viiwork.cli.facts import facts_view
from viiwork.cli.screen import one_line, plain
from viiwork.rig.outcome import Beside, CardKind, Outcome, Step, Waits
from viiwork.rig.price import Price, Terms, tokens_per_joule
from viiwork.rig.published import Published
from viiwork.rig.spread import Spread, median_of

UNKNOWN = "-"


def bench_view(outcome: Outcome, price: Price, terms: Terms, published: Published) -> RenderableType:
    """All of it, from the head to what others published."""
    parts: list[RenderableType] = [head(outcome)]
    if outcome.simulated:
        parts.append(plain("SIMULATED: no card and no model ran; every figure is arithmetic.", "bold yellow"))
    if outcome.in_flight:
        parts += [plain("One worker, more and more jobs in flight", "bold"), steps(outcome.in_flight)]
    if outcome.crews:
        parts += [plain("More and more workers, each with all of its slots", "bold"), steps(outcome.crews)]
    if outcome.beside is not None:
        parts += [
            plain(f"{outcome.beside.people} people beside a batch, on all workers", "bold"),
            beside(outcome.beside),
        ]
    parts += [plain("What it costs", "bold"), money(outcome, price, terms)]
    parts += [plain(f"· {sentence}", "yellow") for sentence in outcome.left_out]
    parts += [plain(f"Figures of others, as of {published.dated}; other models, prompts and settings", "bold")]
    sources = (plain(f"{name}: {source}", "dim") for name, source in published.sources.items())
    return Group(*parts, others(published), *sources)


def head(outcome: Outcome) -> Table:
    """What was measured."""
    tokens = outcome.tokens
    return facts_view(
        [
            ("Model", one_line(outcome.model)),
            ("Engine", one_line(outcome.engine)),
            ("Workers", f"{outcome.workers}, {outcome.slots} slots each"),
            ("Cards", "; ".join(card_line(card) for card in outcome.cards) or UNKNOWN),
            ("Jobs", f"{tokens.prompt:.0f} tokens of prompt, {tokens.output:.0f} of answer on average"),
            ("Without an answer", str(outcome.failed) if outcome.failed else ""),
        ]
    )


def card_line(card: CardKind) -> str:
    """`4 × Radeon VII, cap 180 W, 1700 MHz`."""
    cap = f", cap {card.cap_w:.0f} W" if card.cap_w is not None else ""
    clock = f", {card.core_mhz} MHz" if card.core_mhz is not None else ""
    return f"{card.count} × {one_line(card.name)}{cap}{clock}"


def steps(of: Sequence[Step]) -> Table:
    """A step a row."""
    table = Table()
    for heading in ("Workers", "Cards", "In flight", "Tokens/s", "Lowest - highest", "Jobs/s", "W", "Tokens/J"):
        table.add_column(heading, justify="right")
    for step in of:
        rate, jobs = step.output_tokens_per_s, step.jobs_per_s
        table.add_row(
            str(step.workers),
            str(step.cards) if step.cards else UNKNOWN,
            f"{step.in_flight:.0f}",
            figure(median_of(rate)),
            between(rate),
            figure(median_of(jobs)),
            figure(step.watts),
            figure(step.tokens_per_joule),
        )
    return table


def beside(found: Beside) -> RenderableType:
    """Waits in two rows, and what the batch kept."""
    table = Table("First words, ms")
    for heading in ("Questions", "p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    for name, waits in (("people alone", found.idle), ("beside batch", found.beside)):
        table.add_row(name, *wait_cells(waits))
    alone, shared = found.alone.output_tokens_per_s, found.with_people.output_tokens_per_s
    share = found.kept
    said = facts_view(
        [
            ("Batch alone", f"{figure(median_of(alone))} tokens/s"),
            ("Batch beside people", f"{figure(median_of(shared))} tokens/s"),
            ("Batch kept", f"{share.median:.0%} ({share.lowest:.0%} - {share.highest:.0%})" if share else UNKNOWN),
            ("Questions without an answer", str(found.failed) if found.failed else ""),
        ]
    )
    return Group(table, said)


def wait_cells(waits: Waits) -> list[str]:
    """`85`, and three times in milliseconds."""
    return [str(waits.questions), *(figure(each) for each in (waits.p50_ms, waits.p95_ms, waits.p99_ms))]


def money(outcome: Outcome, price: Price, terms: Terms) -> Table:
    """With all workers busy with a batch; each figure with what it is made of."""
    sustained = outcome.sustained
    rate = sustained.output_tokens_per_s.median if sustained and sustained.output_tokens_per_s else None
    cards_w = sustained.all_watts if sustained else None
    sign = one_line(terms.currency)
    wall = f"{figure(price.wall_w)} W ({terms.base_w:.0f} W beside the cards, supplies {terms.supply_efficiency:.0%})"
    return facts_view(
        [
            ("Cards", f"{figure(cards_w)} W"),
            ("At the wall", wall if price.wall_w is not None else f"{UNKNOWN} (the cards' watts are not known)"),
            ("Tokens per joule", f"{figure(tokens_per_joule(rate, cards_w))} of the cards"),
            ("", f"{figure(tokens_per_joule(rate, price.wall_w))} at the wall"),
            ("Electricity an hour", priced(price.energy_per_hour, sign, lacks="needs the cards' watts and --tariff")),
            ("Hardware an hour", priced(price.hardware_per_hour, sign, lacks="needs --hardware-price and --years")),
            ("A million tokens", priced(price.per_million_tokens, sign, "prompts and answers")),
            ("A million tokens of answers", priced(price.per_million_output_tokens, sign, "prompts not counted")),
            ("1,000 pages", priced(price.per_1000_pages, sign, f"a page: {terms.page_tokens} tokens of prompt")),
            *cloud(price, terms, sign),
        ]
    )


def cloud(price: Price, terms: Terms, sign: str) -> list[tuple[str, str]]:
    """Against the price that was named; nothing without one."""
    if price.cloud_per_million_tokens is None:
        return []
    return [
        ("Named price, a million tokens", priced(price.cloud_per_million_tokens, sign, "the same mix")),
        ("Named price, 1,000 pages", priced(price.cloud_per_1000_pages, sign, "")),
        ("Pays for itself", break_even(price, terms)),
    ]


def break_even(price: Price, terms: Terms) -> str:
    """`after 7,921 h of full work (330 days)`."""
    if price.never:
        return "never: its electricity costs as much as the named price"
    if price.break_even_hours is None:
        lacks = "--hardware-price" if terms.hardware_price is None else "what the cards draw and --tariff"
        return f"{UNKNOWN} (needs {lacks})"
    return f"after {price.break_even_hours:,.0f} h of full work ({price.break_even_hours / 24:,.0f} days)"


def others(published: Published) -> Table:
    """What others published, with where each figure is from."""
    table = Table("Model, engine", "Cards")
    table.add_column("In flight", justify="right")
    table.add_column("Tokens/s", justify="right")
    table.add_column("Kind")
    table.add_column("Note", overflow="fold")
    table.add_column("Source")
    for row in published.row:
        cells = (row.what, row.cards or UNKNOWN, row.in_flight or UNKNOWN, figure(row.tokens_per_s), row.kind)
        table.add_row(*cells, row.note, row.source)
    return table


def figure(value: float | None) -> str:
    """Three digits that count, or a dash."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def between(of: Spread | None) -> str:
    """`92.1 - 98.0`."""
    return UNKNOWN if of is None else f"{figure(of.lowest)} - {figure(of.highest)}"


def priced(amount: float | None, sign: str, about: str = "", *, lacks: str = "") -> str:
    """`0.0799 EUR (prompts and answers)`, or a dash with what is missing."""
    said, more = (UNKNOWN, lacks or about) if amount is None else (f"{amount:.4g} {sign}", about)
    return f"{said} ({more})" if more else said
