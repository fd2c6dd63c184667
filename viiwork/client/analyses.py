"""Analyses: documents go in, and a row comes out for each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from viiwork.client.batches import Batch
from viiwork.client.handles import starting
from viiwork.client.keys import new_key
from viiwork.client.operation import operation, streaming
from viiwork.client.steps import Emit, Flow, Steps, aside
from viiwork.client.uploads import Document, OnUpload, note, size_bytes, sorted_out
from viiwork.client.wired import Wired
from viiwork.jobs import BatchStatus, Lane, Priority, Row
from viiwork.multipart import FileDocument, multipart_body
from viiwork.receipts import Receipt
from viiwork.work import Label


class Analyses(Wired):
    """What can be asked of analyses."""

    @starting
    def analyze(
        self,
        documents: Document | Iterable[Document],
        *,
        task: str,
        labels: Sequence[Label | str] = (),
        multi: bool = False,
        rationale: bool = False,
        question: str = "",
        questions: Sequence[str] = (),
        prompt: str = "",
        schema: Mapping[str, Any] | type[BaseModel] | None = None,
        quotes: bool = True,
        length: str = "",
        style: str = "",
        language: str = "",
        max_output_tokens: int | None = None,
        lane: Lane | str = Lane.BATCH,
        model: str | None = None,
        deadline_s: float | None = None,
        priority: Priority | str = Priority.NORMAL,
        callback_url: str | None = None,
        retention_hours: float | None = None,
        metadata: Mapping[str, str] | None = None,
        on_upload: OnUpload | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[BatchStatus]:
        """Send documents (paths of files and folders, or `TextDocument`s) and start a task on each of them.

            analysis = client.analyze("letters/", task="classify", labels=["invoice", "complaint", "other"])
            for row in analysis:
                print(row.document, row.answer.label if row.answer else row.error.message)

        With `multi` several labels may hold (`answer.labels`), with `rationale` each says why (`answer.rationales`).
        Of several `questions` each has its answer in `row.answer.answers`; the documents are read once.
        `schema` is a JSON schema, or a model of pydantic whose one is meant; without `quotes` it is filled unproved.
        A summary's `length` is short, medium or long, its `style` prose or bullets. `metadata` is of the analysis, to
        find it again by; `retention_hours` after its end all of it is deleted.
        """
        options = task_options(labels, question, prompt, max_output_tokens) | schema_options(schema)
        options |= {} if quotes else {"quotes": False}
        options |= {name: True for name, said in (("multi", multi), ("rationale", rationale)) if said}
        options |= {"questions": list(questions)} if questions else {}
        wishes = {"length": length, "style": style, "language": language}
        options |= {name: wish for name, wish in wishes.items() if wish}
        remark = self._wire.remark
        files, texts = yield from aside(lambda: sorted_out(documents, on_skipped=remark))
        key = {"idempotency-key": idempotency_key or new_key()}
        order: dict[str, Any] = {
            "task": str(task),
            "options": options,
            "lane": str(lane),
            **({"model": model} if model else {}),
            **({"deadline_s": deadline_s} if deadline_s else {}),
            **({} if priority == Priority.NORMAL else {"priority": str(priority)}),
            **({"callback_url": callback_url} if callback_url else {}),
            **({} if retention_hours is None else {"retention_hours": retention_hours}),
            **({"metadata": dict(metadata)} if metadata else {}),
        }
        if texts:
            order["documents"] = [note(text) | {"text": text.text} for text in texts]
            return (yield from self._wire.ask(BatchStatus, "POST", "/v1/analyses", json=order, headers=key))
        return (yield from self._upload(order, files, headers=key, on_upload=on_upload))

    @starting
    def analysis(self, analysis_id: str) -> Steps[BatchStatus]:
        """Take an analysis up again, or the batch of a file of jobs: from another program, a day later.

        analysis = client.analysis("an_01m7…")
        print(analysis.state, analysis.progress)
        """
        return (yield from Batch(self._wire, analysis_id).look())

    @operation
    def analysis_status(self, analysis_id: str) -> Steps[BatchStatus]:
        """How far an analysis is."""
        return (yield from Batch(self._wire, analysis_id).look())

    @operation
    def wait_analysis(self, analysis_id: str, *, timeout_s: float | None = None) -> Steps[BatchStatus]:
        """Wait for an analysis' end, or for `timeout_s`; look at `.finished`."""
        return (yield from Batch(self._wire, analysis_id).wait(timeout_s=timeout_s))

    @operation
    def cancel_analysis(self, analysis_id: str) -> Steps[BatchStatus]:
        """Cancel what has not ended yet."""
        return (yield from Batch(self._wire, analysis_id).act("cancel"))

    @operation
    def delete_analysis(self, analysis_id: str) -> Steps[Receipt]:
        """Delete it and all that is kept of it, running or not; look at `.finished`. Asking again does no harm."""
        return (yield from Batch(self._wire, analysis_id).delete())

    @operation
    def pause_analysis(self, analysis_id: str) -> Steps[BatchStatus]:
        """Start nothing more of it until it is resumed; what runs is finished."""
        return (yield from Batch(self._wire, analysis_id).act("pause"))

    @operation
    def resume_analysis(self, analysis_id: str) -> Steps[BatchStatus]:
        """Go on with a paused analysis."""
        return (yield from Batch(self._wire, analysis_id).act("resume"))

    @operation
    def prioritise_analysis(self, analysis_id: str, priority: Priority | str) -> Steps[BatchStatus]:
        """Say how it stands among the other analyses of its submitter: `low`, `normal` or `high`."""
        return (yield from Batch(self._wire, analysis_id).act("priority", priority=str(priority)))

    @streaming
    def analysis_events(self, analysis_id: str) -> Flow[BatchStatus]:
        """An analysis' status at once and whenever it changes, up to its end; lost connections are taken up again."""
        yield from Batch(self._wire, analysis_id).changes().all()

    @streaming
    def results(self, analysis_id: str, *, after: int = 0, limit: int | None = None) -> Flow[Row]:
        """The settled documents so far, in the order they settled, from position `after` on."""
        batch = Batch(self._wire, analysis_id)
        lines = batch.lines(after=after, limit=limit)
        while (line := (yield from lines.next())) is not None:
            yield Emit(batch.row(line))

    @streaming
    def result_lines(self, analysis_id: str, *, after: int = 0, limit: int | None = None) -> Flow[bytes]:
        """The same as JSON lines (without the line break). A broken connection is taken up where it broke."""
        lines = Batch(self._wire, analysis_id).lines(after=after, limit=limit)
        while (line := (yield from lines.next())) is not None:
            yield Emit(line)

    def _upload(
        self,
        order: Mapping[str, Any],
        files: Sequence[FileDocument],
        *,
        headers: dict[str, str],
        on_upload: OnUpload | None,
    ) -> Steps[BatchStatus]:
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in order.items()}
        fields["documents"] = json.dumps([note(file) for file in files])
        total_bytes = yield from aside(lambda: sum(size_bytes(file.path) for file in files))
        boundary = f"viiwork-{secrets.token_hex(16)}"
        headers = headers | {"content-type": f"multipart/form-data; boundary={boundary}"}

        def tell(sent_bytes: int) -> None:
            if on_upload is not None:
                on_upload(sent_bytes, total_bytes)

        def body() -> Iterator[bytes]:
            return multipart_body(fields, files, boundary=boundary, on_sent=tell)

        return (yield from self._wire.ask(BatchStatus, "POST", "/v1/analyses", body=body, headers=headers))


def schema_options(schema: Mapping[str, Any] | type[BaseModel] | None) -> dict[str, Any]:
    """What an extraction needs."""
    if schema is None:
        return {}
    return {"schema": dict(schema) if isinstance(schema, Mapping) else schema.model_json_schema()}


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
