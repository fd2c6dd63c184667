"""`viiwork plan`: which models would run on which cards, of this computer or of one that nobody owns yet."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from viiwork.cli.given import settings_from
from viiwork.cli.options import AsJson
from viiwork.cli.plantable import print_plan
from viiwork.cli.screen import print_json, say
from viiwork.devices import Devices, open_devices
from viiwork.devices.choose import AUTO, CPU, NONE
from viiwork.devices.kinds import KINDS
from viiwork.devices.makers import check_makers
from viiwork.errors import UsageError
from viiwork.models.find import find
from viiwork.placement.cards import PlanCard, cards_named, cards_of
from viiwork.placement.catalogue import known_names
from viiwork.placement.plan import Placement, Plan, plan
from viiwork.placement.shape import ModelShape
from viiwork.placement.split import Server
from viiwork.placement.support import Support, supported
from viiwork.placement.vram import UTILIZATION
from viiwork.placement.wish import SEQUENCES, Wish, read_wish

DOES_NOT_FIT = 1
EXAMPLE = "viiwork plan --cards 4xRadeonVII --model mistral-7b:int4"
BY_CHIP = {"gfx906": "vllm-gfx906"}
"""Which vLLM a chip needs, where it is not the usual one."""
ENGINES: dict[str, Server] = {
    "auto": "vllm",
    "vllm": "vllm",
    "vllm-gfx906": "vllm",
    "llama-cpp": "llama.cpp",
    "llama.cpp": "llama.cpp",
}


def plan_command(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:int4|:int8][,share=N][,replicas=N][,context=N]",
            help="A known model, one that was pulled, or a path; can be given several times.",
        ),
    ] = None,
    cards: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Such as 4xRadeonVII, 2xRadeonVII@x1+2xMI50-32GB. Default: this computer's."),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Which of this computer's: auto, amd, nvidia, simulated:4xRadeonVII."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="auto (vLLM, as each chip needs it), vllm-gfx906, vllm, llama-cpp.")
    ] = "auto",
    context: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="TOKENS",
            show_default=False,
            help="The longest request. Default: 8192, or what the model can.",
        ),
    ] = 0,
    slots: Annotated[int, typer.Option(min=1, max=1024, help="Requests at once in an engine, at most.")] = SEQUENCES,
    utilization: Annotated[
        float, typer.Option(min=0.1, max=1.0, help="The part of a card's memory that an engine may use.")
    ] = UTILIZATION,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Plan which models run on which cards: replicas first, groups only for what does not fit on one card.

    Nothing is started or changed. Exit codes: 0 all fit, 1 something does not, or there are no cards, 2 wrong usage.
    """
    if cards is not None and devices is not None:
        raise UsageError("Either --cards or --devices.", hint="--cards are those of another computer.", param="cards")
    server = server_of(engine)
    wishes = wishes_of(model or [], engine=server, context=context, slots=slots, config=config)
    found = cards_named(cards) if cards is not None else own_cards(this_machine(config, devices), model or [])
    made = plan(wishes, found, engine=server, utilization=utilization, known=lambda *asked: known(engine, *asked))
    if as_json:
        print_json(as_dict(made))
    elif found:
        print_plan(made, found, utilization=utilization)
    raise typer.Exit(DOES_NOT_FIT if made.refusals else 0)


def server_of(engine: str) -> Server:
    """How that engine splits. Raises UsageError for one that nobody plans for."""
    if engine not in ENGINES:
        raise UsageError(f"{engine}: no plan is made for it.", hint=f"There are {', '.join(ENGINES)}.", param="engine")
    return ENGINES[engine]


def wishes_of(models: list[str], *, engine: Server, context: int, slots: int, config: Path | None) -> list[Wish]:
    """What is wanted. Raises UsageError where nothing is, or one thing twice."""
    if not models:
        known_here = f"Known are {', '.join(known_names())}; or a pulled model, or a path."
        hint = f"{known_here} For cards that are not here: {EXAMPLE}"
        raise UsageError("Which models? Name at least one with --model.", hint=hint, param="model")

    def locate(name: str) -> Path:
        return find(name, settings=settings_from(config))

    wishes = [read_wish(each, engine=engine, context_tokens=context, sequences=slots, locate=locate) for each in models]
    names = [wish.shape.name for wish in wishes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        hint = f"For more of it: --model {twice},replicas=2 or {twice},share=2."
        raise UsageError(f"{twice} is named twice.", hint=hint, param="model")
    return wishes


def known(engine: str, shape: ModelShape, arch: str) -> Support:
    """What is known of this model on that chip, with the engine that was named or the one for the chip."""
    recipe = BY_CHIP.get(arch, "vllm") if engine == "auto" else engine.replace("llama.cpp", "llama-cpp")
    return supported(shape, engine=recipe, arch=arch)


def this_machine(config: Path | None, spec: str | None) -> Devices:
    """Its cards: those that are named, else those that the settings give to the fleet, else all."""
    settings = settings_from(config)
    named = spec or (settings.devices.spec if settings.devices.spec not in ("", NONE, CPU) else AUTO)
    return open_devices(named, state_dir=settings.state_dir)


def own_cards(source: Devices, models: Sequence[str]) -> tuple[PlanCard, ...]:
    """Those that are there; where there are none, why and what can be done is said. Raises as `up` does."""
    devices = source.found()
    check_makers(devices)
    found = cards_of((device, source.read(device)) for device in devices)
    if not found:
        for line in ("No cards were found.", *source.why_none().splitlines(), *elsewhere(models)):
            say(line)
    return found


def elsewhere(models: Sequence[str]) -> tuple[str, str]:
    """How the same is planned for cards that are not here."""
    wanted = [word for model in models for word in ("--model", model)]
    kinds = ", ".join(kind.key for kind in KINDS)
    return (
        f"For cards that are not here: {shlex.join(['viiwork', 'plan', '--cards', '4xRadeonVII', *wanted])}",
        f"Known kinds: {kinds}; each may say how it is connected, and several are joined: 2xRadeonVII@x1+2xMI50-32GB.",
    )


def as_dict(made: Plan) -> dict[str, Any]:
    """For programs."""
    return {
        "placements": [placement_dict(each) for each in made.placements],
        "spare": [asdict(card) for card in made.spare],
        "refusals": [asdict(each) for each in made.refusals],
        "warnings": list(made.warnings),
    }


def placement_dict(placement: Placement) -> dict[str, Any]:
    """One replica; `fit` is of one of its cards."""
    return {"name": placement.name, **asdict(placement)}
