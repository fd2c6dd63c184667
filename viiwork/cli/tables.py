"""Tables of answers, workers and queues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from viiwork import cardwords
from viiwork.cli.energy import energy_of, fleet_lines
from viiwork.cli.facts import one_at_a_time
from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.fleetcards import braked, cards
from viiwork.cli.screen import one_line, plain
from viiwork.jobs import READER_MODEL, Lane, Row
from viiwork.roster import FleetStatus, QueueDepth, TenantLoad, WorkerCard
from viiwork.work import Answer, Reply

ENGINE_COLUMNS = 12
OTHER_COLUMNS = 40
"""What the borders, the pages, the engine and the seconds take of a screen."""
NO_REASON = "no reason was given"
NOTHING_WAITS = "(nothing waits)"
ANSWER_CHARACTERS = 700
"""Longer answers are cut in tables; the rows have them whole."""


def answers_table(rows: Iterable[Row], *, columns: int, heading: str = "File") -> Table:
    """One line a document or job, in the order they were sent, for a screen of so many columns."""
    answered = sorted((row for row in rows if row.answer is not None), key=lambda row: row.index)
    table = Table(width=columns, show_lines=True)
    paged = any(row.answer and row.answer.pages for row in answered)
    table.add_column(heading, overflow="fold", width=file_columns(answered, columns=columns))
    if paged:
        table.add_column("Pages", justify="right", no_wrap=True)
    table.add_column("Answer", overflow="fold", ratio=1)
    table.add_column("Engine", overflow="fold", max_width=ENGINE_COLUMNS)
    table.add_column("Seconds", justify="right", no_wrap=True)
    for row in answered:
        if row.answer is not None:
            pages = [str(row.answer.pages or "")] if paged else []
            engine = one_line(row.answer.engine)
            table.add_row(plain(name_of(row)), *pages, answer_cell(row.answer), engine, f"{row.seconds:.1f}")
    return table


def file_columns(rows: Iterable[Row], *, columns: int) -> int:
    """As wide as the longest name, so that none is broken, but at most half of what files and answers share."""
    longest = max((plain(name_of(row)).cell_len for row in rows), default=0)
    return max(len("File"), min(longest, (columns - OTHER_COLUMNS) // 2))


def name_of(row: Row) -> str:
    """What a row is called: its document, else what its sender calls it, else its place."""
    return row.document or row.custom_id or f"line {row.index + 1}"


def answer_cell(answer: Answer) -> Text:
    """The answer as a person reads it: a label with its certainty first, remarks below."""
    body = one_line(answer.text)
    cell = plain(body if len(body) <= ANSWER_CHARACTERS else body[: ANSWER_CHARACTERS - 1] + "…")
    if answer.answers:
        cell = replies_cell(answer.answers)
    if answer.label is not None:
        sure = "" if answer.confidence is None else f" ({answer.confidence:.0%})"
        head = plain(one_line(answer.label), "bold") + plain(sure)
        cell = head if body in ("", answer.label) else head + plain("  ") + cell
    for name, why in answer.rationales.items():
        cell += plain(f"\n{one_line(name)}: {one_line(why)}")
    for note in answer.notes:
        cell += plain(f"\n({one_line(note)})", "dim")
    return cell


def replies_cell(replies: Sequence[Reply]) -> Text:
    """Each question with its answer below."""
    said = Text()
    for place, reply in enumerate(replies):
        body = one_line(reply.text)
        short = body if len(body) <= ANSWER_CHARACTERS else body[: ANSWER_CHARACTERS - 1] + "…"
        said += plain(("\n" if place else "") + one_line(reply.question), "bold")
        said += plain(f"\n{short}", "" if reply.answered else "dim")
    return said


def notices(rows: Iterable[Row]) -> list[str]:
    """What has to be said of the engines that answered, each once."""
    return list(dict.fromkeys(row.answer.notice for row in rows if row.answer and row.answer.notice))


def fleet_view(status: FleetStatus) -> RenderableType:
    """Workers, and what stands before them."""
    title = plain(f"Fleet {status.fleet}" + (", shutting down" if status.closing else ""), "bold")
    workers = [_workers(status)] if status.workers else []
    remarks = [
        *missing(status),
        *left_out(status),
        *map(one_line, status.notices),
        *put_away(status),
        *held(status),
        *braked(status),
        *suspected(status),
        *dead_letters(status),
    ]
    used = (plain(line) for line in fleet_lines(status.energy))
    said = (plain(line, "yellow") for line in remarks)
    shown = apart(title, *workers, *cards(status))
    return Group(*shown, *said, *([""] if remarks else []), *apart(_queues(status)), *used)


def apart(*parts: RenderableType) -> list[RenderableType]:
    """A line of nothing below each."""
    return [each for part in parts for each in (part, "")]


def missing(status: FleetStatus) -> list[str]:
    """A line for each thing that nobody in the fleet does at this moment. Work for it is taken, and waits."""
    lines = []
    if not status.models:
        lines.append("No engine worker is up: nothing is answered until one is.")
    allowed = {worker.card.model for worker in status.workers if not worker.quarantine}
    lines += [
        f"Nobody serves the model {one_line(model)}: every worker of it is quarantined, and its jobs wait."
        for model in status.models
        if model not in allowed
    ]
    if all(worker.card.model != READER_MODEL for worker in status.workers):
        lines.append("No reader is up: documents wait.")
    asked = {depth.model for depth in status.queues if depth.waiting or depth.queued or depth.running}
    unserved = sorted(asked - {*status.models, READER_MODEL}) if status.models else []
    return lines + [f"No engine worker for the model {one_line(model)} is up: its jobs wait." for model in unserved]


def left_out(status: FleetStatus) -> list[str]:
    """Cards that a person has drained, and models that do not fit on those that are there."""
    names = [one_line(each.worker) for each in status.drained]
    reasons = [one_line(each.reason) or NO_REASON for each in status.drained]
    drains = [f"{name} is drained: {why}" for name, why in zip(names, reasons, strict=True)]
    again = [f"To use them again: viiwork undrain {' '.join(names)}"] if names else []
    lacking = [f"{one_line(host.host)}: {one_line(why)}" for host in status.hosts for why in host.not_served]
    return [*drains, *again, *lacking]


def put_away(status: FleetStatus) -> list[str]:
    """Why each quarantined worker is, and what to do."""
    why = {worker.card.name: worker.quarantine for worker in status.workers if worker.quarantine}
    lines = [f"{one_line(name)} is quarantined: {one_line(reason)}" for name, reason in why.items()]
    if not lines:
        return []
    return [*lines, f"To let them work again: viiwork quarantine lift {' '.join(map(one_line, why))}"]


def held(status: FleetStatus) -> list[str]:
    """Who takes fewer jobs for a while, and why; a line a reason."""
    names: dict[str, list[str]] = {}
    for worker in status.workers:
        if worker.hold:
            names.setdefault(worker.hold, []).append(one_line(worker.card.name))
    return [f"Held for a while: {', '.join(who)}. {one_line(why)}" for why, who in names.items()]


def suspected(status: FleetStatus) -> list[str]:
    """A line for each model with jobs that run one at a time: nothing else shows why they take so long."""
    counts: dict[str, int] = {}
    for depth in status.queues:
        if depth.suspects:
            counts[depth.model] = counts.get(depth.model, 0) + depth.suspects
    return [f"{one_line(model)}: {one_at_a_time(count)}" for model, count in counts.items()]


def dead_letters(status: FleetStatus) -> list[str]:
    """A line with what to do, if there are any."""
    if not status.dead:
        return []
    said = "1 job was given up" if status.dead == 1 else f"{status.dead} jobs were given up"
    return [f"{said}: `viiwork dead list` shows why, `viiwork dead retry` tries again."]


def engine_of(card: WorkerCard, *, quarantined: bool = False) -> str:
    """The engine, and how it stands unless it is simply ready."""
    state = "quarantined" if quarantined else card.engine_state
    return card.engine if state in ("", "ready") else f"{card.engine}, {state}"


WORKER_COLUMNS = (
    Column("Worker"),
    Column("Engine", wraps=True),
    Column("Model"),
    Column("Slots", right=True),
    Column("Interactive", rank=3, right=True),
    Column("Batch", rank=4, right=True),
    Column("KV", rank=2, right=True),
    Column("Tokens/s", rank=1, right=True),
)
"""Of the slots in use the lanes are parts, and go first."""


def _workers(status: FleetStatus) -> FittedTable:
    table = FittedTable(*WORKER_COLUMNS, Column("Last beat", rank=5, right=True))
    for worker in status.workers:
        card, busy = worker.card, worker.in_flight
        engine = engine_of(card, quarantined=bool(worker.quarantine))
        cells = (card.name, engine, card.model, cardwords.slots(worker))
        lanes = (str(busy.get(Lane.INTERACTIVE, 0)), str(busy.get(Lane.BATCH, 0)))
        speed = (cardwords.share(card.kv_use), cardwords.whole(card.tokens_per_s))
        beat = f"{worker.beat_age_ms / 1000:.1f} s ago"
        table.add_row(*(plain(cell) for cell in (*cells, *lanes, *speed, beat)))
    return table


def worth_a_row(status: FleetStatus) -> list[QueueDepth]:
    """The queues that hold something or that somebody serves: those of old models are rows of zeros for ever."""
    served = {worker.card.model for worker in status.workers}
    return [at for at in status.queues if at.waiting or at.queued or at.running or at.model in served]


def _queues(status: FleetStatus) -> RenderableType:
    depths = worth_a_row(status)
    if not depths:
        return plain(NOTHING_WAITS)
    counts = ("Backlog", "Ready", "Running")
    table = FittedTable(Column("Model"), Column("Lane"), *(Column(heading, right=True) for heading in counts))
    for depth in depths:
        cells = (depth.model, depth.lane.value, str(depth.waiting), str(depth.queued), str(depth.running))
        table.add_row(*map(plain, cells))
    return table


def tenants_table(tenants: Iterable[TenantLoad]) -> Table:
    """Who has most unfinished jobs, then whose jobs have used most, and how much."""
    table = Table("Submitter")
    table.add_column("Unfinished jobs", justify="right")
    table.add_column("Energy of the cards", overflow="fold")
    for load in tenants:
        table.add_row(plain(one_line(load.tenant)), str(load.unfinished), plain(energy_of(load)))
    return table
