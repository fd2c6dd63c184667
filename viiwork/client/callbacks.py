"""Callbacks: who is told of events, and what was told."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.client.keys import new_key, safe
from viiwork.client.operation import operation, streaming
from viiwork.client.steps import Emit, Flow, Steps
from viiwork.client.wired import Wired
from viiwork.deadletters import Refusal
from viiwork.deliveries import (
    EVERYTHING,
    MOST,
    Delivery,
    DeliveryPage,
    DeliveryState,
    Endpoint,
    Endpoints,
    Replayed,
    SecretShown,
    Trial,
)

ENDPOINTS = "/v1/callbacks/endpoints"


class Callbacks(Wired):
    """What can be asked of callbacks."""

    @operation
    def endpoints(self) -> Steps[tuple[Endpoint, ...]]:
        """The submitter's own, the oldest first."""
        return (yield from self._wire.ask(Endpoints, "GET", ENDPOINTS)).endpoints

    @operation
    def add_endpoint(self, url: str, *, events: Sequence[str] = (EVERYTHING,)) -> Steps[SecretShown]:
        """Tell `url` from now on; its secret is shown this once."""
        body = {"url": url, "events": list(events)}
        return (yield from self._wire.ask(SecretShown, "POST", ENDPOINTS, json=body, headers=_once()))

    @operation
    def rotate_endpoint(self, endpoint_id: str, *, at_once: bool = False) -> Steps[SecretShown]:
        """A new secret; the one before signs too for a day, unless it ends at once."""
        path, body = f"{ENDPOINTS}/{safe(endpoint_id)}/rotate", {"at_once": at_once}
        return (yield from self._wire.ask(SecretShown, "POST", path, json=body, headers=_once()))

    @operation
    def test_endpoint(self, endpoint_id: str) -> Steps[Trial]:
        """Send it one event that says it is a test; look at `.delivered`."""
        return (yield from self._wire.ask(Trial, "POST", f"{ENDPOINTS}/{safe(endpoint_id)}/test", headers=_once()))

    @operation
    def remove_endpoint(self, endpoint_id: str) -> Steps[Endpoint]:
        """Tell it nothing more."""
        return (yield from self._wire.ask(Endpoint, "DELETE", f"{ENDPOINTS}/{safe(endpoint_id)}"))

    @operation
    def callback_secret(self, *, at_once: bool = False) -> Steps[SecretShown]:
        """Make the secret that signs for each `callback_url`, or a new one; shown this once."""
        body = {"at_once": at_once}
        return (yield from self._wire.ask(SecretShown, "POST", "/v1/callbacks/secret", json=body, headers=_once()))

    @streaming
    def callbacks(
        self, state: DeliveryState | str = DeliveryState.PENDING, *, limit: int | None = None
    ) -> Flow[Delivery]:
        """Callbacks of one state, the newest first."""
        had, before = 0, None
        while limit is None or had < limit:
            asked = MOST if limit is None else min(limit - had, MOST)
            params = {"state": str(state), "limit": asked} | ({} if before is None else {"before": before})
            page = yield from self._wire.ask(DeliveryPage, "GET", "/v1/callbacks", params=params)
            for each in page.callbacks:
                yield Emit(each)
            had, before = had + len(page.callbacks), page.before
            if before is None:
                return

    @operation
    def replay_callbacks(self, ids: Sequence[str] | None = None) -> Steps[Replayed]:
        """Send these once more, or all that were given up; look at `.refused`."""
        if ids is None:
            return (yield from self._replay({}))
        done = 0
        refused: tuple[Refusal, ...] = ()
        for at in range(0, len(ids), MOST):
            sent = yield from self._replay({"ids": list(ids[at : at + MOST])})
            done, refused = done + sent.done, refused + sent.refused
        return Replayed(done=done, refused=refused)

    def _replay(self, body: dict[str, list[str]]) -> Steps[Replayed]:
        return (yield from self._wire.ask(Replayed, "POST", "/v1/callbacks/replay", json=body, headers=_once()))


def _once() -> dict[str, str]:
    return {"idempotency-key": new_key()}
