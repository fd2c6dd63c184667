"""`viiwork bench`: what one's own rig does, and what it costs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from viiwork.cli.benchbar import BenchBar
from viiwork.cli.benchtable import bench_view
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.pace import duration
from viiwork.cli.screen import one_line, out, print_json, say
from viiwork.cli.watch import DETACHED
from viiwork.errors import UsageError
from viiwork.rig.crew import SUBMITTER
from viiwork.rig.outcome import Outcome
from viiwork.rig.people import THINK_S
from viiwork.rig.price import Price, Terms, Work, price
from viiwork.rig.published import published
from viiwork.rig.run import Order, Run
from viiwork.rig.share import shared
from viiwork.rig.size import FULL, QUICK, USUAL, Size
from viiwork.rig.wording import Wording
from viiwork.settings import load_settings


def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Short windows: minutes, and rough figures.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Long windows, five rounds: about an hour.")] = False,
    model: Annotated[str, typer.Option(help="The model to measure. Default: the only one served.")] = "",
    prompt_tokens: Annotated[int, typer.Option(min=16, help="Of a prompt, on average.")] = 512,
    output_tokens: Annotated[int, typer.Option(min=1, help="Of an answer, on average.")] = 128,
    in_flight: Annotated[int, typer.Option(min=1, max=1024, help="Most jobs in flight on one worker.")] = 64,
    users: Annotated[int, typer.Option(min=0, max=200, help="People beside a batch; 0: not measured.")] = 10,
    think: Annotated[float, typer.Option(min=0.05, help="Seconds between an answer and the next question.")] = THINK_S,
    window: Annotated[float | None, typer.Option(min=0.5, help="Seconds that a window lasts.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Windows a step.")] = None,
    tariff: Annotated[float | None, typer.Option(min=0.0, help="Money a kWh. Default: power.tariff_per_kwh.")] = None,
    currency: Annotated[str, typer.Option(help="What money is told in. Default: power.currency.")] = "",
    hardware_price: Annotated[float | None, typer.Option(min=0.0, help="What the machine cost.")] = None,
    years: Annotated[float | None, typer.Option(min=0.01, help="Over which that is written off.")] = None,
    cloud_price_in: Annotated[float | None, typer.Option(min=0.0, help="For a million tokens of prompts.")] = None,
    cloud_price_out: Annotated[float | None, typer.Option(min=0.0, help="For a million tokens of answers.")] = None,
    page_tokens: Annotated[int, typer.Option(min=1, help="Of a prompt that make a page; an assumption.")] = 500,
    anyway: Annotated[bool, typer.Option("--anyway", help="Measure although others have jobs in the fleet.")] = False,
    share: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the figures without names of yours to a new file.")
    ] = None,
    share_as: Annotated[str, typer.Option(metavar="NAME", help="What the model is called in there.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Measure what this fleet does: tokens a second for 1 to N workers and 1 to 64 in flight, people beside a batch,
    watts, tokens per joule, and what a million tokens cost.

    Workers are held while others are measured, and made-up jobs are run; both are undone at the end, by Ctrl-C, and by
    themselves within a minute where the command was killed. Exit code: 0 done, 130 stopped with Ctrl-C.
    """
    size = chosen_size(quick=quick, full=full, window_s=window, rounds=rounds)
    terms = chosen_terms(
        tariff=tariff,
        currency=currency,
        hardware_price=hardware_price,
        years=years,
        cloud_in=cloud_price_in,
        cloud_out=cloud_price_out,
        page_tokens=page_tokens,
    )
    check_share(share, share_as)
    order = Order(
        size=size,
        wording=Wording(prompt_tokens, output_tokens),
        model=model,
        most_in_flight=in_flight,
        people=users,
        think_s=think,
        anyway=anyway,
    )
    try:
        outcome = measured(order, server)
    except KeyboardInterrupt:
        say("Stopped: the jobs are cancelled, and no worker is held any more.")
        raise typer.Exit(DETACHED) from None
    terms = replace(terms, base_w=terms.base_w * outcome.hosts)
    show(outcome, terms, as_json=as_json)
    if share is not None:
        write_share(share, outcome, terms, name=share_as)


