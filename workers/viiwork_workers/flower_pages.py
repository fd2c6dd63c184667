"""The pages on which Flower would show something stale, something wrong, or a button that breaks a worker."""

from __future__ import annotations

import time
from typing import Any

from flower.api import BaseApiHandler
from flower.api.tasks import GetQueueLengths
from flower.api.workers import ListWorkers
from flower.views.broker import BrokerView
from flower.views.tasks import TASK_COLUMNS
from flower.views.workers import WorkerView
from tornado.web import HTTPError

from viiwork.errors import StoreUnavailable
from viiwork.store import Store

TASK_COLUMNS |= {"args": "Lane, model", "uuid": "Hint", "exception": "Ended with"}
USELESS = (
    "#worker-pool-restart, #worker-tab-limits, .worker-controls-panel, #tab-queues .btn, #tab-queues .control-group"
)
"""Parts of a worker's page that VIIWork's workers have no use for; their addresses answer 403 (`Fixed`)."""


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
        """Ready is what waits, released or not; unacked is what runs. Raises StoreUnavailable."""
        fleet = await self._store.fleet()
        serving = [worker.card.model for worker in fleet.workers]
        return [
            {
                "name": f"{queue.lane.value}.{queue.model}",
                "messages": queue.waiting + queue.queued + queue.running,
                "messages_ready": queue.waiting + queue.queued,
                "messages_unacknowledged": queue.running,
                "consumers": serving.count(queue.model),
            }
            for queue in fleet.queues
        ]


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
    """Flower would show what the worker said when somebody last looked."""

    async def get(self, name: str) -> None:
        self.application.workers.pop(name, None)
        await self.application.update_workers(workername=name)
        if name not in self.application.workers:
            raise HTTPError(404, f"{name} does not answer: it is not running, or it is cut off from Redis.")
        await super().get(name)

    def render_string(self, template_name: str, **kwargs: Any) -> bytes:
        page: bytes = super().render_string(template_name, **kwargs)
        return page.replace(b"</head>", f"<style>{USELESS} {{display: none}}</style></head>".encode())


class Workers(ListWorkers):  # type: ignore[misc] # flower is untyped
    """Every answer is fresh, and holds the workers that answered."""

    async def get(self) -> None:
        if "status" not in self.request.arguments:
            asked = time.time()
            await self.application.update_workers(workername=self.get_argument("workername", None))
            known = self.application.workers
            for name in [name for name, info in known.items() if info.get("timestamp", 0) < asked]:
                del known[name]
        await super().get()


class Fixed(BaseApiHandler):  # type: ignore[misc] # flower is untyped
    """Controls that VIIWork's workers do not have."""

    def post(self, *_: str) -> None:
        raise HTTPError(403, "Slots, queues and limits are settings of the fleet: change them and restart it.")


class ElsewhereSubmitted(BaseApiHandler):  # type: ignore[misc] # flower is untyped
    """A task sent from here would be a hint without a job."""

    def post(self, *_: str) -> None:
        raise HTTPError(403, "Jobs are submitted to VIIWork's own API: POST /v1/jobs or /v1/analyses.")


PAGES = [
    (r"/broker", Broker),
    (r"/api/queues/length", QueueLengths),
    (r"/worker/(.+)", Worker),
    (r"/api/workers", Workers),
    (r"/api/worker/(?:pool|queue)/.+", Fixed),
    (r"/api/task/(?:timeout|rate-limit)/.+", Fixed),
    (r"/api/task/(?:apply|async-apply|send-task)/.+", ElsewhereSubmitted),
]
