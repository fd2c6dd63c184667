"""A plan for people: a line a replica, why it lies so, what is over, and what does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table

from viiwork.cli.screen import one_line, out, plain
from viiwork.placement.cards import PlanCard
from viiwork.placement.plan import Placement, Plan
from viiwork.placement.rank import GIB

HEADINGS = (
    "Model",
    "Stored",
    "Cards",
    "Split",
    "Weights\nGiB/card",
    "KV cache\ntokens",
    "In\nflight",
    "Context\ntokens",
)
WORDS = 4
"""The headings on the left; below the others stand numbers."""


def print_plan(plan: Plan, cards: Sequence[PlanCard], *, utilization: float) -> None:
    """All of it."""
    console = out()
    console.print(plain(f"{describe(cards)}; an engine may use {utilization:.0%} of each."))
    if plan.placements:
        console.print(plan_table(plan.placements))
    for line in (*reasons(plan.placements), *spare(plan.spare)):
        console.print(plain(line))
    for warning in plan.warnings:
        console.print(plain(f"warning: {warning}", "yellow"))
    for refusal in plan.refusals:
        console.print(plain(one_line(refusal.told), "bold red"))


def describe(cards: Sequence[PlanCard]) -> str:
    """`4 x Radeon VII (16.0 GiB)`."""
    kinds = Counter((card.kind, card.vram_bytes) for card in cards)
    return ", ".join(f"{count} x {one_line(kind)} ({size / GIB:.1f} GiB)" for (kind, size), count in kinds.items())


def plan_table(placements: Sequence[Placement]) -> Table:
    """One line a replica."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for place, heading in enumerate(HEADINGS):
        words = place < WORDS
        table.add_column(plain(heading), justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for each in placements:
        fit = each.fit
        numbers = (
            f"{fit.weights_bytes / GIB:.1f}",
            *(f"{n:,}" for n in (fit.kv_tokens, fit.in_flight, each.max_model_len)),
        )
        table.add_row(
            *(plain(one_line(cell)) for cell in (each.model, each.stored, each.name, split_text(each), *numbers))
        )
    return table


def split_text(placement: Placement) -> str:
    """`tensor parallel 2`."""
    if placement.tp > 1 and placement.pp > 1:
        return f"tensor parallel {placement.tp} x pipeline {placement.pp}"
    count = len(placement.cards)
    return placement.split if count == 1 else f"{placement.split} {count}"


def reasons(placements: Sequence[Placement]) -> list[str]:
    """Why, once for all replicas that lie alike for the same reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for each in placements:
        names.setdefault((each.model, each.why), []).append(each.name)
    return [f"{one_line(model)} on {', '.join(on)}: {why}" for (model, why), on in names.items()]


def spare(cards: Sequence[PlanCard]) -> list[str]:
    """Cards that nobody can use."""
    return [f"Spare: {', '.join(card.label for card in cards)}."] if cards else []
