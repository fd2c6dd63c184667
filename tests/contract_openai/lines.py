"""Files of lines for batches, and what came of them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from openai import ConflictError, OpenAI
from openai.types import Batch, FileObject

from tests.front import MODEL, Front

CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
WITHIN_S = 60.0


def line(custom_id: str, text: str = "Name a river.", *, url: str = CHAT, **body: Any) -> dict[str, Any]:
    """One request of a file."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 4} | body
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


def sent(sdk: OpenAI, content: bytes, *, name: str = "lines.jsonl") -> FileObject:
    """A file for a batch."""
    return sdk.files.create(file=(name, content), purpose="batch")


def started(sdk: OpenAI, content: bytes, *, endpoint: str = CHAT, **said: Any) -> Batch:
    """A batch of these bytes."""
    file = sent(sdk, content)
    told: dict[str, Any] = {"completion_window": "24h", "input_file_id": file.id, "endpoint": endpoint} | said
    return sdk.batches.create(**told)


def held(sdk: OpenAI, front: Front, count: int = 400, **said: Any) -> Batch:
    """A batch that is paused, by an address of ours, before its worker can have done it; its window may be over."""
    worker = front.workers.processes["cpu0"]
    worker.send_signal(signal.SIGSTOP)
    try:
        batch = started(sdk, jsonl([line(f"c-{n}", max_tokens=200) for n in range(count)]), **said)
        with suppress(ConflictError):
            sdk.post(f"/batches/{batch.id}/pause", cast_to=Batch)
    finally:
        worker.send_signal(signal.SIGCONT)
    return batch


def ended(sdk: OpenAI, batch: Batch) -> Batch:
    """The same once it has ended; a bound, not a timing assertion."""
    until_s = time.monotonic() + WITHIN_S
    while batch.status not in ENDED:
        assert time.monotonic() < until_s, batch
        time.sleep(0.05)
        batch = sdk.batches.retrieve(batch.id)
    return batch


def content(sdk: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file."""
    assert file_id is not None
    text = sdk.files.content(file_id).read()
    return [json.loads(one) for one in text.splitlines()]


def codes(batch: Batch) -> list[tuple[str | None, int | None]]:
    """What was wrong with its file: code and line."""
    assert batch.errors is not None and batch.errors.object == "list"
    return [(each.code, each.line) for each in batch.errors.data or ()]
