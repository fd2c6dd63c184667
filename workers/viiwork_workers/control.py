"""Remote control: Revoke in Flower (or `celery control revoke`) cancels the job itself, not just its hint."""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

from viiwork.errors import ViiworkError
from viiwork.jobs import Lane
from viiwork.queues import HintId, lane_queue
from viiwork_workers.station import Station

log = logging.getLogger(__name__)
_builtin_revoke = control.revoke
_builtin_stats = control.stats
SAFE_BROKER_FIELDS = ("transport", "ssl", "connect_timeout", "heartbeat")


def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **kwargs: Any) -> Any:  # noqa: ARG001
    """Cancel the jobs that these hints stand for; every worker does so, and once is enough.

    Celery's own revoke follows, so that a hint which still lies in the queue is shown as revoked when it is popped.
    `terminate` is dropped: what runs is stopped through the engine.
    """
    station: Station = state.app.station
    for hint in maybe_list(task_id) or []:
        parsed = HintId.parse(str(hint))
        if parsed is not None:
            station.call(_cancel(station, parsed.job))
    return _builtin_revoke(state, task_id, terminate=False, **kwargs)


def active_queues(state: Any) -> list[dict[str, Any]]:
    """Both lanes: Celery knows only the queue of its own consumer."""
    station: Station = state.app.station
    return [lane_queue(lane, station.card.model).as_dict(recurse=True) for lane in Lane]


def stats(state: Any, **kwargs: Any) -> dict[str, Any]:
    """Celery's statistics without the broker's secrets.

    Celery leaves the password of a socket in the `hostname`, and those of sentinels in the options; Flower shows both.
    """
    told: dict[str, Any] = _builtin_stats(state, **kwargs)
    broker = told.get("broker")
    if isinstance(broker, dict):
        with state.app.connection_for_read() as connection:
            told["broker"] = {"address": connection.as_uri(), **{key: broker.get(key) for key in SAFE_BROKER_FIELDS}}
    return told


def register_controls() -> None:
    """Put ours in the place of Celery's commands of the same names."""
    control.Panel.data["revoke"] = revoke
    control.Panel.data["stats"] = stats
    control.Panel.data["active_queues"] = active_queues


async def _cancel(station: Station, job: str) -> None:
    try:
        await station.executor.cancel(job)
    except ViiworkError as error:
        log.warning("job %s could not be cancelled: %s", job, error)
