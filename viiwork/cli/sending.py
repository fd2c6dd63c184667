"""An analysis that is sent, and followed without a record: shared by what starts one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import typer

from viiwork.cli.facts import documents
from viiwork.cli.options import server_flag
from viiwork.cli.progress import display
from viiwork.cli.report import Report
from viiwork.cli.rowfile import open_rows
from viiwork.cli.screen import print_json, say
from viiwork.cli.watch import DETACHED, Sink, follow_or_detach, raw_printer, row_reader
from viiwork.client import Client
from viiwork.client.uploads import OnUpload
from viiwork.jobs import BatchStatus
from viiwork.wire import public


def send(order: Callable[[OnUpload], BatchStatus]) -> BatchStatus:
    """Upload with a display; Ctrl-C before the end of the upload starts nothing."""
    sent = False
    with display() as shown:

        def tell(sent_bytes: int, total_bytes: int) -> None:
            nonlocal sent
            sent = sent_bytes >= total_bytes
            shown.upload(sent_bytes, total_bytes)

        try:
            return order(tell)
        except KeyboardInterrupt:
            pass  # said below, once the display is gone
    say("Stopped; " + ("the analysis may have started all the same." if sent else "no analysis was started."))
    raise typer.Exit(DETACHED)


def started(status: BatchStatus, *, as_json: bool, server: str | None) -> None:
    """Say which analysis was started, and how to follow it."""
    if as_json:
        print_json(public(status))
        return
    flag = server_flag(server)
    print(status.id)
    say(f"{documents(status)} sent. Follow with: viiwork watch {status.id}{flag}")


def finish(
    client: Client, status: BatchStatus, *, out_file: Path | None, as_json: bool, server: str | None
) -> BatchStatus:
    """Follow the analysis, writing rows where they were asked for, and show what came of it."""
    report = Report()
    sinks: list[Sink] = [raw_printer() if as_json else row_reader(report)]
    if not as_json:
        say(f"{status.id}: {documents(status)}, model {status.model}")
    with ExitStack() as stack:
        if out_file is not None:
            sinks.append(stack.enter_context(open_rows(out_file, status.id)).add)
        status = follow_or_detach(client, status.id, sinks, server=server, met=True)
    if not as_json:
        where = f"they are in {out_file}" if out_file else f"all: viiwork results {status.id} --out FILE"
        report.show(status, more=where + ("" if out_file else server_flag(server)))
    return status
