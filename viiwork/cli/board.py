"""What `viiwork top` shows of one look at the fleet."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table

from viiwork import cardwords
from viiwork.cli.fleetcards import braked, cards
from viiwork.cli.pace import duration
from viiwork.cli.rates import Rates
from viiwork.cli.screen import one_line, plain
from viiwork.cli.tables import NOTHING_WAITS, dead_letters, engine_of, held, missing, suspected, worth_a_row
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
    parts: list[RenderableType] = [plain(headline(status, rates), "bold"), *(plain(line, "yellow") for line in remarks)]
    depths = worth_a_row(status)
    parts += [queues(depths)] if depths else [plain(NOTHING_WAITS)]
    parts += [workers(status, rates)] if status.workers else []
    parts += cards(status)
    parts += [tenants(status)] if any(load.unfinished for load in status.tenants) else []
    return Group(*parts)


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


def queues(depths: Iterable[QueueDepth]) -> Table:
    """What stands before the workers of each model, a line a lane."""
    table = Table("Model", "Lane")
    for heading in ("Waiting", "Ready", "Running", "Oldest waits"):
        table.add_column(heading, justify="right")
    for depth in depths:
        waits = duration(depth.oldest_s) if depth.waiting or depth.queued else ""
        cells = (str(depth.waiting), str(depth.queued), str(depth.running), waits)
        table.add_row(plain(one_line(depth.model)), depth.lane.value, *cells)
    return table


def workers(status: FleetStatus, rates: Rates) -> Table:
    """Each worker: its engine, and its slots as in flight / limit / all."""
    table = Table("Worker", "Engine", "Model")
    for heading in ("Slots", "Interactive", "Batch", "KV", "Tokens/s"):
        table.add_column(heading, justify="right")
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


def tenants(status: FleetStatus) -> Table:
    """Those with the most unfinished jobs."""
    table = Table("Submitter")
    table.add_column("Unfinished jobs", justify="right")
    for load in status.tenants:
        if load.unfinished:
            table.add_row(plain(one_line(load.tenant)), str(load.unfinished))
    return table
