"""Jobs: one at a time, or many as one batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from viiwork.client.handles import starting
from viiwork.client.keys import new_key, safe
from viiwork.client.operation import operation, streaming
from viiwork.client.steps import LEFT, Emit, Flow, Steps, aside
from viiwork.client.uploads import OnUpload
from viiwork.client.wired import Changes, Spoken, Wired
from viiwork.errors import ViiworkError
from viiwork.jobfile import JobFile, write_jobs
from viiwork.jobs import TERMINAL, BatchStatus, Lane, Priority, Status
from viiwork.telling import Delta, Restart

LONG_POLL_S = 30.0


class Jobs(Wired):
    """What can be asked of jobs."""

    @operation
    def submit_job(
        self,
        /,
        messages: Sequence[Mapping[str, Any]] | None = None,
        *,
        prompt: str | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002 - as the field is called in the API
        model: str | None = None,
        lane: Lane | str = Lane.INTERACTIVE,
        wait_s: float = 0,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Steps[Status]:
        """Submit one job: `messages` for a chat, `prompt` for text to go on with, `input` for vectors.

        `model` may be left out where only one is served; `fields` are the others of `POST /v1/jobs`. `wait_s` (at
        most 60) waits for its end.
        """
        asked = {
            "messages": None if messages is None else [dict(message) for message in messages],
            "prompt": prompt,
            "input": input if input is None or isinstance(input, str) else list(input),
            "model": model,
        }
        body = {name: value for name, value in asked.items() if value is not None} | {"lane": str(lane), **fields}
        headers, wait = {"idempotency-key": idempotency_key or new_key()}, {"wait": wait_s}
        return (yield from self._wire.ask(Status, "POST", "/v1/jobs", json=body, headers=headers, params=wait))

    @starting
    def submit(
        self,
        jobs: str | Path | JobFile | Iterable[Mapping[str, Any]],
        *,
        lane: Lane | str = Lane.BATCH,
        model: str | None = None,
        deadline_s: float | None = None,
        priority: Priority | str = Priority.NORMAL,
        keep_s: float | None = None,
        callback_url: str | None = None,
        on_upload: OnUpload | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[BatchStatus]:
        """Send many jobs as one batch: a file of them, one JSON object a line, or objects.

            jobs = [{"messages": [{"role": "user", "content": word}], "custom_id": word} for word in words]
            for row in client.submit(jobs, model="small"):
                print(row.custom_id, row.answer.text if row.answer else row.error.message)

        `model` is for those that name none. The service takes all of them or none, and names the line that it refuses.
        """
        options: dict[str, Any] = {"lane": lane, "model": model, "deadline_s": deadline_s, "priority": priority}
        options |= {"keep_s": keep_s, "callback_url": callback_url}
        beside: dict[str, Any] = {"on_upload": on_upload, "idempotency_key": idempotency_key}
        if isinstance(jobs, str | Path | JobFile):
            return (yield from self._send(jobs, options, **beside))
        with tempfile.TemporaryDirectory(prefix="viiwork-") as folder:
            path = Path(folder, "jobs.jsonl")
            write_jobs(path, jobs)
            return (yield from self._send(path, options, **beside))

    @operation
    def submit_file(
        self,
        file: JobFile | str | Path,
        *,
        lane: Lane | str = Lane.BATCH,
        model: str | None = None,
        deadline_s: float | None = None,
        priority: Priority | str = Priority.NORMAL,
        keep_s: float | None = None,
        callback_url: str | None = None,
        on_upload: OnUpload | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[BatchStatus]:
        """Send a file of jobs, one JSON object a line, as one batch; `model` is for the lines that name none.

        `keep_s`: how long its answers are kept after its end, if shorter than the fleet keeps any.
        The service names the line that it refuses, and then takes none. Sent again under the same key, a file that
        broke off goes on where it stopped. KeyboardInterrupt takes it back unless all of it has arrived by then.
        """
        options: dict[str, Any] = {"lane": lane, "model": model, "deadline_s": deadline_s, "priority": priority}
        options |= {"keep_s": keep_s, "callback_url": callback_url}
        return (yield from self._send(file, options, on_upload=on_upload, idempotency_key=idempotency_key))

    @operation
    def job(self, job_id: str, *, wait_s: float = 0) -> Steps[Status]:
        """A job's status; with `wait_s` (at most 60) it waits that long for the job's end."""
        return (yield from self._look_at(job_id, wait_s=wait_s))

    @operation
    def wait_job(self, job_id: str, *, timeout_s: float | None = None) -> Steps[Status]:
        """Wait for a job's end, or for `timeout_s`; look at `.state`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = LONG_POLL_S if until is None else max(0.0, until - time.monotonic())
            status = yield from self._look_at(job_id, wait_s=min(left_s, LONG_POLL_S))
            if status.state in TERMINAL or (until is not None and time.monotonic() >= until):
                return status

    @streaming
    def job_events(self, job_id: str) -> Flow[Status]:
        """A job's status at once and whenever it changes, up to its end; lost connections are taken up again."""
        yield from Changes(self._wire, Status, f"/v1/jobs/{safe(job_id)}/events").all()

    @streaming
    def job_text(self, job_id: str) -> Flow[Status | Delta | Restart]:
        """The same for a job with `stream`, and its text as it is written: each Delta is more of it.

        At a Restart what came before is void. Before the last status all of the answer's text has come.
        """
        spoken = Spoken(self._wire, job_id)
        while (told := (yield from spoken.next())) is not None:
            yield Emit(told)

    @operation
    def cancel_job(self, job_id: str) -> Steps[Status]:
        """Cancel a job; one that has ended stays as it is."""
        return (yield from self._wire.ask(Status, "POST", f"/v1/jobs/{safe(job_id)}/cancel"))

    def _look_at(self, job_id: str, *, wait_s: float) -> Steps[Status]:
        return (yield from self._wire.ask(Status, "GET", f"/v1/jobs/{safe(job_id)}", params={"wait": wait_s}))

    def _send(
        self,
        file: JobFile | str | Path,
        options: Mapping[str, Any],
        *,
        on_upload: OnUpload | None,
        idempotency_key: str | None,
    ) -> Steps[BatchStatus]:
        jobs = file if isinstance(file, JobFile) else (yield from aside(lambda: JobFile.of(Path(file))))
        params = {name: str(value) for name, value in options.items() if value}
        headers = jobs.headers() | {"idempotency-key": idempotency_key or new_key()}

        def tell(sent_bytes: int) -> None:
            if on_upload is not None:
                on_upload(sent_bytes, jobs.size_bytes)

        request: dict[str, Any] = {"params": params, "headers": headers | {"content-length": str(jobs.size_bytes)}}
        try:
            return (yield from self._wire.ask(BatchStatus, "POST", "/v1/jobs", body=lambda: jobs.body(tell), **request))
        except LEFT:
            yield from self._take_back(params, headers)
            raise

    def _take_back(self, params: Mapping[str, Any], headers: Mapping[str, str]) -> Steps[None]:
        """Nothing at all under the same key cancels a file that is not whole; the answer is a refusal either way."""
        request: dict[str, Any] = {"params": params, "headers": dict(headers) | {"content-length": "0"}}
        with suppress(ViiworkError):
            yield from self._wire.ask(BatchStatus, "POST", "/v1/jobs", body=lambda: iter(()), **request)
