"""How documents hang together: those inside others become items, copies have the first one's row. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.documents.contents import Member, likeness
from viiwork.documents.outcomes import OF_CONTENT, OUTCOMES
from viiwork.errors import DocumentError
from viiwork.jobs import READER_MODEL, Job, Settle, State, TaskName
from viiwork.store.leases import Claim
from viiwork.store.reading import Settled
from viiwork.work import Answer, ReadInput, Usage

HOLDS_FOR_COPIES = OF_CONTENT | {"invalid_output", "incomplete"}
"""Reasons that a copy would have too: copies are of one analysis, so the same model is asked the same."""
MAX_NAME = 1024
"""Characters of a document's name; of a longer one the end."""


def held_jobs(claim: Claim, work: ReadInput, members: Sequence[Member]) -> list[Job]:
    """The read jobs of the files inside a file: items of the same batch, by their place in it."""
    return [_held_job(claim, work, member, f"{claim.fence.job}z{place}") for place, member in enumerate(members)]


def stands_for(item: str, first: Settled, work: ReadInput) -> bool:
    """Whether a copy need not be opened: all that comes of it is a row like that of the first, which is `item`.

    What is attached to a message becomes items where the message was sent by itself. Where an archive holds it,
    the archive has listed its attachments already.
    """
    return bool(work.way) or not (first.holds or _is_inside(item))


def answer_of(first: Settled) -> Answer | None:
    """What holds for a document of the same content too; None where it must be tried for itself.

    Raises DocumentError when it is the content that cannot be read, or that the model has no whole answer to.
    """
    if first.result.answer is not None:
        return first.result.answer.model_copy(update={"usage": Usage()})  # nothing was used for it
    fault = first.result.fault
    if fault and fault.code in HOLDS_FOR_COPIES and first.state is State.FAILED:
        raise DocumentError(fault.message, hint=fault.hint, code=fault.code)
    return None


def _is_inside(item: str) -> bool:
    """Whether it is a file inside another, by the id that `held_jobs` gives."""
    return "z" in item.rpartition("-")[2]


def _held_job(claim: Claim, work: ReadInput, member: Member, job_id: str) -> Job:
    known = {"code": member.code if member.code in OUTCOMES else "", "detail": member.detail}
    inside = {"name": f"{work.name}/{member.name}"[-MAX_NAME:], "way": member.way} | known
    return Job(
        id=job_id,
        tenant=claim.tenant,
        lane=claim.lane,
        task=TaskName.READ,
        model=READER_MODEL,
        input=work.model_copy(update=inside),
        digest=likeness(member.sha256, member.name) if member.sha256 else "",
        batch=claim.batch,
        settle=Settle.ON_FAILURE,
    )
