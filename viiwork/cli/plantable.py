"""A plan for people: a line a replica, why it lies so, what is over, and what does not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from viiwork.cli.screen import one_line, out, plain
from viiwork.placement.cards import PlanCard
from viiwork.placement.plan import Placement, Plan
from viiwork.placement.rank import GIB

STORED, CARDS = "Stored", "Cards"
NUMBERS = ("Weights\nGiB/card", "KV cache\ntokens", "In\nflight", "Context\ntokens")
HEADINGS = ("Model", STORED, CARDS, "Split", *NUMBERS)
WIDE_COLUMNS = 100
CARD = re.compile(r"gpu(\d+)")


def print_plan(plan: Plan, cards: Sequence[PlanCard], *, utilization: float) -> None:
    """All of it."""
    console = out()
    console.print(plain(f"{describe(cards)}; an engine may use {utilization:.0%} of each."))
    if plan.placements:
        console.print(plan_table(plan.placements, narrow=console.width < WIDE_COLUMNS))
    for line in (*reasons(plan.placements), *spare(plan.spare)):
        console.print(plain(line))
    for warning in plan.warnings:
        console.print(plain(f"warning: {warning}", "yellow"))
    for refusal in plan.refusals:
        console.print(plain(one_line(refusal.fault), "bold red"))
        for remedy in refusal.would_fit:
            console.print(plain(f"  it would fit {one_line(remedy)}"), soft_wrap=True)


def describe(cards: Sequence[PlanCard]) -> str:
    """`4 x Radeon VII (16.0 GiB)`."""
    kinds = Counter((card.kind, card.vram_bytes) for card in cards)
    return ", ".join(f"{count} x {one_line(kind)} ({size / GIB:.1f} GiB)" for (kind, size), count in kinds.items())


def plan_table(placements: Sequence[Placement], *, narrow: bool = False) -> Table:
    """One line a replica. A narrow one has no column of its own for how the weights are stored."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in (each for each in HEADINGS if not narrow or each != STORED):
        number = heading in NUMBERS
        table.add_column(
            plain(heading),
            justify="right" if number else "left",
            no_wrap=number or heading == CARDS,
            overflow="fold",
        )
    for each in placements:
        table.add_row(*(plain(cell) for cell in cells(each, narrow=narrow)))
    return table


def cells(placement: Placement, *, narrow: bool) -> Iterator[str]:
    """Of one line."""
    model, stored, fit = one_line(placement.model), placement.stored, placement.fit
    yield from (f"{model.removesuffix(f':{stored}')} {stored}",) if narrow else (model, stored)
    yield in_rows(placement, each=2 if narrow else 4)
    yield split_text(placement)
    yield f"{fit.weights_bytes / GIB:.1f}"
    yield from (f"{number:,}" for number in (fit.kv_tokens, fit.in_flight, placement.max_model_len))


def in_rows(placement: Placement, *, each: int) -> str:
    """`gpu0+gpu1+gpu2+gpu3+` and the others below: a large group's name is broken between cards."""
    labels = [one_line(card.label) for card in placement.cards]
    return "+\n".join("+".join(labels[at : at + each]) for at in range(0, len(labels), each))


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
    return [f"{one_line(model)} on {listed(on)}: {why}" for (model, why), on in names.items()]


def spare(cards: Sequence[PlanCard]) -> list[str]:
    """Cards that nobody can use."""
    return [f"Spare: {listed([card.label for card in cards])}."] if cards else []


def listed(labels: Sequence[str]) -> str:
    """`gpu0, gpu1, gpu4 to gpu9`: three and more in a row by the first and the last."""
    rows: list[list[str]] = []
    for label in labels:
        if rows and follows(label, rows[-1][-1]):
            rows[-1].append(label)
        else:
            rows.append([label])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(row) for row in rows)


def follows(label: str, other: str) -> bool:
    """Whether these are single cards, and the numbers of one after the other."""
    found = [CARD.fullmatch(each) for each in (other, label)]
    first, second = (int(each[1]) if each else None for each in found)
    return first is not None and second is not None and second - first == 1
