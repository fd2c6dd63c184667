"""Whose account jobs go on, as the scripts take it (`lua/accounts.lua`), and what they answer of its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.allowance import Allowance, LimitsInUse, in_use, next_month, waiting
from viiwork.errors import Busy, Conflict, QuotaExceeded, RateLimited, UsageError, ViiworkError
from viiwork.jobs import Job, Lane
from viiwork.limits import Account, Ceiling
from viiwork.store.connection import Connection
from viiwork.store.kept import kept_now
from viiwork.store.scripts import Call

LATER_S = {"f": 1.0, "b": 15.0}
"""When to ask again where nobody knows when there will be room."""
NO_KEY = "-"
TOO_MANY, OVER_QUOTA = -3, -4
Said = int | list[str | int] | Exception
"""What the script `submit` says of a slice."""


@dataclass(slots=True)
class Tab:
    """The account that a request's jobs go on; after a submit it knows what is left."""

    account: Account
    left: Allowance | None = None

    def line(self, lane: Lane) -> str:
        """`Job.account` of its jobs in a lane; empty where nothing is counted."""
        return line(self.account, lane)

    def check_at_once(self, jobs: Sequence[Job]) -> None:
        """Raises UsageError for more jobs (of one lane) at once than its limits ever let in together."""
        most = self.account.ceilings(jobs[0].lane)
        for ceiling, what in ((most.requests, "requests a minute"), (most.in_flight, "jobs under way")):
            if 0 < ceiling.most < len(jobs):
                said = f"{ceiling.whose} may have at most {ceiling.most:,} {what}; this asks for {len(jobs):,} at once."
                raise UsageError(said, hint="Ask for fewer answers at once: waiting does not help.", param="n")

    def charged(self, jobs: Sequence[Job]) -> tuple[Sequence[Job], Meter | None]:
        """The jobs (of one lane) on this account, and what asks how much is left after them."""
        said = self.line(jobs[0].lane) if jobs else ""
        if not said:
            return jobs, None
        most = self.account.ceilings(jobs[0].lane)
        told = most.requests.most or most.tokens.most  # else an answer has nothing to tell
        charged = [job.model_copy(update={"account": said}) for job in jobs]
        return charged, Meter(self, jobs[0].lane) if told else None


@dataclass(frozen=True, slots=True)
class Meter:
    """Asks what is left of an account in a lane; it writes nothing."""

    tab: Tab
    lane: Lane

    @property
    def call(self) -> Call:
        """To be made in the same trip as what is charged."""
        return Call("allowance", (self.tab.line(self.lane), self.tab.account.tenant, self.lane.value))

    def hear(self, reply: Any) -> None:
        """Its answer, which may be an error: then nobody is told."""
        if not isinstance(reply, Exception):
            self.tab.left = Allowance.of(self.tab.account.ceilings(self.lane), reply)


def line(account: Account, lane: Lane) -> str:
    """`key_1 rk60 tt0 ft0 bt0 mk5000`; empty for whoever has neither a key nor limits."""
    most = account.ceilings(lane)
    kinds = {"r": most.requests, "t": most.tokens, "f": most.in_flight, "b": most.backlog, "m": most.monthly_tokens}
    if not account.key and not any(ceiling.most for ceiling in kinds.values()):
        return ""
    return " ".join((account.key or NO_KEY, *(_worded(kind, ceiling) for kind, ceiling in kinds.items())))


def _worded(kind: str, ceiling: Ceiling) -> str:
    return f"{kind}{'k' if ceiling.of_key else 't'}{ceiling.most}"


async def look(store: Connection, tab: Tab, lane: Lane) -> Allowance | None:
    """What is left of an account in a lane; None where nothing is counted."""
    if not tab.line(lane):
        return None
    meter = Meter(tab, lane)
    meter.hear(await store.call(meter.call.script, *meter.call.args))
    return tab.left


async def used(store: Connection, account: Account) -> LimitsInUse:
    """What an account may use, and how much of it is left."""
    left = {lane: await look(store, Tab(account), lane) for lane in Lane}
    return in_use(account, left, kept=await kept_now(store, account))


def refusal(said: Said) -> Exception | None:
    """Why a slice was not taken whole, or None."""
    if isinstance(said, Exception):
        return said
    if not isinstance(said, int):
        return stopped(said)
    if said == OVER_QUOTA:
        message = "The tokens that may be used this month are used up, and the document needs some."
        return QuotaExceeded(message, hint="Try it again (`viiwork retry`) next month, or once the limit is raised.")
    if said == TOO_MANY:
        message = "Too many of your jobs are unfinished already."
        return Busy(message, hint="Wait until some have ended, or raise queue.max_backlog.")
    if said < 0:
        return Conflict("The job that asked for these is no longer running, or its batch was cancelled.")
    return None


def stopped(answer: Sequence[str | int]) -> ViiworkError:
    """Why `submit` went no further than its first jobs: `{taken, limit, whose, most, wait, cost, now, lane}`."""
    (kind, of), numbers, lane = map(str, answer[1:3]), answer[3:7], answer[7]
    most, wait_ms, cost, now_ms = map(int, numbers)
    who = "This key" if of == "k" else "This tenant"
    if kind == "m":
        return out_of_tokens(who, most, now_ms, cost=cost)
    said = {
        "r": f"{who} may send {most:,} requests a minute in the {lane} lane.",
        "t": f"{who} may use {most:,} tokens a minute in the {lane} lane, and this asks for up to {cost:,}.",
        "f": f"{who} may have {most:,} requests under way in the {lane} lane.",
        "b": f"{who} may have {most:,} unfinished jobs in the {lane} lane's analyses, files and batches.",
    }[kind]
    wait_s = LATER_S.get(kind, wait_ms / 1000)
    hint = f"Try again in {waiting(wait_s)}." if kind in ("r", "t") else "Try again once some have ended."
    return RateLimited(said, hint=hint, retry_after_s=wait_s, kind="tokens" if kind == "t" else "requests")


def out_of_tokens(who: str, most: int, now_ms: int, *, cost: int) -> QuotaExceeded:
    """The month has no tokens left for what was asked."""
    begins = f"the next month begins on {next_month(now_ms):%Y-%m-%d} at 00:00 UTC"
    message = f"{who} may use {most:,} tokens in a calendar month (UTC); this may take {cost:,}, and fewer are left."
    return QuotaExceeded(message, hint=f"Ask for a shorter answer (max_tokens), or have the limit raised; {begins}.")
