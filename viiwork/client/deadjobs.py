"""Dead letters: jobs that were given up, to be looked at, tried again or put away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from viiwork.client.keys import new_key, safe
from viiwork.client.operation import operation, streaming
from viiwork.client.steps import Emit, Flow, Steps
from viiwork.client.wired import Wired
from viiwork.deadletters import MOST, DeadPage, DeadSweep
from viiwork.jobs import Status


class DeadJobs(Wired):
    """What can be asked of dead letters."""

    @streaming
    def dead(self, *, limit: int | None = None) -> Flow[Status]:
        """Jobs that were given up, the last to die first, each with its history."""
        had, before = 0, None
        while limit is None or had < limit:
            asked = MOST if limit is None else min(limit - had, MOST)
            params = {"limit": asked} | ({} if before is None else {"before": before})
            page = yield from self._wire.ask(DeadPage, "GET", "/v1/dead", params=params)
            for letter in page.dead if limit is None else page.dead[: limit - had]:
                yield Emit(letter)
            had, before = had + len(page.dead), page.before
            if before is None:
                return

    @operation
    def dead_job(self, job_id: str) -> Steps[Status]:
        """One dead letter. Raises NotFound for a job that is not dead."""
        return (yield from self._wire.ask(Status, "GET", f"/v1/dead/{safe(job_id)}"))

    @operation
    def retry_dead(self, job_ids: Sequence[str] | None = None) -> Steps[DeadSweep]:
        """Try dead jobs again with a clean slate: those named, or all; look at `.refused`."""
        return (yield from self._sweep("/v1/dead/retry", job_ids))

    @operation
    def purge_dead(self, job_ids: Sequence[str] | None = None) -> Steps[DeadSweep]:
        """Take jobs out of the dead letters: those named, or all; look at `.refused`."""
        return (yield from self._sweep("/v1/dead/purge", job_ids))

    def _sweep(self, path: str, job_ids: Sequence[str] | None) -> Steps[DeadSweep]:
        orders, total = _orders(job_ids), DeadSweep()
        while orders:
            headers = {"idempotency-key": new_key()}
            swept = yield from self._wire.ask(DeadSweep, "POST", path, json=orders.pop(0), headers=headers)
            total = DeadSweep(done=total.done + swept.done, refused=total.refused + swept.refused)
            if swept.before is not None:
                orders.append({"before": swept.before})
        return total


def _orders(job_ids: Sequence[str] | None) -> list[dict[str, Any]]:
    """The bodies that name these dead letters, so many at a time as one request takes; none named means all."""
    if job_ids is None:
        return [{}]
    return [{"ids": list(job_ids[at : at + MOST])} for at in range(0, len(job_ids), MOST)]
