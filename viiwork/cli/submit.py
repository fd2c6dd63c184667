"""`viiwork submit`: a file of jobs in, one batch out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.analyze import LANES, check_out, choose_lane
from viiwork.cli.callbacks import CallbackUrl
from viiwork.cli.checkedfile import Faults, check, readable
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.progress import display
from viiwork.cli.screen import say
from viiwork.cli.sending import finish, started
from viiwork.cli.urgency import Deadline, Urgency, choose_priority, seconds_of
from viiwork.cli.watch import DETACHED, exit_code, patiently
from viiwork.client import OnUpload, new_key
from viiwork.errors import Busy, Full, Unavailable, UsageError
from viiwork.jobfile import JobFile
from viiwork.jobs import BatchStatus


def submit(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Jobs, one JSON object a line; `-` reads them from stdin.")
    ],
    *,
    lane: Annotated[str, typer.Option(help=f"One of {LANES}.")] = "batch",
    model: Annotated[str, typer.Option(help="For lines that name none. Default: the only one served.")] = "",
    deadline: Deadline = "",
    priority: Urgency = "normal",
    callback_url: CallbackUrl = "",
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="With --wait: rows as they come, JSON Lines.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", "--watch", help="Follow it to its end.")] = False,
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="Go on with a file that broke off under this key.")
    ] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Submit a file of jobs as one batch. Every line is checked before any of it is sent.

    Exit code: 0 taken (with --wait: all have an answer), 1 some have no answer, 2 a line is wrong, 3 not taken now.
    """
    travel, urgency, deadline_s = choose_lane(lane), choose_priority(priority), seconds_of(deadline)
    if out_file is not None:
        check_out(out_file, wait=wait)
    with readable(file, sys.stdin.buffer) as (path, shown), connect(server) as client:
        jobs = checked(path, shown)
        send_key = key or new_key()

        def send(tell: OnUpload) -> BatchStatus:
            return client.submit_file(
                jobs,
                lane=travel,
                model=model or None,
                deadline_s=deadline_s,
                priority=urgency,
                callback_url=callback_url or None,
                on_upload=tell,
                idempotency_key=send_key,
            )

        status = sent(send, key=send_key, shown=shown, fresh=not key)
        if not wait:
            started(status, as_json=as_json, server=server)
            return
        status = finish(client, status, out_file=out_file, as_json=as_json, server=server)
    raise typer.Exit(exit_code(status))


def checked(path: Path, shown: str) -> JobFile:
    """The file if every line of it is a job. Raises UsageError once the first wrong ones have been named."""
    faults = Faults()
    jobs = check(path, shown, faults)
    for fault in faults.shown:
        say(f"{shown}:{fault}")
    if faults.count:
        many = "1 line is not as it" if faults.count == 1 else f"{faults.count:,} lines are not as they"
        raise UsageError(f"{shown}: nothing was sent; {many} must be.", param="FILE")
    return jobs


def sent(send: Callable[[OnUpload], BatchStatus], *, key: str, shown: str, fresh: bool) -> BatchStatus:
    """Send with a display. A service that goes away in the middle is waited for, and the file goes on where it was.

    `fresh` says that nobody has sent anything under this key before.
    """
    met = False
    with display() as screen:

        def tell(sent_bytes: int, total_bytes: int) -> None:
            nonlocal met
            met = True
            screen.upload(sent_bytes, total_bytes)

        try:
            return patiently(lambda: send(tell), worth_waiting=lambda: met)
        except KeyboardInterrupt:
            pass  # said below, once the display is gone
        except Unavailable as error:
            if not met:
                raise
            raise type(error)(error.message, hint=going_on(error, key=key)) from error
        except UsageError as error:
            if not of_the_file(error):
                raise
            kept = "Nothing of the file was kept." if fresh else ""
            raise type(error)(f"{shown}: {error.message}", hint=kept, param=error.param) from error
    say("Stopped. Unless all of the file had arrived, the service was told to cancel what it had taken.")
    raise typer.Exit(DETACHED)


def going_on(error: Unavailable, *, key: str) -> str:
    """What to do about a file that was not taken whole. A service without room may have taken none of it."""
    if isinstance(error, Busy | Full):
        return f"Later, the same command with --key {key} sends what was not taken."
    return f"To go on where it stopped, give the same command again with --key {key}."


def of_the_file(error: UsageError) -> bool:
    """Whether the service refused what is in the file, and so has withdrawn all of it."""
    return (error.param or "").startswith(("line.", "body", "Content-Digest"))
