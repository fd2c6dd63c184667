"""What an attempt at a job came to, and what an exception means for the job."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from viiwork.errors import DocumentError, EngineDied, EngineFault, JobRefused, NotFound, ViiworkError
from viiwork.jobs import Fault
from viiwork.store.leases import Claim, Verdict
from viiwork.work import Answer, JobInput, Usage

log = logging.getLogger(__name__)

UNSTORABLE = Fault(code="internal", message="The store could not take what this job came to.")


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What a CPU step returns when further jobs finish its item."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """What a CPU step returns when its item was none: an archive, whose files have become items."""


Product = Answer | HandedOn | Unfolded
Runner = Callable[[Claim, JobInput], Awaitable[Product]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as it is committed."""

    verdict: Verdict
    result: Answer | Fault | None = None
    usage: Usage | None = None
    """Tokens that went into an answer which could not be used."""
    pause_s: float = 0.0
    """Before one that is given back waits again: in the store, so that it keeps no slot."""


CANNOT_END = Outcome(Verdict.FAILED, UNSTORABLE)


def out_of_time(claim: Claim) -> Outcome:
    """What the end of an attempt's time means: its deadline has passed, or it ran for too long."""
    if claim.ends_by == "deadline":
        fault = Fault(code="expired", message="The job's deadline passed while it ran.", hint="Give it more time.")
        return Outcome(Verdict.EXPIRED, fault)
    fault = Fault(code="timeout", message="The job ran longer than its time limit.", hint="Raise timeout_s.")
    return Outcome(Verdict.FAILED, fault)


def normalise(error: Exception, claim: Claim) -> Outcome:
    """What an exception means for the job: its own fault fails it, anybody else's is worth another attempt."""
    if isinstance(error, TimeoutError):  # not the job's own time limit, or nobody would ask
        error = EngineFault("The engine did not answer in time.", hint="The job is tried again.")
    if isinstance(error, JobRefused | DocumentError | NotFound):
        return Outcome(Verdict.FAILED, Fault(code=error.code, message=error.message, hint=error.hint), _usage_of(error))
    if isinstance(error, ViiworkError):
        log.warning("job %s goes back: %s", claim.fence.job, error.code)
        fault = Fault(code=error.code, message=error.message, hint=error.hint)
        return Outcome(verdict_of(error), fault)
    # The exception's text may quote the document: only its type may be logged.
    log.error("job %s met a defect: %s", claim.fence.job, where(error))
    return Outcome(Verdict.FAILED, Fault(code="internal", message="The worker met a defect while it ran this job."))


def _usage_of(error: ViiworkError) -> Usage | None:
    if not isinstance(error, JobRefused):
        return None
    return Usage(prompt_tokens=error.prompt_tokens, output_tokens=error.output_tokens)


def verdict_of(error: ViiworkError) -> Verdict:
    """A dead engine makes suspects, a fault is a strike, and what no retry helps is the end."""
    if isinstance(error, EngineDied):
        return Verdict.CRASHED
    return Verdict.RETRY if error.retryable else Verdict.FAILED


def where(error: Exception) -> str:
    """Its type and the line that raised it; its text may quote a document."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
