"""What `viiwork analyze` is asked to have done, whether by flags or by the record of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from viiwork.bigrun.record import RunRecord
from viiwork.client import Client
from viiwork.client.uploads import OnUpload
from viiwork.jobs import BatchStatus, Lane, Priority
from viiwork.multipart import FileDocument
from viiwork.work import AnalysisTask, TaskOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An analysis but for its files."""

    task: AnalysisTask
    options: TaskOptions
    model: str = ""
    """Empty: the only one that is served."""
    lane: Lane = Lane.BATCH
    priority: Priority = Priority.NORMAL
    deadline_s: float | None = None
    callback_url: str = ""
    retention_hours: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def send(self, client: Client, files: Sequence[FileDocument], *, on_upload: OnUpload) -> BatchStatus:
        """Upload the files and start it."""
        options = self.options
        return client.analyze(
            files,
            task=self.task,
            labels=options.labels,
            multi=options.multi,
            rationale=options.rationale,
            question=options.question,
            questions=options.questions,
            prompt=options.prompt,
            schema=options.json_schema,
            quotes=options.quotes,
            length=options.length,
            style=options.style,
            language=options.language,
            max_output_tokens=options.max_output_tokens,
            lane=self.lane,
            model=self.model or None,
            deadline_s=self.deadline_s,
            priority=self.priority,
            callback_url=self.callback_url or None,
            retention_hours=self.retention_hours,
            metadata=self.metadata,
            on_upload=on_upload,
        ).status


def order_again(record: RunRecord, *, model: str = "") -> Order:
    """The order of an earlier run, on its model or another one."""
    return Order(
        task=record.task,
        options=record.options,
        model=model or record.setup.model,
        lane=record.lane,
        priority=record.priority,
    )
