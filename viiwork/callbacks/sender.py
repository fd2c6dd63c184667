"""What sends callbacks: a task in each API process. Redis hands each receiver's lane to one of them at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from contextlib import suppress

from viiwork.callbacks.body import body_of
from viiwork.callbacks.patience import Patience, asked_s
from viiwork.callbacks.post import Outcome, Post
from viiwork.callbacks.signing import Signing, Unsigned
from viiwork.errors import StoreUnavailable
from viiwork.store import Store, callbacks
from viiwork.store.callbacks import Taken
from viiwork.store.endpoints import tenant_owner

log = logging.getLogger("viiwork.callbacks")

AT_ONCE = 16
"""Receivers that are called at the same time."""
LOOK_S = 1.0
AWAY_S = 2.0
MARGIN_S = 5.0
"""How much longer a lane is ours than a try may take: what a sender that was killed had in hand is sent again then."""
ENDING_S = 3.0
"""How long those under way may still take when the process ends; what is cut off is sent again."""


class Sender:
    """`async with Sender(…):` sends for as long as it is open."""

    def __init__(
        self, store: Store, post: Post, signing: Signing, *, patience: Patience, base_url: str, timeout_s: float
    ) -> None:
        self._store, self._post, self._signing = store, post, signing
        self._patience, self._base_url = patience, base_url
        self._lease_s = timeout_s + MARGIN_S
        self._under_way: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Sender:
        self._task = asyncio.create_task(self._keep_sending(), name="callbacks")
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=ENDING_S)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _keep_sending(self) -> None:
        away = False
        while True:
            try:
                found = await self._turn()
                away = False
            except StoreUnavailable as error:
                if not away:
                    log.warning("callbacks wait: %s", error)
                away, found = True, 0
                await asyncio.sleep(AWAY_S)
            except Exception as error:  # noqa: BLE001 - a defect in one turn must not end all callbacks for good
                log.error("a turn of the callbacks failed (%s)", type(error).__name__)  # noqa: TRY400 - a trace may quote a record
                found = 0
            await self._rest(busy=found > 0)

    async def _turn(self) -> int:
        """Take what is due and begin to send it; answers how many."""
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return 0
        token = secrets.token_hex(8)
        taken = await callbacks.take(self._store, token=token, most=free, lease_s=self._lease_s)
        for each in taken:
            task = asyncio.create_task(self._deliver(each))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(taken)

    async def _rest(self, *, busy: bool) -> None:
        """Until there may be something to do: a lane is free again as soon as its callback has ended."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        elif not busy:
            await asyncio.sleep(LOOK_S)

    async def _deliver(self, taken: Taken) -> None:
        try:
            outcome = await self._try(taken)
            await self._end(taken, outcome)
        except StoreUnavailable:
            return  # its lane is free once the lease is over, and it is sent again
        except Exception as error:  # noqa: BLE001 - of this callback alone; the message of a foreign error may quote it
            log.error("callback %s failed (%s)", taken.id, type(error).__name__)  # noqa: TRY400 - as above

    async def _try(self, taken: Taken) -> Outcome:
        record = taken.record
        body = body_of(taken.id, record, base_url=self._base_url)
        owner = record.get("endpoint") or tenant_owner(record.get("tenant", ""))
        try:
            headers = await self._signing.headers(owner, message_id=taken.id, body=body, at_ms=taken.now_ms)
        except Unsigned as error:
            return Outcome(fault=str(error), hopeless=error.for_good)
        return await self._post.send(record["url"], body.encode(), headers)

    async def _end(self, taken: Taken, outcome: Outcome) -> None:
        if outcome.delivered:
            await callbacks.delivered(self._store, taken, status=outcome.status)
            return
        pause_s = (
            None
            if outcome.hopeless
            else self._patience.pause_s(
                tries=taken.tries,
                age_s=taken.age_s,
                lot=random.random(),  # noqa: S311 - spreads tries, guards nothing
                asked_s=asked_s(outcome.retry_after),
            )
        )
        if pause_s is None:
            log.warning("callback %s is given up after %d tries", taken.id, taken.tries)
            await callbacks.give_up(self._store, taken, status=outcome.status, fault=outcome.fault)
        else:
            await callbacks.try_later(self._store, taken, pause_s=pause_s, status=outcome.status, fault=outcome.fault)
