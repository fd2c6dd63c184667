"""A hold on an analysis that was started: wait for it, take its rows as they come, pause or cancel it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, overload

from viiwork.client.batches import Batch, OnProgress, RowsAsTheyCome
from viiwork.client.operation import Awaiting, Blocking, operation, streaming
from viiwork.client.progress import display, words
from viiwork.client.steps import Emit, Flow, Steps
from viiwork.client.wired import Wired
from viiwork.jobs import BatchState, BatchStatus, Counts, Priority, Row
from viiwork.receipts import Receipt

P = ParamSpec("P")


class Handle(Wired):
    """What `Analysis` and `AsyncAnalysis` have in common; on the second, what asks the service is awaited."""

    def __init__(self, client: Blocking | Awaiting, status: BatchStatus) -> None:
        self._wire = client._wire
        self.status = status
        """As the service told it last; `refresh()` asks anew."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.state.value}, {words(self.status)}>"

    @property
    def id(self) -> str:
        """By which `client.analysis(id)` takes it up again, also from another computer."""
        return self.status.id

    @property
    def state(self) -> BatchState:
        """Where it stood when the service was asked last."""
        return self.status.state

    @property
    def counts(self) -> Counts:
        """How many of its documents had an answer, and how many had come to nothing."""
        return self.status.counts

    @property
    def finished(self) -> bool:
        """Whether it had ended, in whichever way."""
        return self.status.finished

    @property
    def progress(self) -> float:
        """The share of its documents that had been dealt with, from 0 to 1."""
        total = self.counts.total
        return self.counts.settled / total if total else float(self.finished)

    @operation
    def refresh(self) -> Steps[BatchStatus]:
        """Ask how far it is."""
        return (yield from self._seen(self._batch.look()))

    @operation
    def wait(
        self, *, timeout_s: float | None = None, show: bool = False, on_progress: OnProgress | None = None
    ) -> Steps[BatchStatus]:
        """Wait for its end, or for `timeout_s`; look at `.finished`. `show` shows how far it is meanwhile.

            status = client.analyze("contracts/", task="summarize").wait(show=True)
            print(status.counts.succeeded, "of", status.counts.total)

        A service that is restarted meanwhile is waited for.
        """
        with display(hidden=not show) as shown:

            def tell(status: BatchStatus) -> None:
                self.status = status
                shown.progress(status)
                if on_progress is not None:
                    on_progress(status)

            return (yield from self._batch.wait(timeout_s=timeout_s, on_progress=tell))

    @streaming
    def rows(self, *, after: int = 0) -> Flow[Row]:
        """Each row as its document is dealt with, up to the last one; iterating over the handle does the same.

            for row in analysis:
                print(row.document, row.answer.text if row.answer else row.error.message)

        `after`: the last row's `position` + 1. They come in the order in which documents settled, which never changes.
        """
        rows = RowsAsTheyCome(self._batch, after=after)
        while (row := (yield from rows.next())) is not None:
            self.status = rows.status or self.status
            yield Emit(row)
        self.status = rows.status or self.status

    @streaming
    def results(self, *, after: int = 0, limit: int | None = None) -> Flow[Row]:
        """The rows that there are now, without waiting for more: after `wait()` all of them."""
        batch = self._batch
        lines = batch.lines(after=after, limit=limit)
        while (line := (yield from lines.next())) is not None:
            yield Emit(batch.row(line))

    @operation
    def cancel(self) -> Steps[BatchStatus]:
        """Cancel what has not ended; the rows that are there stay."""
        return (yield from self._seen(self._batch.act("cancel")))

    @operation
    def delete(self) -> Steps[Receipt]:
        """Delete it with all that is kept of it, running or not; look at `.finished` of the receipt."""
        return (yield from self._batch.delete())

    @operation
    def pause(self) -> Steps[BatchStatus]:
        """Start nothing more of it until it is resumed; what runs is finished."""
        return (yield from self._seen(self._batch.act("pause")))

    @operation
    def resume(self) -> Steps[BatchStatus]:
        """Go on with it."""
        return (yield from self._seen(self._batch.act("resume")))

    @operation
    def prioritise(self, priority: Priority | str) -> Steps[BatchStatus]:
        """Say how it stands among the other analyses of its submitter: `low`, `normal` or `high`."""
        return (yield from self._seen(self._batch.act("priority", priority=str(priority))))

    @property
    def _batch(self) -> Batch:
        return Batch(self._wire, self.id)

    def _seen(self, steps: Steps[BatchStatus]) -> Steps[BatchStatus]:
        self.status = yield from steps
        return self.status


class Analysis(Handle, Blocking):
    """An analysis, or the batch of a file of jobs, that `Client.analyze`, `submit` or `analysis` answers with.

    with Client() as client:
        analysis = client.analyze("contracts/", task="ask", question="When does it end?")
        for row in analysis:
            print(row.document, row.answer.text if row.answer else row.error.message)
    """

    def __init__(self, client: Blocking, status: BatchStatus) -> None:
        super().__init__(client, status)
        self._driver = client._driver

    def __iter__(self) -> Iterator[Row]:
        return self.rows()


class AsyncAnalysis(Handle, Awaiting):
    """The same from an `AsyncClient`: `await analysis.wait()`, `async for row in analysis`."""

    def __init__(self, client: Awaiting, status: BatchStatus) -> None:
        super().__init__(client, status)
        self._driver = client._driver

    def __aiter__(self) -> AsyncIterator[Row]:
        return self.rows()


class starting(Generic[P]):  # noqa: N801 - it stands where decorators stand
    """A method that answers with a hold on what it starts or finds."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[BatchStatus]]) -> None:
        self._steps = steps

    @overload
    def __get__(self, on: Blocking, owner: type) -> Callable[P, Analysis]: ...
    @overload
    def __get__(self, on: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, AsyncAnalysis]]: ...
    @overload
    def __get__(self, on: None, owner: type) -> Callable[..., Steps[BatchStatus]]: ...
    def __get__(self, on: Blocking | Awaiting | None, owner: type) -> Any:
        if on is None:
            return self._steps  # for `help()`

        @functools.wraps(self._steps)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            steps = self._steps(on, *args, **kwargs)
            return Analysis(on, on._driver.perform(steps)) if isinstance(on, Blocking) else _held(on, steps)

        return call


async def _held(client: Awaiting, steps: Steps[BatchStatus]) -> AsyncAnalysis:
    return AsyncAnalysis(client, await client._driver.perform(steps))
