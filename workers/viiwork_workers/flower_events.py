"""What Flower hears of the workers, and what it makes of it."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery, states
from celery.events import EventReceiver
from celery.events.state import Task
from flower.events import Events, EventsState
from tornado.ioloop import IOLoop

log = logging.getLogger(__name__)

DEAF_S = 1.0
"""Between two tries to reach Redis. Flower doubles its pauses without end, and stays deaf as long as Redis was away."""


class Hint(Task):  # type: ignore[misc] # celery is untyped
    """A task in Flower's memory."""

    def event(self, type_: str, *args: Any, **kwargs: Any) -> None:
        """Celery takes a rejection for older news than the reception, and would show RECEIVED for ever."""
        super().event(type_, *args, **kwargs)
        if type_ == "rejected":
            self.state = states.REJECTED


class HintStates(EventsState):  # type: ignore[misc] # flower is untyped
    """Flower's memory."""

    Task = Hint


class Ear(Events):  # type: ignore[misc] # flower is untyped
    """Hears the events of the fleet, and asks its workers to send them."""

    def __init__(self, app: Celery, io_loop: IOLoop, *, max_tasks: int) -> None:
        super().__init__(app, io_loop, max_tasks_in_memory=max_tasks)
        self.state = HintStates(max_tasks_in_memory=max_tasks)

    def run(self) -> None:
        """On a thread of its own, for as long as the process lives."""
        deaf = False
        while True:
            try:
                with self.capp.connection_for_read() as connection:
                    connection.ensure_connection(max_retries=1)
                    if deaf:
                        log.warning("Redis is back")
                    deaf = False
                    EventReceiver(connection, handlers={"*": self.on_event}, app=self.capp).capture(limit=None)
            except Exception as error:  # noqa: BLE001 - whatever it is, a page that stopped listening would lie
                if not deaf:
                    log.warning("no events until Redis answers again (%s)", type(error).__name__)
                deaf = True
                time.sleep(DEAF_S)
