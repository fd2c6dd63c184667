"""All that an API process has of callbacks, put together: what signs, what sends, what looks for stalls."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from viiwork.callbacks.addresses import check_url
from viiwork.callbacks.body import body_of
from viiwork.callbacks.patience import Patience
from viiwork.callbacks.post import Post
from viiwork.callbacks.sender import Sender
from viiwork.callbacks.signing import Signing, Unsigned
from viiwork.callbacks.stallwatch import watch
from viiwork.callbacks.vault import Vault
from viiwork.deliveries import Endpoint, EventType, Trial
from viiwork.errors import UsageError
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.callbacks import now_ms

LOOKS_A_STALL = 8
LONGEST_LOOK_S = 15.0


class Bureau:
    """`async with bureau:` sends; the rest can be asked of one that does not."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings.callbacks
        self._base_url = settings.callbacks.base_url or settings.api.url
        self.signing = Signing(store, Vault(settings.callbacks, settings.state_dir))
        self._undo = AsyncExitStack()

    async def __aenter__(self) -> Bureau:
        given = self._settings
        patience = Patience(base_s=given.retry_base_s, cap_s=given.retry_cap_s, give_up_s=given.give_up_s)
        post = await self._undo.enter_async_context(self._post())
        sender = Sender(
            self._store,
            post,
            self.signing,
            patience=patience,
            base_url=self._base_url,
            timeout_s=given.timeout_s,
        )
        await self._undo.enter_async_context(sender)
        every_s = min(LONGEST_LOOK_S, given.stalled_s / LOOKS_A_STALL)
        looking = asyncio.create_task(watch(self._store, after_s=given.stalled_s, every_s=every_s), name="stalls")
        self._undo.push_async_callback(_end, looking)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._undo.aclose()

    def check_url(self, url: str, *, param: str) -> None:
        """Raises UsageError for a URL that may not be called, whatever its name stands for."""
        check_url(url, self._settings.networks, param=param)

    async def check_request(self, url: str | None, *, tenant: str) -> None:
        """What a request's own `callback_url` needs. Raises UsageError."""
        if url is None:
            return
        self.check_url(url, param="callback_url")
        if not await self.signing.has_own(tenant):
            message = f"callback_url: {tenant} has no secret yet that it could be signed with."
            raise UsageError(message, hint="Make one: `viiwork callbacks secret`.", param="callback_url")

    async def try_out(self, endpoint: Endpoint) -> Trial:
        """Send one event that says it is a test, at once and this once."""
        moment_ms, began_s = await now_ms(self._store), time.monotonic()
        message_id = f"msg_test_{moment_ms}"
        record = {"type": EventType.ENDPOINT_TEST.value, "subject": endpoint.id, "created_ms": str(moment_ms)}
        body = body_of(message_id, record, base_url=self._base_url)
        try:
            headers = await self.signing.headers(endpoint.id, message_id=message_id, body=body, at_ms=moment_ms)
        except Unsigned as error:
            return Trial(delivered=False, fault=str(error))
        async with self._post() as post:
            outcome = await post.send(endpoint.url, body.encode(), headers)
        seconds = round(time.monotonic() - began_s, 3)
        return Trial(delivered=outcome.delivered, status=outcome.status or None, fault=outcome.fault, seconds=seconds)

    def _post(self) -> Post:
        return Post(self._settings.networks, timeout_s=self._settings.timeout_s)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
