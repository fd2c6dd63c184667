"""Which containers a fleet consists of, from a plan or from cards. Pure: documents in, descriptions out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from viiwork.devices import Device
from viiwork.errors import UsageError
from viiwork.placement.cards import PlanCard
from viiwork.placement.plan import Placement
from viiwork.recipes.launch import CLEARING_S
from viiwork.recipes.load import recipe_for
from viiwork.recipes.modelfacts import alias_of
from viiwork.recipes.parallel import Parallel
from viiwork.variables import PREFIX, WORKER_CARDS, WORKER_SPLIT

DRAIN_S = 60
SLACK_S = 10
"""From a worker's last job to its engine's end, as a fleet without containers has it."""
FIRST_NODE = 128
NAMED_GROUPS = ("${VIDEO_GID:-44}", "${RENDER_GID:-105}")
"""Of a machine that is not this one: `getent group video render` tells the numbers there."""
CARD_VARIABLE, MODEL_VARIABLE = f"{PREFIX}GPU{{}}", f"{PREFIX}MODEL_{{}}"
KFD = "/dev/kfd"
MUST = re.compile(r"\$\{(\w+):\?")


@dataclass(frozen=True, slots=True)
class Image:
    """What an engine's worker runs in: the engine, and VIIWork beside it."""

    name: str
    dockerfile: str
    base: str
    """By default; a build may be given another."""


