"""Remote control, from Flower or `celery control`: revoking a hint cancels its job, and consumers are lanes."""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

from viiwork.errors import ViiworkError
from viiwork.jobs import Lane
from viiwork.queues import HintId, lane_queue, queue_name
from viiwork_workers.station import Station

log = logging.getLogger(__name__)
_builtin_revoke = control.revoke
_builtin_stats = control.stats
PERSON = "person"
"""Whose word it is that closes a lane; a schedule has one of its own."""
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
    """Each lane that is open: Celery knows only the queue of its own consumer."""
    station: Station = state.app.station
    lanes = [lane for lane in Lane if lane not in station.ledger.closed]
    return [lane_queue(lane, station.card.model).as_dict(recurse=True) for lane in lanes]


def cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Pause a lane on this worker; what it has in hand it finishes."""
    station: Station = state.app.station
    lane = _lane_of(station, queue)
    if lane is None:
        return _no_such_lane(station, queue)
    station.close_lanes(station.closed_lanes(by=PERSON) | {lane}, by=PERSON)
    name = station.card.name
    log.warning("the %s lane is paused here", lane.value)
    until = f"until {queue} is added again or the worker starts anew"
    return {"ok": f"{name} takes nothing more from {queue}, {until}. It finishes what it has; other workers go on."}


def add_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Let a lane that was paused go on."""
    station: Station = state.app.station
    lane = _lane_of(station, queue)
    if lane is None:
        return _no_such_lane(station, queue)
    station.close_lanes(station.closed_lanes(by=PERSON) - {lane}, by=PERSON)
    if lane in station.ledger.closed:
        return {"error": f"{queue} stays paused on {station.card.name}: the schedule has closed that lane."}
    log.warning("the %s lane is open here", lane.value)
    return {"ok": f"{station.card.name} takes from {queue}."}


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
    control.Panel.data["cancel_consumer"] = cancel_consumer
    control.Panel.data["add_consumer"] = add_consumer


def _lane_of(station: Station, queue: str) -> Lane | None:
    return next((lane for lane in Lane if queue_name(lane, station.card.model) == queue), None)


def _no_such_lane(station: Station, queue: str) -> dict[str, str]:
    served = " and ".join(queue_name(lane, station.card.model) for lane in Lane)
    return {"error": f"{station.card.name} serves {served}, and not {queue}: its model is a setting of the fleet."}


async def _cancel(station: Station, job: str) -> None:
    try:
        await station.executor.cancel(job)
    except ViiworkError as error:
        log.warning("job %s could not be cancelled: %s", job, error)
