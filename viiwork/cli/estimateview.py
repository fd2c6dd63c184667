"""An estimate as people read it."""

from __future__ import annotations

from rich.table import Table

from viiwork.bigrun.estimate import Estimate
from viiwork.bigrun.workload import Span
from viiwork.cli.energy import cost_words, wh
from viiwork.cli.facts import facts_view, moment
from viiwork.cli.pace import duration
from viiwork.expense import Cost
from viiwork.power.energy import JOULES_PER_KWH
from viiwork.runs import Run

ROUGHLY = 0.02
"""Ends that lie no further apart are one number."""


def estimate_view(found: Estimate) -> Table:
    """What was found and what it takes, one fact a line."""
    read, work, by = found.found, found.work, found.by
    facts = [
        ("Documents", f"{read.documents:,} of {read.files:,}, those inside other files counted"),
        ("Copies", f"{read.copies:,} of these, answered once" if read.copies else ""),
        ("Unreadable", ", ".join(f"{count:,} {code}" for code, count in read.unreadable.most_common())),
        ("Pages", f"{read.pages:,}"),
        ("Pages without text", f"{read.pages_without_text:,}" if read.pages_without_text else ""),
        ("Model", f"{found.model} ({found.engine}), {found.slots:,} calls at a time"),
        ("Calls", f"{number(work.calls)}: {work.maps:,} on parts of documents, {number(work.merges)} to merge answers"),
        ("Tokens in", number(work.prompt_tokens)),
        ("Tokens out", output_words(found)),
        ("Takes", hours_words(by.seconds) if by else "not known"),
        ("Energy of the cards", energy_words(by.energy_j) if by and by.energy_j else ""),
        ("At the wall", wall_words(by.cost) if by and by.cost else ""),
        ("Reckoned by", " and ".join(run_words(run) for run in by.runs) if by else ""),
    ]
    return facts_view(facts)


def output_words(found: Estimate) -> str:
    """What is likely where answers of the task were measured, and what is allowed."""
    most = f"at most {found.output_at_most:,.0f}"
    return f"{number(found.work.output_tokens)}, {most}" if found.by else most


def hours_words(seconds: Span) -> str:
    """`2 h 05 min to 2 h 40 min`."""
    low, high = duration(seconds.low), duration(seconds.high)
    return low if low == high else f"{low} to {high}"


def energy_words(joules: Span) -> str:
    """`12.3 Wh to 14.1 Wh`."""
    low, high = wh(joules.low), wh(joules.high)
    return low if low == high else f"{low} to {high}"


def wall_words(costs: tuple[Cost, Cost]) -> str:
    """What comes out of the wall for the cards, and what that costs."""
    ends = [", ".join([wh(cost.cards_kwh_at_wall * JOULES_PER_KWH), *cost_words(cost)]) for cost in costs]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def run_words(run: Run) -> str:
    """`the classify of 2026-11-22 05:20:00 (812 calls in 3 min)`."""
    simulated = ", energy of simulated cards" if run.energy_simulated else ""
    return f"the {run.task} of {moment(run.finished_ms)} ({run.calls:,} calls in {duration(run.seconds)}{simulated})"


def number(span: Span) -> str:
    """`1,204`, or `1,204 to 1,530` where the ends lie apart."""
    low, high = round(span.low), round(span.high)
    return f"{high:,}" if high - low <= ROUGHLY * high else f"{low:,} to {high:,}"
