"""One run of `viiwork analyze`, from its files to its rows: sampled, taken up, asked for, sent, followed, recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from viiwork.api.served import choose_model
from viiwork.bigrun.record import RunRecord, beside
from viiwork.bigrun.sample import sampled
from viiwork.cli.again import differences
from viiwork.cli.consent import check_wanted, whom_to_ask
from viiwork.cli.estimate import Reckoner, print_estimate, reckoner
from viiwork.cli.facts import documents
from viiwork.cli.order import Order
from viiwork.cli.outfile import OutFile
from viiwork.cli.output import Hashed, Output, new_output, setup_now, taken_up
from viiwork.cli.renewal import renew_retried
from viiwork.cli.report import Report
from viiwork.cli.screen import err, say
from viiwork.cli.sending import finish, send, started
from viiwork.cli.tablefile import tell_disarmed, write_results
from viiwork.cli.watch import Sink, exit_code, follow_or_detach, raw_printer, row_reader
from viiwork.client import Client
from viiwork.jobs import BatchStatus
from viiwork.runs import Run
from viiwork.settings import load_settings
from viiwork.tabling.formats import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a run is to go, besides what is asked of each document."""

    paths: tuple[str, ...]
    recursive: bool = True
    out: OutFile | None = None
    printed: Format | None = None
    """The form of a table on standard output, once all is there."""
    wait: bool = True
    resume: bool = False
    sample: int | None = None
    seed: int = 0
    yes: bool = False
    again: RunRecord | None = None
    """The run that this one repeats."""
    as_json: bool = False
    server: str | None = None

    @property
    def keeps_record(self) -> bool:
        """Whether there is a file that a record can stand beside: a pipe has none."""
        return self.out is not None and (not self.out.path.exists() or self.out.path.is_file())


def carry_out(client: Client, order: Order, files: Sequence[Hashed], wish: Wish) -> int:
    """The whole run; answers the exit code. Raises typer.Exit for whoever detaches or says no."""
    output = opened(client, order, wish, files)
    if output is None:
        return plainly(client, order, drawn(files, wish), wish)
    begun = output.record.unfinished
    with told_how_to_go_on():
        output.collect(client, server=wish.server)
    renew_retried(output, client, begun=begun, server=wish.server)
    left = output.left(files)
    if len(left) < len(files):
        say(f"{len(files) - len(left)} of {len(files)} files are done already.")
    todo = drawn(left, wish)
    report, status = Report(), None
    if todo:
        status = work_on(client, order, todo, wish, output=output, report=report)
    record = output.close()
    if status is not None and not wish.as_json:
        report.show(status, more=f"they are in {output.file.path}")
    path = output.file.path
    say(f"{path}: {record.tally.documents} rows; how they were made is in {beside(path).name}.")
    if status is not None and wish.sample is not None:
        now = {id(one) for one in todo}
        tell_rest(client, order, [one for one in left if id(one) not in now], status)
    return 0 if record.tally.answered == record.tally.documents else 1


def opened(client: Client, order: Order, wish: Wish, files: Sequence[Hashed]) -> Output | None:
    """The output that the rows go to, if it can have a record; what a run that is repeated lacks of the first is said.

    Raises UsageError, ModelNotServed.
    """
    if not wish.keeps_record and wish.again is None:
        return None
    fleet = client.fleet()
    model = choose_model(order.model or None, fleet.models)
    if wish.again is not None:
        for line in differences(wish.again, setup_now(fleet, order, model), [one.sha256 for one in files]):
            say(line)
    if wish.out is None or not wish.keeps_record:
        return None
    fresh = new_output(wish.out, fleet, order, model, paths=wish.paths, recursive=wish.recursive)
    return taken_up(fresh) if wish.resume else fresh


def drawn(files: Sequence[Hashed], wish: Wish) -> list[Hashed]:
    """Those of the sample, or all."""
    if wish.sample is None:
        return list(files)
    if wish.out is None:
        say("Without --out FILE the full run cannot use the rows of this sample.")
    names = [one.file.shown_name for one in files]
    return [files[place] for place in sampled(names, wish.sample, seed=wish.seed)]


def plainly(client: Client, order: Order, todo: Sequence[Hashed], wish: Wish) -> int:
    """Without a record: rows to the screen, to a pipe, or nobody waits for them."""
    status = sent(client, order, todo, wish)
    if not wish.wait:
        started(status, as_json=wish.as_json, server=wish.server)
        return 0
    if wish.printed is not None:
        status = follow_or_detach(client, status.id, [], server=wish.server, met=True)
        tell_disarmed(write_results(client, status, None, wish.printed, schema=order.options.json_schema))
        return exit_code(status)
    out_file = None if wish.out is None else wish.out.path
    return exit_code(finish(client, status, out_file=out_file, as_json=wish.as_json, server=wish.server))


def work_on(
    client: Client, order: Order, todo: Sequence[Hashed], wish: Wish, *, output: Output, report: Report
) -> BatchStatus:
    """Send what is still to be done, and follow it to its end."""
    status = sent(client, order, todo, wish)
    output.begin(status, todo, sample=wish.sample, seed=None if wish.sample is None else wish.seed)
    sinks: list[Sink] = [raw_printer() if wish.as_json else row_reader(report)]
    if not wish.as_json:
        say(f"{status.id}: {documents(status)}, model {status.model}")
    with told_how_to_go_on():
        return output.follow(client, status.id, sinks, server=wish.server)


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Whoever stops waiting hears how the output is finished."""
    try:
        yield
    except typer.Exit:
        say("  go on here:   the same command with --resume")
        raise


def sent(client: Client, order: Order, todo: Sequence[Hashed], wish: Wish) -> BatchStatus:
    """Start it, once nobody minds how long it takes."""
    files = [one.file for one in todo]
    known = None if wish.yes else reckoner(client, task=order.task, options=order.options, model=order.model)
    if known is not None:
        check_wanted(known, files, above_hours=load_settings().analyze.ask_above_hours, asks=whom_to_ask())
    return send(lambda tell: order.send(client, files, on_upload=tell))


def tell_rest(client: Client, order: Order, rest: Sequence[Hashed], status: BatchStatus) -> None:
    """What the documents that were not drawn will take, by what the sample took."""
    known = reckoner(client, task=order.task, options=order.options, model=order.model) if rest else None
    if known is None or not (pilot := pilot_of(known, status)):
        return
    say(f"The other {len(rest)}, reckoned by this sample:")
    print_estimate(known.estimate([one.file for one in rest], like=pilot), err())
    say("To do them: the same command, with --resume in the place of --sample.")


def pilot_of(known: Reckoner, status: BatchStatus) -> list[Run]:
    """What the fleet remembers of an analysis that has just ended."""
    return [run for run in known.runs if run.finished_ms == status.finished_ms]
