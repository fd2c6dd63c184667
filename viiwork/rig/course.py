"""One run from its first prompt to its last window: which steps, with whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from viiwork.client import Client
from viiwork.errors import EngineFault
from viiwork.jobs import Lane
from viiwork.rig.crew import Crew
from viiwork.rig.lease import Lease
from viiwork.rig.load import KEEP_S
from viiwork.rig.looks import Window
from viiwork.rig.outcome import Beside, Step, Tokens, Waits, step_of
from viiwork.rig.people import Asked, People
from viiwork.rig.pulse import HEARD_S, Pulse
from viiwork.rig.size import Plan
from viiwork.rig.spread import Spread, spread
from viiwork.rig.wording import Wording


class Course:
    """Measures a crew, step by step."""

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Client],
        lease: Lease,
        pulse: Pulse,
        *,
        crew: Crew,
        wording: Wording,
    ) -> None:
        self._client, self._connect, self._lease, self._pulse = client, connect, lease, pulse
        self._crew, self._wording = crew, wording

    def begin(self) -> float:
        """Warm up, and learn how many tokens the model makes of a word; answers how long one job takes alone.

        Raises EngineFault when there is no answer to be had.
        """
        self._pulse.wait_for_leftovers()
        for number in (0, -1):
            body = self._wording.job(number)
            begin_s = time.monotonic()
            job = self._client.submit_job(model=self._crew.model, lane=Lane.INTERACTIVE, keep_s=KEEP_S, **body)
            while (status := self._client.job(job.id, wait_s=5)).finished_ms is None:
                self._lease.renew()
            took_s = time.monotonic() - begin_s
            if status.answer is None:
                why = status.error.message if status.error else status.state.value
                raise EngineFault(f"the first prompt has no answer: {why}", hint="Look at `viiwork status`.")
            words = len(body["messages"][0]["content"].split())
            self._wording = self._wording.fitted(words=words, counted_tokens=status.answer.usage.prompt_tokens)
        return took_s

    def in_flight(self, plan: Plan) -> Iterator[Step]:
        """The first worker alone, with more and more at once; the others are held."""
        one = self._crew.names[:1]
        for lane in (Lane.BATCH, Lane.INTERACTIVE):
            levels = [level for level in plan.in_flight if lane_of(level) is lane]
            with self._pulse.loaded(self._wording, lane):
                for level in levels:
                    self._pulse.doing = f"{level} in flight on one worker"
                    yield self._step(plan, one, at_most={**self._held(one), one[0]: level})

    def crews(self, plan: Plan) -> Iterator[Step]:
        """More and more workers, each with all of its slots."""
        with self._pulse.loaded(self._wording, Lane.INTERACTIVE):
            for number in plan.crews:
                some = self._crew.names[:number]
                self._pulse.doing = f"{number} worker{'' if number == 1 else 's'}, all slots"
                yield self._step(plan, some, at_most=self._held(some))

    def beside(self, plan: Plan, *, think_s: float) -> Beside:
        """Rounds of three windows in turn: people alone, the batch alone, both."""
        everyone = self._crew.names
        idle: list[Asked] = []
        both: list[Asked] = []
        alone: list[Window] = []
        shared: list[Window] = []
        theirs: list[float] = []
        failed = 0
        self._pulse.settle(plan.size, everyone, at_most=self._held(everyone), loaded=False)
        for number in range(plan.size.rounds):
            turn = f"round {number + 1} of {plan.size.rounds}"
            self._pulse.doing = f"people alone, {turn}"
            asked, _, lost = self._asked(plan, think_s)
            idle += asked
            with self._pulse.loaded(self._wording, Lane.BATCH):
                self._pulse.doing = f"batch alone, {turn}"
                self._pulse.settle(plan.size, everyone, at_most=self._held(everyone))
                alone.append(self._pulse.window(plan.size, everyone)[0])
                self._pulse.doing = f"people beside batch, {turn}"
                asked, seen, more_lost = self._asked(plan, think_s)
            both += asked
            shared.append(seen)
            theirs.append(sum(each.output_tokens for each in asked) / seen.seconds)
            failed += lost + more_lost
        cards, tokens = self._crew.cards(everyone), Tokens.of(self._pulse.usages)
        return Beside(
            people=plan.people,
            idle=Waits.of(idle),
            beside=Waits.of(both),
            alone=step_of(alone, workers=len(everyone), cards=cards, tokens=tokens),
            with_people=step_of(shared, workers=len(everyone), cards=cards, tokens=tokens, less=theirs),
            kept=kept(alone, shared, theirs),
            failed=failed,
        )

    def _asked(self, plan: Plan, think_s: float) -> tuple[list[Asked], Window, int]:
        """A window with people in it: what they asked in it, the window, and how many questions came to nothing."""
        people = People(self._connect, self._wording, model=self._crew.model, people=plan.people, think_s=think_s)
        with people:
            seen, begin_s, end_s = self._pulse.window(plan.size, self._crew.names)
            people.ask_no_more()
            until_s = end_s + plan.size.settle_s + HEARD_S
            while people.busy and time.monotonic() < until_s:
                self._pulse.tick()
        return people.between(begin_s, end_s), seen, people.failed

    def _step(self, plan: Plan, names: Sequence[str], *, at_most: Mapping[str, int]) -> Step:
        self._pulse.settle(plan.size, names, at_most=at_most)
        windows = [self._pulse.window(plan.size, names)[0] for _ in range(plan.size.rounds)]
        self._pulse.sample()
        tokens = Tokens.of(self._pulse.usages)
        return step_of(windows, workers=len(names), cards=self._crew.cards(names), tokens=tokens)

    def _held(self, names: Collection[str]) -> dict[str, int]:
        """Nothing for all others that serve the model."""
        return {name: 0 for name in (*self._crew.names, *self._crew.unable) if name not in names}


def lane_of(level: int) -> Lane:
    """The lane in which a worker that may have so many jobs has so many.

    Batch leaves slots free for people. A worker with a single slot looks for batch work between jobs of people, which
    left it with 1.6 of 21 possible jobs a second (measured).
    """
    return Lane.BATCH if level == 1 else Lane.INTERACTIVE


def kept(alone: Sequence[Window], shared: Sequence[Window], theirs: Sequence[float]) -> Spread | None:
    """The batch's part of what the engines wrote beside people, over what it got alone; each round for itself.

    By jobs where an engine does not count its tokens.
    """
    return spread([_kept(*each) for each in zip(alone, shared, theirs, strict=True)])


def _kept(alone: Window, shared: Window, theirs: float) -> float | None:
    before, after = alone.output_tokens_per_s, shared.output_tokens_per_s
    if before and after is not None:
        return max(0.0, after - theirs) / before
    return shared.jobs_per_s / alone.jobs_per_s if alone.jobs_per_s else None
