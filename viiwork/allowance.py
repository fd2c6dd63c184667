"""What is left of a sender's limits, and how an answer tells it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from viiwork.jobs import Lane
from viiwork.limits import Account, Ceiling, Ceilings
from viiwork.wire import Wire

MINUTE = 60_000
"""A bucket's level is in 60,000ths of a request or token: a millisecond adds a whole number, nothing is rounded."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may be taken now of something of which there are `most` a minute; below zero where more was used."""

    most: int
    level: int

    @classmethod
    def full(cls, most: int) -> Bucket:
        """As whoever has rested finds it."""
        return cls(most, most * MINUTE)

    def after(self, passed_ms: int) -> Bucket:
        """The same a while later."""
        return Bucket(self.most, min(self.most * MINUTE, self.level + max(0, passed_ms) * self.most))

    def without(self, amount: int) -> Bucket:
        """The same once so many are taken, or given back where that is negative."""
        return Bucket(self.most, min(self.most * MINUTE, self.level - amount * MINUTE))

    @property
    def remaining(self) -> int:
        """Whole ones."""
        return max(0, self.level // MINUTE)

    @property
    def full_in_ms(self) -> int:
        """How long until all of it is there again."""
        return -(-(self.most * MINUTE - self.level) // self.most)

    def wait_ms(self, amount: int) -> int:
        """How long until so many are there; what is more than `most` never is."""
        return max(0, -(-(amount * MINUTE - self.level) // self.most))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account has left in one lane; None for what has no bound."""

    now_ms: int
    """Redis' clock, when it was asked."""
    requests: Bucket | None = None
    tokens: Bucket | None = None
    in_flight: int | None = None
    """Further jobs on their own that may come."""
    backlog: int | None = None
    monthly_tokens: int | None = None
    used_this_month: int = 0

    @classmethod
    def of(cls, ceilings: Ceilings, said: Sequence[str]) -> Allowance:
        """From what the script `allowance` says."""
        now, requests, tokens, in_flight, backlog, month, used = said
        return cls(
            now_ms=int(now),
            requests=Bucket(ceilings.requests.most, int(requests)) if requests else None,
            tokens=Bucket(ceilings.tokens.most, int(tokens)) if tokens else None,
            in_flight=max(0, int(in_flight)) if in_flight else None,
            backlog=max(0, int(backlog)) if backlog else None,
            monthly_tokens=max(0, int(month)) if month else None,
            used_this_month=int(used),
        )

    def headers(self) -> dict[str, str]:
        """As OpenAI's API tells it."""
        told = {"requests": self.requests, "tokens": self.tokens}
        return {
            f"x-ratelimit-{field}-{name}": value
            for name, bucket in told.items()
            if bucket is not None
            for field, value in (
                ("limit", str(bucket.most)),
                ("remaining", str(bucket.remaining)),
                ("reset", lasting(bucket.full_in_ms)),
            )
        }


@dataclass(frozen=True, slots=True)
class KeptNow:
    """What a sender has here just now, of each as it is counted: for its key, or for its tenant."""

    files: int = 0
    bytes: int = 0
    batches: int = 0


class Use(Wire):
    """One limit: the most there may be, what is left of it, and whose use counts."""

    most: int
    left: int
    full_in_ms: int | None = None
    """Of what comes back with time."""
    of: Literal["key", "tenant"]


class LaneUse(Wire):
    """The limits of one lane; absent where there is no bound."""

    requests_per_minute: Use | None = None
    tokens_per_minute: Use | None = None
    in_flight: Use | None = None
    backlog: Use | None = None
    documents: int | None = None
    """The most in one analysis or file."""


class LimitsInUse(Wire):
    """What a sender may use, and what is left of it."""

    tenant: str
    interactive: LaneUse
    batch: LaneUse
    monthly_tokens: Use | None = None
    used_this_month: int | None = None
    """Tokens, with those that are reserved for jobs that have not ended; absent where nothing is counted."""
    month_ends: datetime | None = None
    """The month is the calendar's, in UTC."""
    stored_files: Use | None = None
    stored_bytes: Use | None = None
    open_batches: Use | None = None


def in_use(account: Account, left: Mapping[Lane, Allowance | None], *, kept: KeptNow) -> LimitsInUse:
    """What an account may use in its lanes, and may keep beside what it has."""
    most = account.kept()
    lanes = {lane: _lane_use(account.ceilings(lane), left[lane]) for lane in Lane}
    ceiling, seen = account.ceilings(Lane.BATCH).monthly_tokens, left[Lane.BATCH] or left[Lane.INTERACTIVE]
    return LimitsInUse(
        tenant=account.tenant,
        interactive=lanes[Lane.INTERACTIVE],
        batch=lanes[Lane.BATCH],
        monthly_tokens=_use(ceiling, seen.monthly_tokens if seen else None),
        used_this_month=seen.used_this_month if seen else None,
        month_ends=next_month(seen.now_ms) if seen else None,
        stored_files=_use(most.files, _left(most.files, kept.files)),
        stored_bytes=_use(most.bytes, _left(most.bytes, kept.bytes)),
        open_batches=_use(most.batches, _left(most.batches, kept.batches)),
    )


def _left(ceiling: Ceiling, used: int) -> int | None:
    return max(0, ceiling.most - used) if ceiling.most else None


def _lane_use(ceilings: Ceilings, left: Allowance | None) -> LaneUse:
    documents = ceilings.documents.most or None
    if left is None:
        return LaneUse(documents=documents)
    return LaneUse(
        requests_per_minute=_use(ceilings.requests, left.requests),
        tokens_per_minute=_use(ceilings.tokens, left.tokens),
        in_flight=_use(ceilings.in_flight, left.in_flight),
        backlog=_use(ceilings.backlog, left.backlog),
        documents=documents,
    )


def _use(ceiling: Ceiling, left: Bucket | int | None) -> Use | None:
    if left is None:
        return None
    of: Literal["key", "tenant"] = "key" if ceiling.of_key else "tenant"
    if isinstance(left, Bucket):
        return Use(most=ceiling.most, left=left.remaining, full_in_ms=left.full_in_ms, of=of)
    return Use(most=ceiling.most, left=left, of=of)


def lasting(ms: int) -> str:
    """A length of time as OpenAI's headers have it: `120ms`, `8.64s`, `6m0s`, `1h2m0s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, MINUTE)
    seconds = f"{rest_ms / 1000:g}s"
    if minutes < 60:
        return f"{minutes}m{seconds}" if minutes else seconds
    return f"{minutes // 60}h{minutes % 60}m{seconds}"


def waiting(seconds: float) -> str:
    """The same for people: `2 s`, `3 min`, `5 h`."""
    whole = max(1, math.ceil(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{math.ceil(whole / 60)} min" if whole < 7200 else f"{math.ceil(whole / 3600)} h"


def next_month(now_ms: int) -> datetime:
    """When the calendar month after that of a moment begins (UTC)."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
