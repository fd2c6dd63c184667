"""What an analysis will take: what was read, what the model takes and what the fleet has done, put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from viiwork.bigrun.hours import Reckoned, reckoned
from viiwork.bigrun.survey import Survey
from viiwork.bigrun.workload import Frame, Span, Workload, workload
from viiwork.documents.room import Room
from viiwork.documents.tasks import bare_steps, each_asked, messages_for
from viiwork.documents.tasktexts import task_text
from viiwork.runs import Run
from viiwork.wire import public
from viiwork.work import AnalysisTask, TaskOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What was found in the files, and what follows from it."""

    model: str
    engine: str
    slots: int
    """How many calls the model's workers take at a time now."""
    found: Survey
    work: Workload
    output_at_most: float
    """Tokens, if each answer were as long as is allowed."""
    by: Reckoned | None
    """None where this fleet has done nothing yet that it could be held against."""
    remarks: tuple[str, ...] = ()

    @property
    def as_json(self) -> dict[str, Any]:
        """For programs. A range is a list of two; seconds and what follows from runs are null where none is known."""
        found, by = self.found, self.by
        costs = by.cost if by else None
        return {
            "model": self.model,
            "engine": self.engine,
            "slots": self.slots,
            "files": found.files,
            "documents": found.documents,
            "copies": found.copies,
            "unreadable": dict(sorted(found.unreadable.items())),
            "pages": found.pages,
            "pages_without_text": found.pages_without_text,
            "calls": {"maps": self.work.maps, "merges": whole(self.work.merges)},
            "prompt_tokens": whole(self.work.prompt_tokens),
            "output_tokens": whole(self.work.output_tokens) if by else None,
            "output_tokens_at_most": round(self.output_at_most),
            "seconds": list(asdict(by.seconds).values()) if by else None,
            "energy_j": list(asdict(by.energy_j).values()) if by and by.energy_j else None,
            "cost": [public(cost) for cost in costs] if costs else None,
            "reckoned_by": [public(run) for run in by.runs] if by else [],
            "remarks": list(self.remarks),
        }


def estimate(
    found: Survey,
    *,
    model: str,
    engine: str,
    slots: int,
    room: Room,
    task: AnalysisTask,
    options: TaskOptions,
    runs: Sequence[Run],
    remarks: Sequence[str] = (),
    prompted: bool = True,
) -> Estimate:
    """Everything that is told of files that were read by the same room. `prompted`: the engine is told in words."""
    most = options.max_output_tokens
    work_of = partial(work_for, found, room=room, task=task, options=options, prompted=prompted)
    by = reckoned(work_of, runs, task=task.value, slots=slots, most_tokens=most)
    return Estimate(
        model=model,
        engine=engine,
        slots=slots,
        found=found,
        work=by.work if by else work_of(Span(1, most)),
        output_at_most=work_of(Span(most, most)).output_tokens.high,
        by=by,
        remarks=(*remarks, *remarks_on(by, task=task, slots=slots)),
    )


def work_for(
    found: Survey, answer: Span, *, room: Room, task: AnalysisTask, options: TaskOptions, prompted: bool = True
) -> Workload:
    """The work that these documents make, for answers of so many tokens on average."""
    around = frame_tokens(room, task, options) if prompted else asked_tokens(room, options)
    asked = len(each_asked(options))
    maps = sum(parts * documents for parts, documents in found.parts.items())
    return workload(
        found.parts,
        map_tokens=maps * around + found.passage_tokens,
        asked=asked,
        frame=Frame(tokens=around, passage_tokens=room.passage_tokens),
        rule=task_text(task).merge,
        answer_tokens=answer,
    )


def frame_tokens(room: Room, task: AnalysisTask, options: TaskOptions) -> int:
    """What stands around a passage; by its words, where nobody here can count what the chat's template adds."""
    if room.frame_tokens:
        return room.frame_tokens
    bare = bare_steps(task, options, one_turn=room.one_turn)
    return max(sum(room.count(turn.content) for turn in messages_for(step)) for step in bare)


def asked_tokens(room: Room, options: TaskOptions) -> int:
    """What an engine gets besides a passage that no chat is written for: the question, or the labels."""
    labels = sum(room.count(f"{label.name} {label.description}") for label in options.labels)
    return labels + max(room.count(one.question) for one in each_asked(options))


def remarks_on(by: Reckoned | None, *, task: AnalysisTask, slots: int) -> list[str]:
    """What must be known of the hours."""
    if by is None:
        return [
            "How long it takes is not known: this fleet has finished nothing of this model to hold it against. "
            "A small analysis will do: viiwork analyze … --sample 20 --out FILE."
        ]
    said = []
    if any(run.task != task.value for run in by.runs):
        said.append("No analysis of this task is known here: the hours are reckoned by others, and lie far apart.")
    if any(run.slots != slots for run in by.runs):
        then = " and ".join(str(one) for one in sorted({run.slots for run in by.runs}))
        said.append(f"The workers took {then} calls at a time then, and take {slots} now: reckoned in proportion.")
    if any(run.calls < run.slots for run in by.runs):
        said.append(f"What it is reckoned by was too small to keep all slots busy: a sample of {2 * slots} says more.")
    return said


def whole(span: Span) -> list[int]:
    """Both ends as whole numbers."""
    return [round(span.low), round(span.high)]
