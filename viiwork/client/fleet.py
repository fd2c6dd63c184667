"""The fleet: who works, what waits, and who may take no jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viiwork.client.keys import new_key
from viiwork.client.wired import Wired
from viiwork.hosts import Drained, Drains, Swap, Swaps, Undrained
from viiwork.roster import FleetStatus, Held, Lifted, Quarantine, Quarantined
from viiwork.runs import Run, Runs


class Fleet(Wired):
    """What can be asked of the fleet."""

    def fleet(self) -> FleetStatus:
        """Workers, models and queues at this moment."""
        return self._wire.ask(FleetStatus, "GET", "/v1/fleet")

    def runs(self, model: str) -> tuple[Run, ...]:
        """What the last analyses of a model took that ended, the last one first: the measure for the next one."""
        return self._wire.ask(Runs, "GET", "/v1/fleet/runs", params={"model": model}).runs

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Workers that may take no jobs until a person lifts that, by name, and why."""
        return self._wire.ask(Quarantine, "GET", "/v1/fleet/quarantine").workers

    def lift_quarantine(self, names: Sequence[str] | None = None) -> Lifted:
        """Let workers take jobs again, those named or all; look at `.unknown`. A failed engine is tried once more."""
        body = {} if names is None else {"workers": list(names)}
        headers = {"idempotency-key": new_key()}
        return self._wire.ask(Lifted, "POST", "/v1/fleet/quarantine/lift", json=body, headers=headers)

    def hold(self, at_most: Mapping[str, int], *, owner: str, why: str, for_s: float) -> Held:
        """Let workers have at most so many jobs each for `for_s` (60 at most), unless this is called again.

        What the same `owner` (a random name) said before is replaced. Raises Conflict while somebody else holds any.
        """
        body = {"owner": owner, "why": why, "for_s": for_s, "at_most": dict(at_most)}
        return self._wire.ask(Held, "POST", "/v1/fleet/hold", json=body)

    def lift_hold(self, owner: str) -> Held:
        """Let the workers that `owner` holds take jobs as before."""
        return self._wire.ask(Held, "POST", "/v1/fleet/hold/lift", json={"owner": owner})

    def drained(self) -> tuple[Drained, ...]:
        """Cards that are left out until a person takes that back, by name, and why."""
        return self._wire.ask(Drains, "GET", "/v1/fleet/drains").drained

    def drain(self, names: Sequence[str], *, reason: str = "") -> tuple[Drained, ...]:
        """Let the workers of these cards finish and end, and leave the cards out; answers all that are left out."""
        body = {"workers": list(names), "reason": reason}
        headers = {"idempotency-key": new_key()}
        return self._wire.ask(Drains, "POST", "/v1/fleet/drains", json=body, headers=headers).drained

    def undrain(self, names: Sequence[str]) -> Undrained:
        """Have these cards in the plan again; look at `.unknown`."""
        headers = {"idempotency-key": new_key()}
        return self._wire.ask(
            Undrained, "POST", "/v1/fleet/drains/lift", json={"workers": list(names)}, headers=headers
        )

    def swaps(self) -> tuple[Swap, ...]:
        """The last swap of each model and host, and how it stands."""
        return self._wire.ask(Swaps, "GET", "/v1/fleet/swaps").swaps

    def swap(self, model: str, *, to: str, take_cards: bool = False, dry_run: bool = False) -> tuple[Swap, ...]:
        """Serve another model in the place of this one, one placement after the other; answers once it has begun.

        It goes on the cards of the one that goes, and takes such of other models only with `take_cards`. With `dry_run`
        the answer's `plan` says what would be done, and nothing is. One that was done already is answered as `done`.
        Raises Conflict with the reason where it cannot be, NotFound where nobody serves the model.
        """
        body = {"model": model, "to": to, "take_cards": take_cards, "dry_run": dry_run}
        return self._wire.ask(Swaps, "POST", "/v1/fleet/swaps", json=body, headers={"idempotency-key": new_key()}).swaps
