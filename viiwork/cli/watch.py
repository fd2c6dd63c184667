"""`viiwork watch`: follow an analysis to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from viiwork import jobfile
from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.progress import Display, display
from viiwork.cli.report import Report
from viiwork.cli.screen import print_json_line, say
from viiwork.cli.standstill import Standstill
from viiwork.client import Client
from viiwork.errors import Busy, Full, Unavailable
from viiwork.jobs import BatchStatus, Row, behind

DETACHED = 130
"""The exit code after Ctrl-C, as shells have it; the analysis goes on."""
LOOK_EVERY_S = (0.1, 1.0)
PATIENCE_S = 60.0
"""How long a service that was there may be away, such as for a restart, before following it is given up."""


def watch(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Follow an analysis to its end. Ctrl-C detaches; the analysis goes on.

    Exit code: 0 all documents or jobs have an answer, 1 some have none, 130 detached.
    """
    with connect(server) as client:
        report = Report()
        status = follow_or_detach(
            client, analysis_id, [raw_printer() if as_json else row_reader(report)], server=server, met=False
        )
        if not as_json:
            report.show(status, more=f"all: viiwork results {analysis_id} --out FILE{server_flag(server)}")
    raise typer.Exit(exit_code(status))


Sink = Callable[[bytes], None]


def follow_or_detach(
    client: Client, analysis_id: str, sinks: list[Sink], *, server: str | None, met: bool, after: int = 0
) -> BatchStatus:
    """`follow` with a display; Ctrl-C leaves with directions for coming back. Rows before `after` are known."""
    try:
        with display() as shown:
            return follow(client, analysis_id, sinks, shown, met=met, after=after)
    except KeyboardInterrupt:
        flag = server_flag(server)
        say(f"Detached; {analysis_id} goes on.")
        say(f"  come back:    viiwork watch {analysis_id}{flag}")
        say(f"  the answers:  viiwork results {analysis_id} --out FILE{flag}")
        say(f"  cancel it:    viiwork cancel {analysis_id}{flag}")
        raise typer.Exit(DETACHED) from None


def follow(
    client: Client, analysis_id: str, sinks: list[Sink], shown: Display, *, met: bool, after: int = 0
) -> BatchStatus:
    """Hand every row to every sink as it comes, until the analysis has ended.

    A service that answered once (`met`: before this) is waited for when it goes away; one that never did is not.
    """
    pause_s, settled = LOOK_EVERY_S[0], 0
    stands: Stands | None = None

    def look() -> BatchStatus:
        nonlocal after, met, settled
        status = client.analysis_status(analysis_id)
        met = True
        if status.counts.settled != settled or status.finished:
            for line in client.result_lines(analysis_id, after=after):
                after = behind(line, after=after)
                for sink in sinks:
                    sink(line)
        settled = status.counts.settled
        return status

    while True:
        status = patiently(look, worth_waiting=lambda: met)
        stands = stands or Stands(client, status)
        shown.waits(*stands.look(status))
        shown.progress(status)
        if status.finished:
            return status
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, LOOK_EVERY_S[1])


class Stands:
    """Whether an analysis moves, from look to look; where it does not, what it waits for."""

    def __init__(self, client: Client, status: BatchStatus) -> None:
        reads = status.task != jobfile.TASK
        self._still = Standstill(client.fleet, status.model, status.lane, reads=reads)
        self._seen = _marks(status)

    def look(self, status: BatchStatus) -> tuple[str, str]:
        """What it waits for in short, and a sentence where that is news; of one that is held on purpose, nothing."""
        seen, self._seen = self._seen, _marks(status)
        if seen != self._seen or status.finished or status.paused or status.held:
            self._still.moved()
            return "", ""
        news = self._still.look()
        return self._still.found.short, news


def _marks(status: BatchStatus) -> tuple[object, ...]:
    return status.state, status.counts, status.calls, status.paused, status.held


def patiently(look: Callable[[], BatchStatus], *, worth_waiting: Callable[[], bool]) -> BatchStatus:
    """`look`, over and over while nobody answers. Raises Unavailable once patience is at its end."""
    until_s, told = time.monotonic() + PATIENCE_S, False
    while True:
        try:
            return look()
        except (Busy, Full):  # it answers, and says what it wants
            raise
        except Unavailable as error:
            if time.monotonic() >= until_s or not worth_waiting():
                raise
            if not told:
                say(f"{error.message} Waiting up to {PATIENCE_S:.0f} s for it to come back.")
            told = True
            time.sleep(LOOK_EVERY_S[1])


def row_reader(report: Report) -> Sink:
    """A sink that keeps rows for the report."""
    return lambda line: report.add(Row.model_validate_json(line))


def raw_printer() -> Sink:
    """A sink that prints rows as they came."""
    return lambda line: print_json_line(line.decode())


def exit_code(status: BatchStatus) -> int:
    """0 when every document has an answer, 1 when some have none."""
    return 0 if status.counts.succeeded == status.counts.total else 1
