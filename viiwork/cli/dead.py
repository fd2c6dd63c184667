"""`viiwork dead`: jobs that were given up, to be looked at, tried again or put away."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.agreement import check_agreed
from viiwork.cli.facts import job_view, moment
from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.deadletters import DeadSweep
from viiwork.errors import UsageError
from viiwork.jobs import Status
from viiwork.wire import public

SHOWN = 50
FAULT_CHARACTERS = 200

dead = typer.Typer(no_args_is_help=True, help="Jobs that were given up: look at them, try them again, put them away.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Dead letters, by their jobs' ids.")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters there are.")]


@dead.command("list")
def list_dead(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = SHOWN,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show the dead letters, the last to die first."""
    with connect(server) as client:
        found = list(client.dead(limit=limit))
    if as_json:
        for status in found:
            print_json(public(status))
    elif not found:
        out().print(plain("There are no dead letters."))
    else:
        show_table(found, limit=limit, server=server)


@dead.command("show")
def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="A dead letter, by its job's id.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its history: each attempt, where it ran and how it ended."""
    with connect(server) as client:
        status = client.dead_job(job_id)
    if as_json:
        print_json(public(status))
    else:
        out().print(job_view(status))


@dead.command("retry")
def retry(ids: Ids = None, *, every: Every = False, server: Server = None, as_json: AsJson = False) -> None:
    """Try dead jobs again with a clean slate; a part of a document takes its whole document along.

    Exit code: 0 all will be tried again, 1 some are not.
    """
    chosen = choose(ids, every=every)
    with connect(server) as client:
        swept = client.retry_dead(chosen)
    report(swept, ("will be", "will be"), "tried again", as_json=as_json)


@dead.command("purge")
def purge(
    ids: Ids = None,
    *,
    every: Every = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before --all; needed where there is no terminal.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Put dead letters away for good; their status stays as long as results do.

    Exit code: 0 all are put away, 1 some are not.
    """
    chosen = choose(ids, every=every)
    check_agreed("Put all dead letters away? They cannot be tried again then.", yes=yes or chosen is not None)
    with connect(server) as client:
        swept = client.purge_dead(chosen)
    report(swept, ("was", "were"), "put away", as_json=as_json)


def choose(ids: list[str] | None, *, every: bool) -> list[str] | None:
    """The ids that were named; None for all. Raises UsageError unless it is one of the two."""
    if every and ids:
        raise UsageError("--all: name some dead letters, or take all, not both.")
    if not every and not ids:
        raise UsageError("Name dead letters by their ids, or take --all.", hint="`viiwork dead list` shows them.")
    return ids or None


def report(swept: DeadSweep, verb: tuple[str, str], done: str, *, as_json: bool) -> None:
    """Say what came of it (`verb` is for one and for many), and of each that was left why."""
    if as_json:
        print_json(public(swept))
    else:
        letters = f"1 dead letter {verb[0]}" if swept.done == 1 else f"{swept.done} dead letters {verb[1]}"
        out().print(plain(f"{letters} {done}."))
    for refusal in swept.refused:
        say(f"{refusal.id}: {refusal.message}")
    raise typer.Exit(1 if swept.refused else 0)


def show_table(found: list[Status], *, limit: int, server: str | None) -> None:
    """The dead letters, and what to do with them."""
    out().print(letters_table(found))
    if len(found) == limit:
        say(f"These are the last {limit}; --limit shows more.")
    flag = server_flag(server)
    say(f"One in full: viiwork dead show ID{flag}. Try again: viiwork dead retry ID…{flag}")


def letters_table(found: list[Status]) -> Table:
    """A dead letter a row. Ids stay whole on the narrowest screen, to be copied; the rest makes way for them."""
    table = Table(show_lines=True)
    table.add_column("Job", overflow="fold", width=max(len(status.id) for status in found))
    for heading in ("Attempts", "Last fault"):
        table.add_column(heading, overflow="fold")
    for status in found:
        died = f"{status.model} ({status.lane.value})\n{moment(status.finished_ms)}"
        job = "\n".join(filter(None, (status.id, one_line(status.custom_id), died)))
        tried = f"{status.attempt} on {', '.join(workers(status))}" if workers(status) else str(status.attempt)
        table.add_row(*(plain(cell) for cell in (job, tried, last_fault(status))))
    return table


def workers(status: Status) -> list[str]:
    """Who tried it, each once, the first one first."""
    tried = [attempt.worker for attempt in status.history] + [status.worker]
    return list(dict.fromkeys(one_line(name) for name in tried if name))


def last_fault(status: Status) -> str:
    """What the last attempt that said something said."""
    said = [attempt.fault.message for attempt in status.history if attempt.fault]
    text = one_line(said[-1] if said else status.error.message if status.error else "")
    return text if len(text) <= FAULT_CHARACTERS else text[: FAULT_CHARACTERS - 1] + "…"
