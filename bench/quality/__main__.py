"""`python -m bench.quality [--json] [--engine-url URL --model NAME]` measures how good answers are, against floors.

Exit codes: 0 every gate holds; 1 one does not, or something broke; 2 wrong usage; 3 the documents or the engine cannot
be reached; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.flags import positive
from bench.machine import machine
from bench.quality import extraction, faq, fill, fortunes, manuals, quotation, recall, samplework
from bench.quality.desk import EXTRACTIVE, Desk
from bench.quality.packages import Library
from bench.quality.server import section
from bench.report import Report
from bench.stopping import forget_settings, measured, stop_in_order
from viiwork.errors import UsageError, ViiworkError
from viiwork.settings import EngineSection

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "quality"


@dataclass(frozen=True, slots=True)
class Measure:
    """One of the things that are measured."""

    about: str
    run: Callable[[Desk], Awaitable[Report]]
    of_models: bool = False
    """Only a language model can do it."""


MEASURES: Mapping[str, Measure] = {
    "quotes": Measure("quotes copied with mistakes are found, made-up ones are not", quotation.measure),
    "pdf": Measure("a PDF's words, beside the same book as text", recall.measure),
    "chunks": Measure("parts of documents: none over its limit", fill.measure),
    "merge": Measure("extractions of a paper's parts put together, read by a scripted engine", extraction.merge),
    "samples": Measure("labels and facts of this project's samples", samplework.measure),
    "ask": Measure("questions of the Debian FAQ", faq.measure),
    "classify": Measure("subjects of fortune cookies", fortunes.measure),
    "summarize": Measure("summaries of manual pages, beside their NAME lines", manuals.measure),
    "extract": Measure("fields of invoices and letters, by the model", extraction.measure, of_models=True),
}


def main(words: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(words)
    forget_settings()
    stop_in_order()
    console = Console(stderr=True)
    try:
        desk = _desk(options, console)
        chosen = options.only or [name for name, one in MEASURES.items() if desk.writes or not one.of_models]
        _check(chosen, desk)
    except ViiworkError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    try:
        reports, errors = _taken(list(dict.fromkeys(chosen)), desk)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    if reports or options.json:
        _show(reports, errors, desk, as_json=options.json)
    missed = [line for report in reports for line in short_of(report)]
    for line in (*(f"{name} could not be measured: {error}" for name, error in errors.items()), *missed):
        print(line, file=sys.stderr)
    return 1 if missed else max((error.exit_code for error in errors.values()), default=0)


def _taken(names: Sequence[str], desk: Desk) -> tuple[list[Report], dict[str, ViiworkError]]:
    """What was measured, and what could not be: one measure that fails does not throw the others away."""
    reports, errors = list[Report](), dict[str, ViiworkError]()
    for name in names:
        try:
            reports.append(_run(name, desk))
        except ViiworkError as error:
            errors[name] = error
    return reports, errors


def short_of(report: Report) -> list[str]:
    """A sentence for each gate that does not hold: which one, and by how much."""
    figures = report.as_dict()["figures"]
    return [
        f"{report.scenario}: {goal.name} is {figures[goal.name]:,}, and {goal.words} is wanted: "
        f"it misses by {goal.short_by(figures[goal.name]):.3g}."
        for goal in report.goals
        if goal.short_by(figures[goal.name]) > 0
    ]


def _run(name: str, desk: Desk) -> Report:
    desk.console.print(f"{name}: {MEASURES[name].about} …", highlight=False)
    return asyncio.run(measured(MEASURES[name].run(desk)))


def _show(reports: Sequence[Report], errors: Mapping[str, ViiworkError], desk: Desk, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "engine": _engine(desk),
            **machine(),
        }
        told |= {"measures": [report.as_dict() for report in reports]}
        print(json.dumps(told | {"not_measured": {name: str(error) for name, error in errors.items()}}, indent=2))
        return
    table = Table("measure", "figure", title=f"Quality of {_engine(desk)}", title_justify="left")
    for name in ("is", "wanted", "holds"):
        table.add_column(name, justify="right")
    for report in reports:
        _rows(table, report.as_dict())
    Console().print(table)


def _rows(table: Table, told: Mapping[str, Any]) -> None:
    goals = {goal["name"]: goal for goal in told["goals"]}
    for at, (name, figure) in enumerate(told["figures"].items()):
        goal = goals.get(name)
        wanted, holds = (goal["goal"], "yes" if goal["reached"] else "NO") if goal else ("", "")
        last = at == len(told["figures"]) - 1
        table.add_row("" if at else told["scenario"], name, f"{figure:,}", wanted, holds, end_section=last)


def _engine(desk: Desk) -> str:
    return desk.engine.model or "" if desk.writes else "the extractive preview"


def _desk(options: argparse.Namespace, console: Console) -> Desk:
    def told(name: str, _count: int) -> None:
        if name not in fetched:
            fetched.add(name)
            console.print(f"fetching the Debian package {name} …", highlight=False)

    fetched = set[str]()
    return Desk(Library(options.cache, on_bytes=told), console, engine=_section(options), most=options.most)


def _section(options: argparse.Namespace) -> EngineSection:
    """Raises UsageError, Unavailable."""
    if options.engine_url:
        return section(
            options.engine_url,
            model=options.model,
            key_file=options.key_file,
            context_tokens=options.context_tokens,
            canary=not options.no_canary,
        )
    if options.model or options.key_file or options.context_tokens:
        raise UsageError("what is said of a model means nothing without --engine-url.", hint="Say where the server is.")
    return EXTRACTIVE


def _check(names: Sequence[str], desk: Desk) -> None:
    """Raises UsageError for a measure that the engine cannot be asked for."""
    for name in names:
        if MEASURES[name].of_models and not desk.writes:
            raise UsageError(f"{name} takes a language model.", hint="Say where one is: --engine-url.")


def _parser() -> argparse.ArgumentParser:
    about = "\n".join(f"  {name:10} {measure.about}" for name, measure in MEASURES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality",
        epilog=f"measures:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="a measure; again for more of them")
    parser.add_argument("--engine-url", metavar="URL", help="an OpenAI-compatible server, in place of the preview")
    parser.add_argument("--model", metavar="NAME", help="what that server calls its model (default: it is asked)")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="holds the key that the server wants")
    parser.add_argument("--context-tokens", type=positive, metavar="N", help="of the model (default: it is asked)")
    parser.add_argument("--no-canary", action="store_true", help="take a model that writes nonsense, too")
    parser.add_argument("--most", type=positive, metavar="N", help="questions or documents of each measure")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the documents are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
