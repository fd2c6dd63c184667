"""Callbacks: who is told of events, and what was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from viiwork.client.keys import new_key, safe
from viiwork.client.wired import Wired
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

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The submitter's own, the oldest first."""
        return self._wire.ask(Endpoints, "GET", ENDPOINTS).endpoints

    def add_endpoint(self, url: str, *, events: Sequence[str] = (EVERYTHING,)) -> SecretShown:
        """Tell `url` from now on; its secret is shown this once."""
        body = {"url": url, "events": list(events)}
        return self._wire.ask(SecretShown, "POST", ENDPOINTS, json=body, headers=_once())

    def rotate_endpoint(self, endpoint_id: str, *, at_once: bool = False) -> SecretShown:
        """A new secret; the one before signs too for a day, unless it ends at once."""
        path, body = f"{ENDPOINTS}/{safe(endpoint_id)}/rotate", {"at_once": at_once}
        return self._wire.ask(SecretShown, "POST", path, json=body, headers=_once())

    def test_endpoint(self, endpoint_id: str) -> Trial:
        """Send it one event that says it is a test; look at `.delivered`."""
        return self._wire.ask(Trial, "POST", f"{ENDPOINTS}/{safe(endpoint_id)}/test", headers=_once())

    def remove_endpoint(self, endpoint_id: str) -> Endpoint:
        """Tell it nothing more."""
        return self._wire.ask(Endpoint, "DELETE", f"{ENDPOINTS}/{safe(endpoint_id)}")

    def callback_secret(self, *, at_once: bool = False) -> SecretShown:
        """Make the secret that signs for each `callback_url`, or a new one; shown this once."""
        body = {"at_once": at_once}
        return self._wire.ask(SecretShown, "POST", "/v1/callbacks/secret", json=body, headers=_once())

    def callbacks(
        self, state: DeliveryState | str = DeliveryState.PENDING, *, limit: int | None = None
    ) -> Iterator[Delivery]:
        """Callbacks of one state, the newest first."""
        had, before = 0, None
        while limit is None or had < limit:
            asked = MOST if limit is None else min(limit - had, MOST)
            params = {"state": str(state), "limit": asked} | ({} if before is None else {"before": before})
            page = self._wire.ask(DeliveryPage, "GET", "/v1/callbacks", params=params)
            yield from page.callbacks
            had, before = had + len(page.callbacks), page.before
            if before is None:
                return

    def replay_callbacks(self, ids: Sequence[str] | None = None) -> Replayed:
        """Send these once more, or all that were given up; look at `.refused`."""
        if ids is None:
            return self._replay({})
        done = [self._replay({"ids": list(ids[at : at + MOST])}) for at in range(0, len(ids), MOST)]
        refused = tuple(refusal for each in done for refusal in each.refused)
        return Replayed(done=sum(each.done for each in done), refused=refused)

    def _replay(self, body: dict[str, list[str]]) -> Replayed:
        return self._wire.ask(Replayed, "POST", "/v1/callbacks/replay", json=body, headers=_once())


def _once() -> dict[str, str]:
    return {"idempotency-key": new_key()}
