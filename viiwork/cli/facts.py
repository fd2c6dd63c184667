"""An analysis or a job at one moment: its facts one a line, and the attempts that came to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table

from viiwork import jobfile
from viiwork.cli.energy import energy_of
from viiwork.cli.pace import duration
from viiwork.cli.screen import one_line, plain
from viiwork.jobs import Attempt, BatchState, BatchStatus, Priority, Status

ENDS = {
    "crashed": "engine or worker died",
    "lost": "worker went silent",
    "retry": "engine fault",
    "given_back": "worker left",
    "refused": "refused",
}


def facts_view(facts: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one pair a line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts:
        if value:
            table.add_row(plain(name, "bold"), plain(value))
    return table


def analysis_view(status: BatchStatus) -> Table:
    """An analysis at one moment."""
    counts = status.counts
    return facts_view(
        [
            ("Analysis", status.id),
            ("State", state_of(status)),
            ("Task", status.task),
            ("Model", status.model),
            ("Lane", status.lane.value),
            ("Priority", "" if status.priority is Priority.NORMAL else status.priority.value),
            ("Submitter", status.tenant),
            ("Submitted", moment(status.created_ms)),
            ("Deadline", moment(status.deadline_ms)),
            ("Ended", moment(status.finished_ms)),
            ("Kept until", moment(status.expires_ms)),
            ("Jobs" if status.task == jobfile.TASK else "Documents", str(counts.total)),
            ("Succeeded", str(counts.succeeded)),
            (failed_word(status).capitalize(), str(counts.failed)),
            ("Cancelled", str(counts.cancelled)),
            ("Suspects", one_at_a_time(status.suspects) if status.suspects else ""),
            ("Energy", energy_of(status)),
        ]
    )


def documents(status: BatchStatus) -> str:
    """`1 document`, or for a file of jobs `3 jobs`."""
    kind = "job" if status.task == jobfile.TASK else "document"
    return f"{status.counts.total} {kind}{'' if status.counts.total == 1 else 's'}"


def failed_word(status: BatchStatus) -> str:
    """What to call those that the count of the failed holds: once the deadline is past, expired ones are among them."""
    late = (
        status.finished_ms is not None and status.deadline_ms is not None and status.finished_ms >= status.deadline_ms
    )
    return "failed or expired" if late or status.state is BatchState.EXPIRED else "failed"


def one_at_a_time(suspects: int) -> str:
    """Why so many jobs do not run side by side, as others do."""
    if suspects == 1:
        return "1 job runs again: it was in an engine or worker that died."
    return f"{suspects} jobs run one at a time on each worker: they were in an engine or worker that died."


def state_of(status: BatchStatus) -> str:
    """`running`, or `running, paused: nothing more of it starts`; and why no more of its lines come in."""
    paused = status.paused and not status.finished
    held = f", held: {status.held}" if status.held else ""
    return status.state.value + (", paused: nothing more of it starts" if paused else "") + held


def job_view(status: Status) -> RenderableType:
    """A job at one moment, with the attempts that came to nothing below."""
    facts = facts_view(
        [
            ("Job", status.id),
            ("Custom id", one_line(status.custom_id)),
            ("Analysis", status.batch),
            ("State", status.state.value),
            ("Model", status.model),
            ("Lane", status.lane.value),
            ("Submitter", status.tenant),
            ("Submitted", moment(status.created_ms)),
            ("Deadline", moment(status.deadline_ms)),
            ("Ended", moment(status.finished_ms)),
            ("Attempt", str(status.attempt)),
            ("Strikes", str(status.strikes) if status.strikes else ""),
            ("Suspect", "yes: it was in flight when an engine or worker died" if status.suspect else ""),
            ("Worker", status.worker),
            ("Energy", energy_of(status)),
            ("Answer", status.answer.text if status.answer else ""),
            ("Reason", f"{status.error.message} {status.error.hint}".strip() if status.error else ""),
            ("Notice", status.answer.notice if status.answer else ""),
        ]
    )
    return Group(facts, history_table(status.history)) if status.history else facts


def history_table(history: Sequence[Attempt]) -> Table:
    """The attempts that came to nothing, the first one first."""
    table = Table()
    table.add_column("Attempt", justify="right")
    for heading in ("Worker", "Started"):
        table.add_column(heading, overflow="fold")
    table.add_column("Took", justify="right")
    table.add_column("How it ended")
    table.add_column("Fault", overflow="fold", ratio=1)
    for attempt in history:
        fault = one_line(f"{attempt.fault.code}: {attempt.fault.message}") if attempt.fault else ""
        took = duration((attempt.ended_ms - attempt.started_ms) / 1000) if attempt.started_ms else ""
        end = ENDS.get(attempt.end, attempt.end)
        cells = (str(attempt.attempt), one_line(attempt.worker), moment(attempt.started_ms), took, end, fault)
        table.add_row(*(plain(cell) for cell in cells))
    return table


def moment(unix_ms: int | None) -> str:
    """A moment as this computer's clock shows it; empty for none."""
    return datetime.fromtimestamp(unix_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if unix_ms else ""
