"""VIIWork from Python, over HTTP: `with Client() as client: client.analyze(["a.pdf"], task="summarize")`."""

from __future__ import annotations

import getpass
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from viiwork.connection import BUSY_PATIENCE_S, DEFAULT_URL, Connection, OnRemark
from viiwork.deadletters import MOST, DeadPage, DeadSweep
from viiwork.errors import NotFound, UsageError, ViiworkError
from viiwork.jobfile import JobFile
from viiwork.jobs import TERMINAL, BatchStatus, Lane, Priority, Row, Status
from viiwork.multipart import FileDocument, TextDocument, multipart_body
from viiwork.roster import FleetStatus, Lifted, Quarantine, Quarantined
from viiwork.telling import Delta, Restart
from viiwork.work import Label

READ_TIMEOUT_S = 300.0
"""An upload of thousands of files is answered once all of them are safely on disk."""
LOOK_EVERY_S = 0.5
LONG_POLL_S = 30.0
TEXT_EVENTS: Mapping[str, type[Delta | Restart]] = {"delta": Delta, "restart": Restart}

S = TypeVar("S", Status, BatchStatus)
Document = str | Path | FileDocument | TextDocument
OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all."""


class Client:
    """A connection to one VIIWork service. Every method raises a ViiworkError, Unavailable if nothing answers.

    Lost connections are tried again `retries` times; each POST carries an Idempotency-Key, so nothing is done twice.
    A service that takes no more work for now is asked again for `busy_patience_s`, then Busy is raised.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        submitter: str | None = None,
        retries: int = 4,
        timeout_s: float = READ_TIMEOUT_S,
        on_remark: OnRemark = lambda _text: None,
        busy_patience_s: float = BUSY_PATIENCE_S,
    ) -> None:
        headers = {"x-viiwork-submitter": label(submitter or default_submitter())}
        self._wire = Connection(
            url,
            headers=headers,
            retries=retries,
            timeout_s=timeout_s,
            on_remark=on_remark,
            busy_patience_s=busy_patience_s,
        )

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._wire.url

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    # -- analyses ---------------------------------------------------------------------------------------------------

    def analyze(
        self,
        documents: Iterable[Document],
        *,
        task: str,
        labels: Sequence[Label | str] = (),
        question: str = "",
        prompt: str = "",
        max_output_tokens: int | None = None,
        lane: Lane | str = Lane.BATCH,
        model: str | None = None,
        deadline_s: float | None = None,
        priority: Priority | str = Priority.NORMAL,
        on_upload: OnUpload | None = None,
        idempotency_key: str | None = None,
    ) -> BatchStatus:
        """Send documents (paths or `TextDocument`s) and start a task on each; answers with the analysis' id."""
        options = task_options(labels, question, prompt, max_output_tokens)
        files, texts = sorted_out(documents)
        key = {"idempotency-key": idempotency_key or new_key()}
        order: dict[str, Any] = {
            "task": task,
            "options": options,
            "lane": str(lane),
            **({"model": model} if model else {}),
            **({"deadline_s": deadline_s} if deadline_s else {}),
            **({} if priority == Priority.NORMAL else {"priority": str(priority)}),
        }
        if texts:
            order["documents"] = [note(text) | {"text": text.text} for text in texts]
            return self._wire.ask(BatchStatus, "POST", "/v1/analyses", json=order, headers=key)
        return self._upload(order, files, headers=key, on_upload=on_upload)

    def analysis(self, analysis_id: str) -> BatchStatus:
        """How far an analysis is."""
        return self._wire.ask(BatchStatus, "GET", f"/v1/analyses/{safe(analysis_id)}")

    def wait_analysis(self, analysis_id: str, *, timeout_s: float | None = None) -> BatchStatus:
        """Wait for an analysis' end, or for `timeout_s`; look at `.finished`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        status = self.analysis(analysis_id)
        while not status.finished and (until is None or time.monotonic() < until):
            time.sleep(LOOK_EVERY_S)
            status = self.analysis(analysis_id)
        return status

    def cancel_analysis(self, analysis_id: str) -> BatchStatus:
        """Cancel what has not ended yet."""
        return self._wire.ask(BatchStatus, "POST", f"/v1/analyses/{safe(analysis_id)}/cancel")

    def pause_analysis(self, analysis_id: str) -> BatchStatus:
        """Start nothing more of it until it is resumed; what runs is finished."""
        return self._wire.ask(BatchStatus, "POST", f"/v1/analyses/{safe(analysis_id)}/pause")

    def resume_analysis(self, analysis_id: str) -> BatchStatus:
        """Go on with a paused analysis."""
        return self._wire.ask(BatchStatus, "POST", f"/v1/analyses/{safe(analysis_id)}/resume")

    def prioritise_analysis(self, analysis_id: str, priority: Priority | str) -> BatchStatus:
        """Say how it stands among the other analyses of its submitter: `low`, `normal` or `high`."""
        body = {"priority": str(priority)}
        return self._wire.ask(BatchStatus, "POST", f"/v1/analyses/{safe(analysis_id)}/priority", json=body)

    def analysis_events(self, analysis_id: str) -> Iterator[BatchStatus]:
        """An analysis' status at once and whenever it changes, up to its end; lost connections are taken up again."""
        return self._events(BatchStatus, f"/v1/analyses/{safe(analysis_id)}/events")

    def results(self, analysis_id: str, *, after: int = 0, limit: int | None = None) -> Iterator[Row]:
        """The settled documents so far, in the order they settled, from the `after`-th on."""
        for line in self.result_lines(analysis_id, after=after, limit=limit):
            yield self._wire.parsed(Row, line)

    def result_lines(self, analysis_id: str, *, after: int = 0, limit: int | None = None) -> Iterator[bytes]:
        """The same as JSON lines (without the line break). A broken connection is taken up where it broke."""
        return self._wire.lines(f"/v1/analyses/{safe(analysis_id)}/results", after=after, limit=limit)

    # -- jobs -------------------------------------------------------------------------------------------------------

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
        on_upload: OnUpload | None = None,
        idempotency_key: str | None = None,
    ) -> BatchStatus:
        """Send a file of jobs, one JSON object a line, as one batch; `model` is for the lines that name none.

        The service names the line that it refuses, and then takes none. Sent again under the same key, a file that
        broke off goes on where it stopped. KeyboardInterrupt takes it back unless all of it has arrived by then.
        """
        jobs = file if isinstance(file, JobFile) else JobFile.of(Path(file))
        said = {"lane": str(lane), "model": model, "deadline_s": deadline_s, "priority": str(priority)}
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

    # -- dead letters -----------------------------------------------------------------------------------------------

    def dead(self, *, limit: int | None = None) -> Iterator[Status]:
        """Jobs that were given up, the last to die first, each with its history."""
        had, before = 0, None
        while limit is None or had < limit:
            asked = MOST if limit is None else min(limit - had, MOST)
            params = {"limit": asked} | ({} if before is None else {"before": before})
            page = self._wire.ask(DeadPage, "GET", "/v1/dead", params=params)
            yield from page.dead if limit is None else page.dead[: limit - had]
            had, before = had + len(page.dead), page.before
            if before is None:
                return

    def dead_job(self, job_id: str) -> Status:
        """One dead letter. Raises NotFound for a job that is not dead."""
        return self._wire.ask(Status, "GET", f"/v1/dead/{safe(job_id)}")

    def retry_dead(self, job_ids: Sequence[str] | None = None) -> DeadSweep:
        """Try dead jobs again with a clean slate: those named, or all; look at `.refused`."""
        return self._sweep("/v1/dead/retry", job_ids)

    def purge_dead(self, job_ids: Sequence[str] | None = None) -> DeadSweep:
        """Take jobs out of the dead letters: those named, or all; look at `.refused`."""
        return self._sweep("/v1/dead/purge", job_ids)

    # -- the fleet --------------------------------------------------------------------------------------------------

    def fleet(self) -> FleetStatus:
        """Workers, models and queues at this moment."""
        return self._wire.ask(FleetStatus, "GET", "/v1/fleet")

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Workers that may take no jobs until a person lifts that, by name, and why."""
        return self._wire.ask(Quarantine, "GET", "/v1/fleet/quarantine").workers

    def lift_quarantine(self, names: Sequence[str] | None = None) -> Lifted:
        """Let workers take jobs again, those named or all; look at `.unknown`. A failed engine is tried once more."""
        body = {} if names is None else {"workers": list(names)}
        headers = {"idempotency-key": new_key()}
        return self._wire.ask(Lifted, "POST", "/v1/fleet/quarantine/lift", json=body, headers=headers)

    def _sweep(self, path: str, job_ids: Sequence[str] | None) -> DeadSweep:
        orders, total = _orders(job_ids), DeadSweep()
        while orders:
            headers = {"idempotency-key": new_key()}
            swept = self._wire.ask(DeadSweep, "POST", path, json=orders.pop(0), headers=headers)
            total = DeadSweep(done=total.done + swept.done, refused=total.refused + swept.refused)
            if swept.before is not None:
                orders.append({"before": swept.before})
        return total

    def _events(self, model: type[S], path: str) -> Iterator[S]:
        shown: S | None = None
        with closing(self._wire.events(path)) as events:
            for event in events:
                if event.name == "end":
                    return
                if event.name in TEXT_EVENTS:
                    continue
                status = self._wire.parsed(model, event.data)
                if status != shown:  # it is sent again after a lost connection
                    shown = status
                    yield status

    def _upload(
        self,
        order: Mapping[str, Any],
        files: Sequence[FileDocument],
        *,
        headers: dict[str, str],
        on_upload: OnUpload | None,
    ) -> BatchStatus:
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in order.items()}
        fields["documents"] = json.dumps([note(file) for file in files])
        total_bytes = sum(size_bytes(file.path) for file in files)
        boundary = f"viiwork-{secrets.token_hex(16)}"
        headers = headers | {"content-type": f"multipart/form-data; boundary={boundary}"}

        def tell(sent_bytes: int) -> None:
            if on_upload is not None:
                on_upload(sent_bytes, total_bytes)

        def body() -> Iterator[bytes]:
            return multipart_body(fields, files, boundary=boundary, on_sent=tell)

        return self._wire.ask(BatchStatus, "POST", "/v1/analyses", body=body, headers=headers)


def sorted_out(documents: Iterable[Document]) -> tuple[list[FileDocument], list[TextDocument]]:
    """Files and texts. Raises UsageError unless there is one kind only, and at least one document."""
    files: list[FileDocument] = []
    texts: list[TextDocument] = []
    for document in documents:
        if isinstance(document, TextDocument):
            texts.append(document)
        else:
            files.append(document if isinstance(document, FileDocument) else FileDocument(Path(document)))
    if files and texts:
        raise UsageError("documents: send files and texts in two analyses.", param="documents")
    if not files and not texts:
        raise UsageError("documents: there is nothing to analyse.", param="documents")
    return files, texts


def _orders(job_ids: Sequence[str] | None) -> list[dict[str, Any]]:
    """The bodies that name these dead letters, so many at a time as one request takes; none named means all."""
    if job_ids is None:
        return [{}]
    return [{"ids": list(job_ids[at : at + MOST])} for at in range(0, len(job_ids), MOST)]


def task_options(
    labels: Sequence[Label | str], question: str, prompt: str, max_output_tokens: int | None
) -> dict[str, Any]:
    """The options as the wire has them; what is not given is left to the service."""
    options: dict[str, Any] = {}
    if labels:
        options["labels"] = [label if isinstance(label, str) else label.model_dump() for label in labels]
    if question:
        options["question"] = question
    if prompt:
        options["prompt"] = prompt
    if max_output_tokens is not None:
        options["max_output_tokens"] = max_output_tokens
    return options


def note(document: FileDocument | TextDocument) -> dict[str, Any]:
    """What the service is told of a document besides its content."""
    name = document.shown_name if isinstance(document, FileDocument) else document.name
    return {"name": name[-1024:], "custom_id": document.custom_id, "metadata": dict(document.metadata)}


def size_bytes(path: Path) -> int:
    """A file's size. Raises UsageError for what cannot be sent."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.") from error


def new_key() -> str:
    """A new Idempotency-Key."""
    return f"viiwork-{secrets.token_hex(16)}"


def safe(any_id: str) -> str:
    """An id that can stand in a path. Raises NotFound."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", any_id):
        raise NotFound("This is not the id of a job or an analysis.")
    return any_id


def default_submitter() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"  # a container's user may have no name
    return f"{user}@{socket.gethostname()}"


def label(submitter: str) -> str:
    """A submitter as a header can carry it."""
    return re.sub(r"[^A-Za-z0-9._@+-]", "_", submitter)[:128]
