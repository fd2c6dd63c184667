"""Jobs: one at a time, or a file of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from viiwork.client.keys import new_key, safe
from viiwork.client.uploads import OnUpload
from viiwork.client.wired import TEXT_EVENTS, Wired
from viiwork.errors import ViiworkError
from viiwork.jobfile import JobFile
from viiwork.jobs import TERMINAL, BatchStatus, Lane, Priority, Status
from viiwork.telling import Delta, Restart

LONG_POLL_S = 30.0


class Jobs(Wired):
    """What can be asked of jobs on their own."""

    def submit_job(
        self,
        messages: Sequence[Mapping[str, Any]] | None = None,
        *,
        prompt: str | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002 - as the field is called in the API
        model: str | None = None,
        lane: Lane | str = Lane.INTERACTIVE,
        wait_s: float = 0,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Status:
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
        headers = {"idempotency-key": idempotency_key or new_key()}
        return self._wire.ask(Status, "POST", "/v1/jobs", json=body, headers=headers, params={"wait": wait_s})

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
    ) -> BatchStatus:
        """Send a file of jobs, one JSON object a line, as one batch; `model` is for the lines that name none.

        `keep_s`: how long its answers are kept after its end, if shorter than the fleet keeps any.
        The service names the line that it refuses, and then takes none. Sent again under the same key, a file that
        broke off goes on where it stopped. KeyboardInterrupt takes it back unless all of it has arrived by then.
        """
        jobs = file if isinstance(file, JobFile) else JobFile.of(Path(file))
        said = {
            "lane": str(lane),
            "model": model,
            "deadline_s": deadline_s,
            "priority": str(priority),
            "keep_s": keep_s,
            "callback_url": callback_url,
        }
        params = {name: value for name, value in said.items() if value}
        headers = jobs.headers() | {"idempotency-key": idempotency_key or new_key()}

        def tell(sent_bytes: int) -> None:
            if on_upload is not None:
                on_upload(sent_bytes, jobs.size_bytes)

        whole = headers | {"content-length": str(jobs.size_bytes)}
        try:
            return self._wire.ask(
                BatchStatus, "POST", "/v1/jobs", body=lambda: jobs.body(tell), headers=whole, params=params
            )
        except KeyboardInterrupt:
            self._take_back(params, headers)
            raise

    def _take_back(self, params: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Nothing at all under the same key cancels a file that is not whole; the answer is a refusal either way."""
        nothing = dict(headers) | {"content-length": "0"}
        with suppress(ViiworkError):
            self._wire.ask(BatchStatus, "POST", "/v1/jobs", body=lambda: iter(()), headers=nothing, params=params)

    def job(self, job_id: str, *, wait_s: float = 0) -> Status:
        """A job's status; with `wait_s` (at most 60) it waits that long for the job's end."""
        return self._wire.ask(Status, "GET", f"/v1/jobs/{safe(job_id)}", params={"wait": wait_s})

    def wait_job(self, job_id: str, *, timeout_s: float | None = None) -> Status:
        """Wait for a job's end, or for `timeout_s`; look at `.state`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = LONG_POLL_S if until is None else max(0.0, until - time.monotonic())
            status = self.job(job_id, wait_s=min(left_s, LONG_POLL_S))
            if status.state in TERMINAL or (until is not None and time.monotonic() >= until):
                return status

    def job_events(self, job_id: str) -> Iterator[Status]:
        """A job's status at once and whenever it changes, up to its end; lost connections are taken up again."""
        return self._events(Status, f"/v1/jobs/{safe(job_id)}/events")

    def job_text(self, job_id: str) -> Iterator[Status | Delta | Restart]:
        """The same for a job with `stream`, and its text as it is written: each Delta is more of it.

        At a Restart what came before is void. Before the last status all of the answer's text has come.
        """
        shown: Status | None = None
        with closing(self._wire.events(f"/v1/jobs/{safe(job_id)}/events")) as events:
            for event in events:
                if event.name == "end":
                    return
                if text := TEXT_EVENTS.get(event.name):
                    yield self._wire.parsed(text, event.data)
                elif event.name == "state":
                    status = self._wire.parsed(Status, event.data)
                    if status != shown:
                        shown = status
                        yield status

    def cancel_job(self, job_id: str) -> Status:
        """Cancel a job; one that has ended stays as it is."""
        return self._wire.ask(Status, "POST", f"/v1/jobs/{safe(job_id)}/cancel")
