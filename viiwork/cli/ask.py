"""`viiwork ask`: a question to the language model; its answer is shown while it is written."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO

import typer

from viiwork.cli.options import AsJson, Server, by_flags, connect
from viiwork.cli.screen import clean, one_line, print_json, say
from viiwork.cli.standstill import Standstill, watched
from viiwork.client import Client
from viiwork.errors import UsageError, ViiworkError
from viiwork.heldback import closed_lane
from viiwork.jobs import Lane, State, Status
from viiwork.telling import Delta, Restart
from viiwork.wire import public

CANCELLED = 130
"""The exit code after Ctrl-C, as shells have it."""
MOST_BYTES = 1024 * 1024
"""Of standard input. More would not fit any model's context; `analyze` cuts documents to size."""


class Page:
    """The answer as text: piece by piece on a terminal, else in one once it is whole."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._last = ""

    def add(self, text: str) -> None:
        """More of it."""
        if self._live and (shown := clean(text)):
            print(shown, end="", flush=True)
            self._last = shown[-1]

    def remark(self, text: str) -> None:
        """Something on standard error, on a line of its own."""
        if self._last:
            self._end_line()
            self._last = "\n"
        say(text)

    def begin_again(self) -> None:
        """What stands there is void."""
        if self._last:
            self._end_line()
            say("(started again)")

    def finish(self, status: Status) -> None:
        """The end: what is left to show, and what must be said of it."""
        answer = status.answer
        if answer and not self._live:
            self._last = text[-1] if (text := clean(answer.text)) else ""
            print(text, end="")
        self._end_line()
        if answer and answer.finish_reason == "length":
            say("(cut off: --max-tokens allows a longer answer)")
        if answer and answer.notice:
            say(answer.notice)

    def _end_line(self) -> None:
        if self._last and self._last != "\n":
            print(flush=True)
        self._last = ""


def ask(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to ask. Text on standard input is added below it.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Which model. Default: the only one served.")] = "",
    system: Annotated[str, typer.Option(help="What the model is told before the question.")] = "",
    max_tokens: Annotated[int | None, typer.Option(help="How long the answer may be. Default: 512.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2; 0, the default, is the likeliest answer.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Ask the model and see its answer as it is written. Ctrl-C cancels.

    Exit code: 0 answered, 1 no answer, 130 cancelled.
    """
    messages = conversation(question, further_text(sys.stdin.buffer) if sys.stdin else "", system=system)
    wanted = {"max_output_tokens": max_tokens, "temperature": temperature}
    fields: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    page = Page(live=sys.stdout.isatty() and not as_json)
    with connect(server) as client:
        with by_flags():
            job = client.submit_job(messages, model=model or None, lane=Lane.INTERACTIVE, stream=True, **fields)
        status = followed(client, job, page, closed=say_if_closed(client, job))
    if as_json:
        print_json(public(status))
    else:
        page.finish(status)
    raise typer.Exit(exit_code(status, said=as_json))


def followed(client: Client, job: Status, page: Page, *, closed: str = "") -> Status:
    """The job's last status, once its text is on the page; whoever stops reading cancels the job.

    What it waits for while nothing comes is said, but not that its lane is `closed`, which was said.
    """
    status = job
    still = Standstill(client.fleet, job.model, job.lane, told=closed)
    try:
        with watched(still, page.remark):
            for told in client.job_text(job.id):
                if not isinstance(told, Status) or told.state is State.RUNNING:
                    still.moved()
                if isinstance(told, Delta):
                    page.add(told.text)
                elif isinstance(told, Restart):
                    page.begin_again()
                else:
                    status = waited_for(told, before=status)
    except (KeyboardInterrupt, BrokenPipeError) as end:
        with suppress(ViiworkError):
            client.cancel_job(job.id)
        if isinstance(end, BrokenPipeError):
            raise
        say("\nCancelled.")
        raise typer.Exit(CANCELLED) from None
    return status


def say_if_closed(client: Client, job: Status) -> str:
    """The question is taken all the same; but nobody should sit till morning before a lane that is closed."""
    closed = ""
    with suppress(ViiworkError):  # the answer's own road tells what is wrong
        closed = closed_lane(client.fleet(), job.model, job.lane, now=datetime.now(UTC))
        if closed:
            say(one_line(f"{closed} The question waits there; Ctrl-C cancels it."))
    return closed


def waited_for(status: Status, *, before: Status) -> Status:
    """The status; says so once if the job has to wait behind others."""
    if status.state is State.WAITING and before.state is not State.WAITING and not status.attempt:
        say("Waiting for a free slot.")
    return status


def conversation(question: str, text: str, *, system: str) -> list[dict[str, str]]:
    """The messages to send. Raises UsageError when there is nothing to ask."""
    asked = "\n\n".join(part for part in (question.strip(), text) if part.strip())
    if not asked:
        raise UsageError("QUESTION: is empty.", hint='Such as: viiwork ask "What is a lease?"', param="QUESTION")
    told = [{"role": "system", "content": system}] if system.strip() else []
    return [*told, {"role": "user", "content": asked}]


def further_text(stdin: BinaryIO) -> str:
    """What is piped in; empty at a terminal. Raises UsageError for what is too long, or no text."""
    if stdin.isatty():
        return ""
    try:
        raw = stdin.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            hint = "`viiwork analyze FILE --question …` takes long documents."
            raise UsageError("standard input: longer than 1 MiB.", hint=hint, param="stdin")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"standard input: {(error.strerror or str(error)).lower()}.", param="stdin") from error
    except UnicodeDecodeError as error:
        hint = "`viiwork analyze FILE` reads PDF, Word and other files."
        raise UsageError("standard input: is not UTF-8 text.", hint=hint, param="stdin") from error


def exit_code(status: Status, *, said: bool) -> int:
    """0 with an answer, else 1, and the reason in one line unless it was `said`."""
    if status.answer:
        return 0
    if not said:
        fault = status.error
        say(f"viiwork: {one_line(f'{fault.message} {fault.hint}') if fault else f'it ended as {status.state.value}.'}")
    return 1
