"""The fleet: who works, what waits, and who may take no jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viiwork.client.keys import new_key
from viiwork.client.operation import operation
from viiwork.client.steps import Steps
from viiwork.client.wired import Wired
from viiwork.hosts import Drained, Drains, Swap, Swaps, Undrained
from viiwork.roster import FleetStatus, Held, Lifted, Quarantine, Quarantined
from viiwork.runs import Run, Runs


class Fleet(Wired):
    """What can be asked of the fleet."""

    @operation
    def fleet(self) -> Steps[FleetStatus]:
        """Workers, models and queues at this moment."""
        return (yield from self._wire.ask(FleetStatus, "GET", "/v1/fleet"))

    @operation
    def runs(self, model: str) -> Steps[tuple[Run, ...]]:
        """What the last analyses of a model took that ended, the last one first: the measure for the next one."""
        return (yield from self._wire.ask(Runs, "GET", "/v1/fleet/runs", params={"model": model})).runs

    @operation
    def quarantined(self) -> Steps[tuple[Quarantined, ...]]:
        """Workers that may take no jobs until a person lifts that, by name, and why."""
        return (yield from self._wire.ask(Quarantine, "GET", "/v1/fleet/quarantine")).workers

    @operation
    def lift_quarantine(self, names: Sequence[str] | None = None) -> Steps[Lifted]:
        """Let workers take jobs again, those named or all; look at `.unknown`. A failed engine is tried once more."""
        body = {} if names is None else {"workers": list(names)}
        headers = {"idempotency-key": new_key()}
        return (yield from self._wire.ask(Lifted, "POST", "/v1/fleet/quarantine/lift", json=body, headers=headers))

    @operation
    def hold(self, at_most: Mapping[str, int], *, owner: str, why: str, for_s: float) -> Steps[Held]:
        """Let workers have at most so many jobs each for `for_s` (60 at most), unless this is called again.

        What the same `owner` (a random name) said before is replaced. Raises Conflict while somebody else holds any.
        """
        body = {"owner": owner, "why": why, "for_s": for_s, "at_most": dict(at_most)}
        return (yield from self._wire.ask(Held, "POST", "/v1/fleet/hold", json=body))

    @operation
    def lift_hold(self, owner: str) -> Steps[Held]:
        """Let the workers that `owner` holds take jobs as before."""
        return (yield from self._wire.ask(Held, "POST", "/v1/fleet/hold/lift", json={"owner": owner}))

    @operation
    def drained(self) -> Steps[tuple[Drained, ...]]:
        """Cards that are left out until a person takes that back, by name, and why."""
        return (yield from self._wire.ask(Drains, "GET", "/v1/fleet/drains")).drained

    @operation
    def drain(self, names: Sequence[str], *, reason: str = "") -> Steps[tuple[Drained, ...]]:
        """Let the workers of these cards finish and end, and leave the cards out; answers all that are left out."""
        body = {"workers": list(names), "reason": reason}
        headers = {"idempotency-key": new_key()}
        return (yield from self._wire.ask(Drains, "POST", "/v1/fleet/drains", json=body, headers=headers)).drained

    @operation
    def undrain(self, names: Sequence[str]) -> Steps[Undrained]:
        """Have these cards in the plan again; look at `.unknown`."""
        headers = {"idempotency-key": new_key()}
        return (
            yield from self._wire.ask(
                Undrained, "POST", "/v1/fleet/drains/lift", json={"workers": list(names)}, headers=headers
            )
        )

    @operation
    def swaps(self) -> Steps[tuple[Swap, ...]]:
        """The last swap of each model and host, and how it stands."""
        return (yield from self._wire.ask(Swaps, "GET", "/v1/fleet/swaps")).swaps

    @operation
    def swap(self, model: str, *, to: str, take_cards: bool = False, dry_run: bool = False) -> Steps[tuple[Swap, ...]]:
        """Serve another model in the place of this one, one placement after the other; answers once it has begun.

        It goes on the cards of the one that goes, and takes such of other models only with `take_cards`. With `dry_run`
        the answer's `plan` says what would be done, and nothing is. One that was done already is answered as `done`.
        Raises Conflict with the reason where it cannot be, NotFound where nobody serves the model.
        """
        body = {"model": model, "to": to, "take_cards": take_cards, "dry_run": dry_run}
        return (
            yield from self._wire.ask(
                Swaps, "POST", "/v1/fleet/swaps", json=body, headers={"idempotency-key": new_key()}
            )
        ).swaps
