"""What `viiwork compose` writes into its file: the cards, the plan for them, and the models' files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from viiwork.cli.given import settings_from
from viiwork.cli.plan import BY_CHIP, known, server_of, wishes_of
from viiwork.deploy.containers import NAMED_GROUPS, Cards, Container, Source, from_plan, mounts, simulated, source_of
from viiwork.devices import Device, Devices, open_devices
from viiwork.devices.access import device_file, this_person
from viiwork.devices.choose import CPU, NONE, SIMULATED
from viiwork.devices.host import ROOT, Host
from viiwork.devices.makers import check_makers
from viiwork.errors import UsageError
from viiwork.models.find import find
from viiwork.placement.cards import PlanCard, cards_named, cards_of
from viiwork.placement.plan import plan
from viiwork.placement.wish import SEQUENCES, Wish, asked_for
from viiwork.power.unkept import unkept
from viiwork.recipes.check import BUILT_IN
from viiwork.settings import Settings

EXAMPLE = "viiwork compose --cards 4xRadeonVII --model qwen3-8b:int4"
ASSUMED = "Render nodes and groups are assumed; best write the file again on the computer that has the cards."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for."""

    models: tuple[str, ...]
    engine: str
    context: int
    slots: int | None
    config: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the file will say, and whether all that was wished for is in it."""

    containers: tuple[Container, ...] = ()
    title: str = ""
    mounts: tuple[str, ...] = ()
    groups: tuple[str, ...] = NAMED_GROUPS
    remarks: tuple[str, ...] = ()
    unkept: tuple[str, ...] = ()
    """Limits that are set and that nobody keeps in containers."""
    complete: bool = True


def for_named(request: Request, cards: str) -> Found:
    """For cards that are not here: their nodes, groups and identities are assumed, or to be filled in."""
    named = cards_named(cards)
    made = _planned(request, named, Cards())
    limits = unkept(settings_from(request.config), cards=len(named))
    return replace(made, title=cards, remarks=(*made.remarks, ASSUMED), unkept=limits)


def for_here(request: Request, spec: str) -> Found:
    settings = settings_from(request.config)
    source = open_devices(spec, state_dir=settings.state_dir)
    found = () if spec in (NONE, CPU) else source.found()
    return replace(_for_found(request, spec, source, found), unkept=unkept(settings, cards=len(found)))


def _for_found(request: Request, spec: str, source: Devices, found: tuple[Device, ...]) -> Found:
    if spec.startswith(SIMULATED):
        return _of_simulated(request, spec, found)
    if not any(device.openable for device in found):
        return _without_cards(request, spec, source)
    check_makers(found)
    here = _with_groups(tuple(device for device in found if device.openable))
    return _planned(request, cards_of((device, source.read(device)) for device in found), here)


def _of_simulated(request: Request, spec: str, found: Sequence[Device]) -> Found:
    if request.models or request.engine not in ("auto", "simulated"):
        hint = "Leave --model and --engine out."
        raise UsageError("Simulated cards serve a simulated model.", hint=hint, param="model")
    return Found(containers=simulated(spec, found), title="simulated cards")


def _without_cards(request: Request, spec: str, source: Devices) -> Found:
    """One worker on the CPU; refused where something was asked for that needs cards."""
    if request.models or request.engine not in ("auto", *BUILT_IN):
        wanted = "A model" if request.models else request.engine
        hint = f"For cards of another computer: {EXAMPLE}. Without cards: --engine {', '.join(BUILT_IN)}."
        raise UsageError(f"{wanted} needs cards, and none were found.", hint=hint, param="devices")
    if spec in (NONE, CPU):
        return Found()
    told = "One worker answers on the CPU: the extractive preview, unless VIIWORK_CPU_ENGINE says otherwise."
    return Found(remarks=("No cards were found.", *source.why_none().splitlines(), told))


def _planned(request: Request, cards: Sequence[PlanCard], known_cards: Cards) -> Found:
    server = server_of(request.engine)
    wishes = wishes_of(
        list(request.models),
        engine=server,
        context=request.context,
        slots=request.slots or SEQUENCES,
        config=request.config,
    )
    sources = _sources(request, wishes)
    made = plan(wishes, cards, engine=server, known=lambda *asked: known(request.engine, *asked))
    containers = from_plan(
        made.placements,
        cards=known_cards,
        sources=sources,
        recipe_of=lambda arch: BY_CHIP.get(arch, "vllm") if request.engine == "auto" else request.engine,
        slots=request.slots,
    )
    if not containers:
        raise UsageError(made.refusals[0].told if made.refusals else "No card can be used.", param="model")
    used = [sources[each.model] for each in made.placements]
    return Found(
        containers=containers,
        title=f"{len(containers)} workers on cards",
        mounts=mounts(used),
        groups=known_cards.groups,
        remarks=(*(each.told for each in made.refusals), *made.warnings),
        complete=not made.refusals,
    )


def _sources(request: Request, wishes: Sequence[Wish]) -> dict[str, Source]:
    settings = settings_from(request.config)
    named = [asked_for(each).name for each in request.models]
    return {wish.shape.name: source_of(name, _files(name, settings)) for wish, name in zip(wishes, named, strict=True)}


def _files(name: str, settings: Settings) -> Path | None:
    """Where this computer has them; None for a model that only the catalogue knows. Raises UsageError."""
    try:
        found = find(name, settings=settings).absolute()
    except UsageError:
        return None
    astray = next(
        (path for path in sorted(found.glob("*")) if not path.resolve().is_relative_to(found.resolve())), None
    )
    if astray is not None:
        hint = "A container sees only what is inside; copy the model, or fetch it by `viiwork models pull`."
        raise UsageError(f"{astray} is a link that leads out of its directory.", hint=hint, param="model")
    return found


def _with_groups(devices: Sequence[Device]) -> Cards:
    """The numbers of the groups that the device files belong to: inside a container their names may mean others."""
    host, person = Host(ROOT), this_person()
    paths = ["/dev/kfd", *(f"/dev/dri/renderD{each.render_minor}" for each in devices if each.render_minor is not None)]
    gids = [file.gid for path in paths if (file := device_file(host, path, person)).there]
    return Cards(
        devices={device.id: device for device in devices}, groups=tuple(map(str, dict.fromkeys(gids))) or NAMED_GROUPS
    )
