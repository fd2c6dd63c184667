"""`viiwork doctor`: what may be wrong with the fleet, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.given import settings_from
from viiwork.cli.screen import one_line, out, plain, print_json
from viiwork.doctor import Finding, Verdict, diagnose, failed
from viiwork.errors import StoreUnavailable
from viiwork.fleet.examine import examine

STYLE = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def doctor(
    *,
    fleet: Annotated[str | None, typer.Option(help="The fleet's name.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="The fleet's state directory.")] = None,
    engine: Annotated[str | None, typer.Option(help="Check for this engine, as `up` would take it.")] = None,
    model: Annotated[str | None, typer.Option(help="Check for this model.")] = None,
    gpus: Annotated[int | None, typer.Option(help="Check for so many cards.")] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Check for these cards: auto, amd, nvidia, simulated:4xRadeonVII."),
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="all|worker", help="worker: check as a computer that joins a fleet.")
    ] = None,
    api: Annotated[str | None, typer.Option(metavar="URL", help="With --role worker: the head's API.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, one object a line.")] = False,
) -> None:
    """Check Redis, this host, its cards and the fleet, and say what to do. Changes nothing.

    Exit codes: 0 nothing fails, 1 something does, 3 Redis does not answer.
    """
    settings = settings_from(
        config,
        fleet={"name": fleet, "state_dir": state_dir, "role": role},
        blobs={"url": api},
        engine={"kind": engine, "model": model},
        workers={"gpus": gpus},
        devices={"spec": devices},
    )
    facts = asyncio.run(examine(settings))
    findings = diagnose(facts)
    if as_json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        out().print(table(findings))
    if facts.redis is None:
        raise typer.Exit(StoreUnavailable.exit_code)
    if failed(findings):
        raise typer.Exit(1)


def table(findings: Sequence[Finding]) -> FittedTable:
    """One row a check."""
    words = Column("Found", wraps=True), Column("What to do", wraps=True)
    shown = FittedTable(Column("Check"), Column(""), *words)
    for finding in findings:
        mark = plain(finding.verdict.value, STYLE[finding.verdict])
        shown.add_row(plain(finding.check), mark, plain(one_line(finding.found)), plain(one_line(finding.advice)))
    return shown
