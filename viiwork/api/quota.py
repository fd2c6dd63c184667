"""Whose limits a request counts against, what its answer tells of them, and what is refused before it is charged."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from viiwork.allowance import Allowance, Bucket
from viiwork.api.principal import principal
from viiwork.apikeys import account_of
from viiwork.errors import QuotaExceeded, RateLimited, UsageError
from viiwork.jobs import Lane
from viiwork.limits import Ceiling
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.accounts import Tab, look

TAB = "viiwork.tab"
ASK_AGAIN_S = 15.0
IN_PARTS = "Under an Idempotency-Key what there is room for is taken, and the same request goes on with the rest later."


def open_tab(request: Request, tenant: str) -> Tab:
    """What a request's jobs go on; its answer's headers tell what is left."""
    settings: Settings = request.app.state.intake.settings
    tab = Tab(account_of(principal(request).key, tenant, settings.limits))
    request.scope[TAB] = tab
    return tab


def rate_headers(scope: AsgiScope) -> dict[str, str]:
    """What the answer to a request that was counted tells of its limits."""
    tab: Tab | None = scope.get(TAB)
    return tab.left.headers() if tab is not None and tab.left is not None else {}


def check_documents(tab: Tab | None, lane: Lane, count: int, *, what: str, command: str) -> None:
    """Raises UsageError for more than the interactive lane takes of one sender at a time."""
    most = tab.account.ceilings(lane).documents if tab else Ceiling()
    if most.most and count > most.most:
        message = f"{what}: {count:,} at once are too many for the interactive lane, where people wait for answers."
        hint = f"{most.whose} may send {most.most:,} there. Use the batch lane: `{command}`, or lane=batch."
        raise UsageError(message, hint=hint, code="too_many_documents", param=what)


async def check_whole(store: Store, tab: Tab | None, lane: Lane, count: int) -> None:
    """Raises RateLimited for more requests than can be taken now; asked where nobody could go on with the rest."""
    left = await look(store, tab, lane) if tab else None
    if left is None:
        return
    rate = left.requests.remaining if left.requests else count
    room = min(rate, count if left.backlog is None else left.backlog)
    if count > room:
        message = f"These are {count:,} requests, and {room:,} may be sent now in the {lane} lane."
        raise RateLimited(message, hint=IN_PARTS, retry_after_s=wait_s(left, count))


async def check_rate(store: Store, tab: Tab | None, lane: Lane, count: int) -> None:
    """Raises RateLimited for more requests than may be sent now; asked before what costs much is done for them."""
    left = await look(store, tab, lane) if tab else None
    if left is not None and left.requests is not None and left.requests.remaining < count:
        message = f"{left.requests.remaining:,} requests may be sent now in the {lane} lane, and this is {count:,}."
        raise RateLimited(message, retry_after_s=wait_s(left, count))


def wait_s(left: Allowance, count: int) -> float:
    """When so many may be sent at once, if ever; the backlog does not tell."""
    if left.requests is None or left.requests.remaining >= count:
        return ASK_AGAIN_S
    return left.requests.wait_ms(min(count, left.requests.most)) / 1000


async def go_on(
    store: Store, error: RateLimited | QuotaExceeded, batch_id: str, *, tab: Tab | None, lane: Lane, total: int
) -> None:
    """Say how to go on with what was taken in part, and when: once there is room for more than the next one alone."""
    rest = "the same request under its Idempotency-Key goes on with the rest"
    error.hint = f"{error.hint} What was taken before goes on as {batch_id}; {rest}."
    if isinstance(error, RateLimited):
        (items,) = await store.read([("HGET", f"{store.prefix}batch:{batch_id}", "items")])
        error.taken = int(items or 0)
        left = await look(store, tab, lane) if tab else None
        if left is not None and left.requests is not None and error.kind == "requests":
            worth_s = left.requests.wait_ms(worth(left.requests, total - error.taken)) / 1000
            error.retry_after_s = max(error.retry_after_s, worth_s)


def worth(bucket: Bucket, rest: int) -> int:
    """For how many it is worth coming back: for all that is left, or a whole bucket."""
    return min(rest, bucket.most) if rest > 0 else bucket.most
