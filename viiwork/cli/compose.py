"""`viiwork compose`: the fleet as a compose file, from a plan for this computer's cards or for others."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.composing import Found, Request, for_here, for_named
from viiwork.cli.screen import say
from viiwork.deploy.composefile import compose_file
from viiwork.deploy.containers import must_set
from viiwork.devices.choose import AUTO, NONE
from viiwork.errors import StartupError, UsageError

DOES_NOT_FIT = 1


def compose(
    *,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="The cards of this computer: auto, amd, nvidia, none, simulated:4xRadeonVII."
        ),
    ] = None,
    cards: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Cards of another computer: 4xRadeonVII, 2xRadeonVII@x1+2xMI50.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:int4|:int8][,share=N][,replicas=N][,context=N]",
            help="As for plan: a pulled model, a path, or a known one; can be given several times.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="With cards: auto, vllm-gfx906, vllm. Without: extractive, simulated, noop.")
    ] = "auto",
    context: Annotated[int, typer.Option(min=0, metavar="TOKENS", help="The longest request.", show_default=False)] = 0,
    slots: Annotated[int | None, typer.Option(min=1, max=1024, help="Requests at once in an engine, at most.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it. Default: to the output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that holds something else.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
) -> None:
    """Write a compose file: a container a replica of the plan, or one worker on the CPU where there are no cards.

    Exit codes: 0 written, 1 written, but not all models fit, 2 wrong usage.
    """
    if cards is not None and devices is not None:
        raise UsageError("Either --cards or --devices.", hint="--cards are those of another computer.", param="cards")
    request = Request(models=tuple(model or ()), engine=engine, context=context, slots=slots, config=config)
    found = for_named(request, cards) if cards is not None else for_here(request, devices or AUTO)
    text = compose_file(
        found.containers,
        command=command_of(devices=_settled(devices, cards, found), cards=cards, request=request),
        title=found.title,
        mounts=found.mounts,
        groups=found.groups,
        unkept=found.unkept,
        cpu_engine="extractive" if engine == "auto" else engine,
    )
    _write(text, out, force=force)
    for remark in (*found.remarks, *found.unkept):
        say(remark)
    for remark in to_be_set(must_set(found.containers)):
        say(remark)
    raise typer.Exit(0 if found.complete else DOES_NOT_FIT)


def to_be_set(names: Sequence[str]) -> tuple[str, ...]:
    """What a person still has to say before Docker starts anything."""
    if not names:
        return ()
    return (
        "Before `docker compose up`, write into .env beside the file (or into the environment):",
        *(f"  {name}=NAME" for name in names),
        "NAME is a pulled model of that shape (`viiwork models list`; docs/deploy.md). "
        "Docker starts nothing without it.",
    )


def command_of(*, devices: str | None, cards: str | None, request: Request) -> str:
    """How the file is written again."""
    engine = request.engine if request.engine != "auto" else None
    given = {"--devices": devices, "--cards": cards, "--engine": engine, "--slots": request.slots}
    flags = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    context = ["--context", str(request.context)] if request.context else []
    return shlex.join(
        ["viiwork", "compose", *flags, *context, *(word for each in request.models for word in ("--model", each))]
    )


def _settled(devices: str | None, cards: str | None, found: Found) -> str | None:
    """Of a file without cards it is said so, whatever was looked for: it suits any computer."""
    return devices if found.containers or cards is not None else NONE


def _write(text: str, out: Path | None, *, force: bool) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        if out.exists() and not force and out.read_text(encoding="utf-8") not in ("", text):
            hint = "--force writes over it; what is yours is safer in compose.override.yaml."
            raise UsageError(f"{out} holds something else.", hint=hint, param="out")
        out.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is no text"
        raise StartupError(f"{out}: {reason}.") from error