def measured(order: Order, server: str | None) -> Outcome:
    """Say how long it will take, then measure. KeyboardInterrupt, by SIGTERM too, leaves the fleet as it was."""
    with interrupted_by_sigterm(), Run(partial(connect, server, submitter=SUBMITTER), order) as run:
        crew = run.crew
        say(f"Warming up {crew.model} on {len(crew.workers)} worker{'' if len(crew.workers) == 1 else 's'}.")
        for told in crew.why:
            say(one_line(f"Left out: {told}."))
        total_s = run.prepare(say)
        say(f"This takes about {duration(total_s)}. Ctrl-C stops it and leaves the fleet as it was.")
        with BenchBar(total_s) as bar:
            return run.measure(bar.told)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM is as Ctrl-C meanwhile: it must not leave workers held, if only for seconds."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def chosen_size(*, quick: bool, full: bool, window_s: float | None, rounds: int | None) -> Size:
    """The size that was asked for. Raises UsageError for two at once."""
    if quick and full:
        raise UsageError("--full: has no place beside --quick; give one of them.", param="full")
    size = QUICK if quick else FULL if full else USUAL
    size = replace(size, window_s=window_s) if window_s is not None else size
    return replace(size, rounds=rounds) if rounds is not None else size


def chosen_terms(
    *, tariff: float | None, currency: str, cloud_in: float | None, cloud_out: float | None, **said: Any
) -> Terms:
    """The settings' prices, and those that were given. Raises UsageError for half of one."""
    power = load_settings().power
    if (cloud_in is None) != (cloud_out is None):
        missing = "cloud-price-in" if cloud_in is None else "cloud-price-out"
        raise UsageError(f"--{missing}: a price has both, for prompts and for answers.", param=missing)
    if said["years"] is not None and said["hardware_price"] is None:
        raise UsageError("--years: say what the hardware cost, with --hardware-price.", param="years")
    return Terms(
        currency=currency or power.currency,
        supply_efficiency=power.supply_efficiency,
        base_w=power.base_watts,
        tariff_per_kwh=power.tariff_per_kwh if tariff is None else tariff,
        cloud_in=cloud_in,
        cloud_out=cloud_out,
        **said,
    )


def check_share(path: Path | None, name: str) -> None:
    """Raises UsageError, before an hour is spent, for a file that is there or cannot be written."""
    if path is None and name:
        raise UsageError("--share-as: has no place without --share FILE.", param="share-as")
    if path is not None and path.exists():
        raise UsageError(f"--share: {path} is there already.", hint="Name another file.", param="share")
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"--share: there is no directory {path.absolute().parent}.", param="share")


def work_of(outcome: Outcome) -> Work | None:
    """What the machine does in a second with a batch on all workers; None where that is not known."""
    step = outcome.sustained
    if step is None or step.output_tokens_per_s is None:
        return None
    output = step.output_tokens_per_s.median
    ratio = outcome.tokens.prompt / outcome.tokens.output if outcome.tokens.output else 0.0
    return Work(prompt_tokens_per_s=output * ratio, output_tokens_per_s=output, cards_w=step.all_watts)


def priced(outcome: Outcome, terms: Terms) -> Price:
    """What that costs; all unknown where the work is."""
    idle = Work(prompt_tokens_per_s=0.0, output_tokens_per_s=0.0, cards_w=None)
    return price(work_of(outcome) or idle, terms)


def show(outcome: Outcome, terms: Terms, *, as_json: bool) -> None:
    """On standard output."""
    found, table = priced(outcome, terms), published()
    if as_json:
        print_json(
            outcome.as_json() | {"price": asdict(found), "terms": asdict(terms), "published": table.model_dump()}
        )
    else:
        out().print(bench_view(outcome, found, terms, table))


def write_share(path: Path, outcome: Outcome, terms: Terms, *, name: str) -> None:
    """The figures alone. Raises UsageError where it cannot be written."""
    day = datetime.now(UTC).date().isoformat()
    said = shared(outcome, priced(outcome, terms), terms, model=name, day=day)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(said, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"--share: {path}: {(error.strerror or str(error)).lower()}.", param="share") from error
    say(
        f"{path} holds the figures, without names of yours"
        + (f"; the model is called {name}." if name else "; the model is not named.")
    )