IMAGES = {
    "vllm-gfx906": Image(
        "viiwork-gfx906", "deploy/Dockerfile.gfx906", "mixa3607/vllm-gfx906:0.20.1-rocm-6.3.3-aiinfos"
    ),
    "vllm": Image("viiwork-cuda", "deploy/Dockerfile.cuda", "vllm/vllm-openai:v0.32.0"),
}
"""By the recipe. Of the first base docs/radeon-vii.md tells; the recipe was checked with the second's version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a container finds a model's files."""

    model: str
    """A path that is the same inside, or a variable that must be set."""
    alias: str
    mount: str = ""
    """The path on the host that is passed in, to be read only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One engine worker."""

    worker: str
    """`gpu0`, `gpu0+gpu1`."""
    what: str
    """For whoever reads the file."""
    image: Image | None = None
    builds: bool = False
    """It is the first of its image."""
    environment: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    """AMD's device files."""
    uuids: tuple[str, ...] = ()
    """NVIDIA's cards."""

    @property
    def service(self) -> str:
        """Its name in the file, where no plus may stand."""
        return self.worker.replace("+", "-")

    @property
    def must_set(self) -> tuple[str, ...]:
        """Variables without which Docker starts nothing."""
        return tuple(name for value in self.environment.values() for name in MUST.findall(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """What is known of a plan's cards beside the plan: nothing of those that are elsewhere."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    """By the card's id."""
    groups: tuple[str, ...] = NAMED_GROUPS
    """Those of the device files, as numbers."""


def from_plan(
    placements: Sequence[Placement],
    *,
    cards: Cards,
    sources: Mapping[str, Source],
    recipe_of: Callable[[str], str],
    slots: int | None = None,
) -> tuple[Container, ...]:
    """A container a placement. `recipe_of` tells a chip's engine. Raises UsageError for one that no image holds."""
    made = [
        _container(each, cards, recipe_of(each.cards[0].arch), _engine(each, sources[each.model], slots))
        for each in placements
    ]
    engines = {"VIIWORK_WORKERS_GPUS": str(len(made))}  # so many share the processors
    return tuple(_first_builds([replace(each, environment={**each.environment, **engines}) for each in made]))


def simulated(spec: str, devices: Sequence[Device]) -> tuple[Container, ...]:
    """A container a simulated card: everything but the cards is real."""
    common = {
        "VIIWORK_ENGINE_KIND": "simulated",
        "VIIWORK_DEVICES_SPEC": spec,
        "VIIWORK_WORKERS_GPUS": str(len(devices)),
    }
    return tuple(Container(worker=f"gpu{device.index}", what=device.name, environment=common) for device in devices)


def stop_s(recipes: Sequence[str]) -> int:
    """How long a worker may take to stop: its jobs, its slowest engine's end, and until the card's memory is back."""
    ends_s = [recipe_for(kind, "gpu0").stop_grace_s + CLEARING_S for kind in recipes]
    return math.ceil(DRAIN_S + SLACK_S + max(ends_s, default=0.0))


def mounts(sources: Sequence[Source]) -> tuple[str, ...]:
    """The models' files, at the same path in every container, once each."""
    return tuple(dict.fromkeys(f"{each.mount}:{each.mount}:ro" for each in sources if each.mount))


def source_of(name: str, found: PurePath | None) -> Source:
    """From what the model was called, and where its files are on this computer. Raises SettingsError, UsageError."""
    alias = alias_of(name)
    if found is None:
        variable = MODEL_VARIABLE.format("".join(each if each.isalnum() else "_" for each in alias).upper())
        return Source(model=f"${{{variable}:?the name of a pulled model of this shape}}", alias=alias)
    if {":", "$"} & set(str(found)) or not str(found).isprintable():
        hint = "Give it another name: a colon ends a path in a compose file, a dollar begins a variable."
        raise UsageError(f"{found} cannot be passed into a container.", hint=hint, param="model")
    return Source(model=str(found), alias=alias, mount=str(found))


def _container(placement: Placement, cards: Cards, recipe: str, engine: Mapping[str, str]) -> Container:
    image = IMAGES.get(recipe)
    if image is None:
        hint = f"There are images for {', '.join(IMAGES)}."
        raise UsageError(f"{recipe}: no image of VIIWork's holds it.", hint=hint, param="engine")
    ours = [cards.devices[card.id] for card in placement.cards if card.id in cards.devices]
    amd = recipe == "vllm-gfx906"
    return Container(
        worker=placement.name,
        what=f"{placement.model}, {placement.split}",
        image=image,
        environment={
            "VIIWORK_ENGINE_KIND": recipe,
            "VIIWORK_ENGINE_CONTAINER": "none",  # it is in one, with the engine beside it
            **engine,
            **_identity(ours),
        },
        nodes=(KFD, *(_node(card, cards) for card in placement.cards)) if amd else (),
        uuids=() if amd else tuple(_uuid(card, cards) for card in placement.cards),
    )


def _engine(placement: Placement, source: Source, slots: int | None) -> dict[str, str]:
    return {
        "VIIWORK_ENGINE_MODEL": source.model,
        "VIIWORK_ENGINE_ALIAS": source.alias,
        "VIIWORK_ENGINE_CONTEXT_TOKENS": str(placement.max_model_len),
        **({"VIIWORK_ENGINE_SLOTS": str(slots)} if slots else {}),
        WORKER_SPLIT: str(Parallel(placement.tp, placement.pp)),
    }


def _identity(devices: Sequence[Device]) -> dict[str, str]:
    """Which cards it has, whatever else is renumbered; inside, the host's others are listed and cannot be opened."""
    if not devices:
        return {}
    return {"VIIWORK_DEVICES_SPEC": devices[0].vendor, WORKER_CARDS: ",".join(device.id for device in devices)}


def _node(card: PlanCard, cards: Cards) -> str:
    device = cards.devices.get(card.id)
    if device is not None and device.render_minor is not None:
        return f"/dev/dri/renderD{device.render_minor}"
    return f"${{{CARD_VARIABLE.format(card.index)}:-/dev/dri/renderD{FIRST_NODE + card.index}}}"


def _uuid(card: PlanCard, cards: Cards) -> str:
    device = cards.devices.get(card.id)
    if device is not None and device.uuid:
        return device.uuid
    return f"${{{CARD_VARIABLE.format(card.index)}:-{card.index}}}"


def _first_builds(made: Sequence[Container]) -> Iterator[Container]:
    seen: set[Image] = set()
    for each in made:
        yield replace(each, builds=each.image is not None and each.image not in seen)
        seen |= {each.image} if each.image else set()


def must_set(containers: Sequence[Container]) -> tuple[str, ...]:
    """The variables that a person has to set before this file can be brought up, each once."""
    return tuple(dict.fromkeys(name for each in containers for name in each.must_set))
