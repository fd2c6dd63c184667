"""`viiwork bench` without its words: look who is there, hold the lease, measure step by step, leave nothing behind."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version

from viiwork.client import Client
from viiwork.errors import EngineFault
from viiwork.rig.course import Course
from viiwork.rig.crew import Crew, check_fits, check_free, crew_of, kinds_of
from viiwork.rig.lease import Lease
from viiwork.rig.outcome import Beside, Outcome, Step, Tokens
from viiwork.rig.pulse import Pulse, Told
from viiwork.rig.remarks import left_out
from viiwork.rig.size import Plan, Size, planned
from viiwork.rig.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be measured."""

    size: Size
    wording: Wording
    model: str = ""
    most_in_flight: int = 64
    people: int = 10
    think_s: float = 3.0
    anyway: bool = False
    """Also while others have jobs in the fleet."""


class Run:
    """One run: `prepare`, then `measure`, inside `with`. It holds workers and sends jobs only in there."""

    def __init__(self, connect: Callable[[], Client], order: Order) -> None:
        self._connect, self._order = connect, order

    def __enter__(self) -> Run:
        """Raises what `crew_of`, `check_free` and `check_fits` raise, and Conflict where a run is under way already."""
        with ExitStack() as stack:
            self._client = stack.enter_context(self._connect())
            status = self._client.fleet()
            self.crew: Crew = crew_of(status, self._order.model)
            if not self._order.anyway:
                check_free(status)
            check_fits(self.crew, self._order.wording)
            self._lease = Lease(self._client)
            stack.push(self._lease.__exit__)  # also where Ctrl-C comes between the lease and its answer
            self._lease.__enter__()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, told: Told) -> float:
        """Warm up; answers about how many seconds `measure` will take."""
        order = self._order
        pulse = self._pulse = Pulse(self._client, self._lease, model=self.crew.model, told=told)
        parts = (self._client, self._connect, self._lease, pulse)
        self._course = Course(*parts, crew=self.crew, wording=order.wording)
        workers, slots = len(self.crew.workers), self.crew.slots
        self.plan: Plan = planned(
            order.size, workers=workers, slots=slots, most_in_flight=order.most_in_flight, people=order.people
        )
        return self.plan.seconds(job_s=self._course.begin())

    def measure(self, told: Told) -> Outcome:
        """All steps. Raises EngineFault when no job had an answer."""
        course, plan = self._course, self.plan
        self._pulse.told = told
        in_flight = tuple(course.in_flight(plan))
        crews = tuple(course.crews(plan)) if plan.crews else ()
        beside = course.beside(plan, think_s=self._order.think_s) if plan.people else None
        return self._outcome(in_flight, crews, beside)

    def _outcome(self, in_flight: tuple[Step, ...], crews: tuple[Step, ...], beside: Beside | None) -> Outcome:
        pulse, crew = self._pulse, self.crew
        tokens = Tokens.of(pulse.usages)
        if tokens is None:
            raise EngineFault("no job had an answer.", hint="Look at `viiwork status`, and take a longer --window.")
        seen = pulse.busy.workers if pulse.busy is not None else crew.workers
        return Outcome(
            model=crew.model,
            engine=crew.engine,
            simulated=crew.simulated,
            versions={"viiwork": version("viiwork"), "python": platform.python_version()},
            cards=kinds_of(worker for worker in seen if worker.card.name in crew.names),
            workers=len(crew.workers),
            slots=crew.slots,
            hosts=crew.hosts,
            window_s=self.plan.size.window_s,
            tokens=tokens,
            in_flight=in_flight,
            crews=crews,
            beside=beside,
            failed=pulse.failed,
            left_out=left_out(crew, self.plan, [*in_flight, *crews], beside, most_in_flight=self._order.most_in_flight),
        )
