"""The pages on which Flower would show something stale or something wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from flower.api.tasks import GetQueueLengths
from flower.api.workers import ListWorkers
from flower.views.broker import BrokerView
from flower.views.tasks import TASK_COLUMNS
from flower.views.workers import WorkerView
from tornado.template import Loader, Template
from tornado.web import HTTPError

from viiwork.errors import StoreUnavailable
from viiwork.roster import QueueDepth
from viiwork.store import Store
from viiwork.telemetry import known_queues
from viiwork_workers.flower_controls import ASKS, CONTROLS, silent
from viiwork_workers.flower_workers import Workers

TASK_COLUMNS |= {"args": "Lane, model", "uuid": "Hint", "exception": "Ended with"}
TEMPLATES = Path(__file__).with_name("flower_templates")


class OwnFirst(Loader):
    """Flower's templates, ours in the place of those of the same name."""

    def _create_template(self, name: str) -> Template:
        own = TEMPLATES / name
        if own.is_file():
            return Template(own.read_bytes(), name=name, loader=self)
        return super()._create_template(name)


def plainly(task: Any) -> Any:
    """A copy of a task as people see it: the hint's id names the job already, so only lane and model are left."""
    parts = str(task.args or "").strip("()").replace("'", "").split(", ")
    task.args = ", ".join(parts[1:]) if len(parts) == 3 else task.args
    return task


class Shown:
    """What stands before the fleet, in the terms of Flower's broker page."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def queues(self, names: list[str]) -> list[dict[str, Any]]:  # noqa: ARG002 - Flower knows of some only
        """Both lanes of every model, with what is released, what is not yet, and what runs. Raises StoreUnavailable."""
        fleet = await self._store.fleet()
        serving = [worker.card.model for worker in fleet.workers]
        depths = {f"{depth.lane.value}.{depth.model}": depth for depth in fleet.queues}
        return [
            as_broker(name, depths.get(name), consumers=serving.count(name.partition(".")[2]))
            for name in sorted(known_queues(fleet))
        ]


def as_broker(name: str, depth: QueueDepth | None, *, consumers: int) -> dict[str, Any]:
    """A queue in Flower's words, and one of ours."""
    waiting, queued, running = (depth.waiting, depth.queued, depth.running) if depth else (0, 0, 0)
    return {
        "name": name,
        "messages": waiting + queued + running,
        "messages_backlog": waiting,
        "messages_ready": queued,
        "messages_unacknowledged": running,
        "consumers": consumers,
    }


class Broker(BrokerView):  # type: ignore[misc] # flower is untyped
    """Flower counts the hints in Redis; most of the work stands in the backlog behind them."""

    def get_broker(self) -> Shown:
        return self.application.shown  # type: ignore[no-any-return] # ours, on an untyped base


class QueueLengths(GetQueueLengths):  # type: ignore[misc] # flower is untyped
    """The same figures for programs."""

    async def get(self) -> None:
        try:
            await super().get()
        except StoreUnavailable as error:
            raise HTTPError(503, str(error)) from error

    def get_broker(self) -> Shown:
        return self.application.shown  # type: ignore[no-any-return] # ours, on an untyped base


class Worker(WorkerView):  # type: ignore[misc] # flower is untyped
    """Flower would show what the worker said when somebody last looked. What it left out is asked for once more."""

    async def get(self, name: str) -> None:
        known = self.application.workers
        known.pop(name, None)
        for _ in range(ASKS):
            await self.application.update_workers(workername=name)
            if known.get(name, {}).keys() >= set(self.application.inspector.inspect_methods):
                break
        if name not in known:
            raise HTTPError(404, silent(name))
        await super().get(name)


class WorkerFacts(ListWorkers):  # type: ignore[misc] # flower is untyped
    """Every answer is fresh, and holds the workers that answered."""

    async def get(self) -> None:
        if "status" not in self.request.arguments:
            asked = time.time()
            await self.application.update_workers(workername=self.get_argument("workername", None))
            known = self.application.workers
            for name in [name for name, info in known.items() if info.get("timestamp", 0) < asked]:
                del known[name]
            if (wanted := self.get_argument("workername", None)) and wanted not in known:
                raise HTTPError(404, silent(wanted))
        await super().get()


PAGES = [
    (r"/", Workers),
    (r"/workers", Workers),
    (r"/broker", Broker),
    (r"/api/queues/length", QueueLengths),
    (r"/worker/(.+)", Worker),
    (r"/api/workers", WorkerFacts),
    *CONTROLS,
]
