"""`viiwork analyze --estimate`: the files are read here, no model is asked, and nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console

from viiwork.abilities import Ability
from viiwork.api.scales import misfits
from viiwork.api.served import choose_model
from viiwork.bigrun.bound import at_most
from viiwork.bigrun.estimate import Estimate, estimate
from viiwork.bigrun.survey import Survey, survey
from viiwork.cli.estimateview import estimate_view
from viiwork.cli.order import Order
from viiwork.cli.readingbar import ReadingBar
from viiwork.cli.screen import out, plain, print_json
from viiwork.client import Client
from viiwork.client.uploads import size_bytes
from viiwork.documents.limits import Limits
from viiwork.documents.prompts import UNCOUNTED
from viiwork.documents.room import Room, at_hand, narrowest, room_for
from viiwork.errors import ModelNotServed, NotFound
from viiwork.multipart import FileDocument
from viiwork.roster import FleetStatus, WorkerCard
from viiwork.runs import Run
from viiwork.work import AnalysisTask, StepInput, TaskOptions

FOREIGN = (
    "The model came without a tokenizer.json: tokens were counted by another's, without what the chat's template adds. "
    "They are rough: the model may count a quarter more, or less."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoner:
    """All that an estimate takes besides the files; `reckoner` asks the fleet for it, once."""

    model: str
    engine: str
    slots: int
    room: Room
    task: AnalysisTask
    options: TaskOptions
    runs: tuple[Run, ...]
    remarks: tuple[str, ...]
    prompted: bool = True
    """False for an engine that takes no chat, and so gets no instructions."""

    def estimate(self, files: Sequence[FileDocument], *, like: Sequence[Run] = ()) -> Estimate:
        """Read the files as the fleet's readers would, and reckon: by runs `like` this one, if any are given."""
        with ReadingBar(len(files)) as bar:
            found = asyncio.run(survey(files, room=self.room, limits=Limits(), on_file=bar.seen))
        return self._of(found, tuple(like) or self.runs)

    def bound(self, files: Sequence[FileDocument]) -> Estimate:
        """What they can come to at most, by their sizes."""
        sizes = (size_bytes(file.path) for file in files)
        return self._of(at_most(sizes, passage_tokens=self.room.passage_tokens), self.runs)

    def _of(self, found: Survey, runs: Sequence[Run]) -> Estimate:
        return estimate(
            found,
            model=self.model,
            engine=self.engine,
            slots=self.slots,
            room=self.room,
            task=self.task,
            options=self.options,
            runs=runs,
            remarks=self.remarks,
            prompted=self.prompted,
        )


def reckoner(client: Client, *, task: AnalysisTask, options: TaskOptions, model: str) -> Reckoner | None:
    """What the fleet says of the model; None where no worker of it says how much it takes.

    Raises ModelNotServed, and UsageError for what the model cannot do or has no room for.
    """
    fleet = client.fleet()
    chosen = choose_model(model or None, fleet.models)
    check_able(fleet, chosen, task, options)
    told = narrowest((worker.card for worker in fleet.workers), chosen)
    if told is None:
        return None
    card = at_hand(told)
    return Reckoner(
        model=chosen,
        engine=told.engine,
        slots=slots_of(fleet, chosen),
        room=room_for(card, task, options),
        task=task,
        options=options,
        runs=known_runs(client, chosen),
        remarks=tuple(remarks_on(told, card)),
        prompted=is_prompted(told),
    )


def told_estimate(client: Client, files: Sequence[FileDocument], order: Order, *, as_json: bool) -> None:
    """`--estimate`. Raises ModelNotServed where no worker says how much the model takes, and what `reckoner` raises."""
    known = reckoner(client, task=order.task, options=order.options, model=order.model)
    if known is None:
        raise ModelNotServed("--estimate: no worker of the model says how much it takes.", param="model")
    show_estimate(known.estimate(files), as_json=as_json)


def check_able(fleet: FleetStatus, model: str, task: AnalysisTask, options: TaskOptions) -> None:
    """Raises UsageError, as the service would, for what no worker of the model can do."""
    for unable in filter(None, misfits([StepInput(task=task, options=options, text="")], model, fleet)):
        raise unable.error()


def known_runs(client: Client, model: str) -> tuple[Run, ...]:
    """What the fleet remembers of analyses; nothing from a service of an earlier version."""
    with suppress(NotFound):
        return client.runs(model)
    return ()


def slots_of(fleet: FleetStatus, model: str) -> int:
    """How many calls the model's workers take at a time, those left out that may take none."""
    return sum(one.card.slots for one in fleet.workers if one.card.model == model and not one.quarantine)


def is_prompted(card: WorkerCard) -> bool:
    """Whether its engine is told in words what to do."""
    return Ability.CHAT not in card.cannot


def remarks_on(told: WorkerCard, card: WorkerCard) -> list[str]:
    """What must be known of the counts."""
    said = [told.notice] if told.notice else []
    if told.tokenizer in UNCOUNTED and is_prompted(told) and not told.notice:
        said.append(FOREIGN)
    elif card is not told:
        said.append("The model's tokenizer is not on this computer: tokens were counted by another, parts cut smaller.")
    return said


def show_estimate(found: Estimate, *, as_json: bool) -> None:
    """On standard output."""
    if as_json:
        print_json(found.as_json)
    else:
        print_estimate(found, out())


def print_estimate(found: Estimate, console: Console) -> None:
    """The facts, then what must be known of them."""
    console.print(estimate_view(found))
    for remark in found.remarks:
        console.print(plain(remark, "italic"), soft_wrap=True)
