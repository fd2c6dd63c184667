"""What `viiwork top` shows of one look at the fleet."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType

from viiwork import cardwords
from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.fleetcards import braked, cards
from viiwork.cli.pace import duration
from viiwork.cli.rates import Rates
from viiwork.cli.screen import one_line, plain
from viiwork.cli.tables import (
    NOTHING_WAITS,
    WORKER_COLUMNS,
    apart,
    dead_letters,
    engine_of,
    held,
    missing,
    suspected,
    worth_a_row,
)
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, QueueDepth, WorkerCard


def board(status: FleetStatus, rates: Rates, *, trouble: str = "") -> RenderableType:
    """The fleet in one line, what to know of it, then models, workers and submitters."""
    remarks = [
        *([trouble] if trouble else []),
        *missing(status),
        *map(one_line, status.notices),
        *held(status),
        *braked(status),
        *suspected(status),
        *dead_letters(status),
    ]
    depths = worth_a_row(status)
    parts: list[RenderableType] = [queues(depths) if depths else plain(NOTHING_WAITS)]
    parts += [workers(status, rates)] if status.workers else []
    parts += cards(status)
    parts += [tenants(status)] if any(load.unfinished for load in status.tenants) else []
    said = (plain(line, "yellow") for line in remarks)
    return Group(plain(headline(status, rates), "bold"), *said, "", *apart(*parts))


def headline(status: FleetStatus, rates: Rates) -> str:
    """`Fleet default: 4 workers, 12 jobs running, 30 waiting, 210 tokens/s`."""
    running = sum(depth.running for depth in status.queues)
    waiting = sum(depth.waiting + depth.queued for depth in status.queues)
    said = [
        f"{len(status.workers)} worker{'' if len(status.workers) == 1 else 's'}",
        f"{running} running",
        f"{waiting} waiting",
    ]
    speeds = rates.by_worker(status)
    said += [f"{sum(speeds.values()):.0f} tokens/s"] if speeds else []
    said += ["shutting down"] if status.closing else []
    return f"Fleet {status.fleet}: {', '.join(said)}"


def queues(depths: Iterable[QueueDepth]) -> FittedTable:
    """What stands before the workers of each model, a line a lane."""
    counts = ("Waiting", "Ready", "Running", "Oldest waits")
    table = FittedTable(Column("Model"), Column("Lane"), *(Column(heading, right=True) for heading in counts))
    for depth in depths:
        waits = duration(depth.oldest_s) if depth.waiting or depth.queued else ""
        cells = (depth.lane.value, str(depth.waiting), str(depth.queued), str(depth.running), waits)
        table.add_row(plain(one_line(depth.model)), *map(plain, cells))
    return table


def workers(status: FleetStatus, rates: Rates) -> FittedTable:
    """Each worker: its engine, and its slots as in flight / limit / all."""
    table = FittedTable(*WORKER_COLUMNS)
    for worker in status.workers:
        card, busy = worker.card, worker.in_flight
        lanes = (str(busy.get(Lane.INTERACTIVE, 0)), str(busy.get(Lane.BATCH, 0)))
        engine = engine_of(card, quarantined=bool(worker.quarantine))
        cells = (card.name, engine, card.model, slots(card, sum(busy.values())), *lanes)
        speed = (cardwords.share(card.kv_use), cardwords.whole(rates.of(card.incarnation)))
        table.add_row(*(plain(one_line(cell)) for cell in (*cells, *speed)))
    return table


def slots(card: WorkerCard, busy: int) -> str:
    """`3 / 12 / 16`: in flight, the limit just now, all there are."""
    return f"{busy} / {card.slots if card.limit is None else card.limit} / {card.slots}"


def tenants(status: FleetStatus) -> FittedTable:
    """Those with the most unfinished jobs."""
    table = FittedTable(Column("Submitter"), Column("Unfinished jobs", right=True))
    for load in status.tenants:
        if load.unfinished:
            table.add_row(plain(one_line(load.tenant)), plain(str(load.unfinished)))
    return table
