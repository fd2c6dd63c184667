"""Whether the lines of a file are the requests of one batch: looked at one after the other, in bounded memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from viiwork.batches.linecut import FileLine

MAX_LINES = 50_000
MAX_CUSTOM_ID = 512
MOST_TOLD = 50
"""Faults that are told of a file; the rest is of the same kinds, as a rule."""
DIGEST_BYTES = 16
"""Of each id, to see whether it came before: 50,000 take 5 MB."""


class LineFault(BaseModel):
    """What is wrong with a line, or with the whole file (`line` is None)."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a batch; its body is looked at when it becomes a job."""

    line: int
    custom_id: str
    model: str
    body: dict[str, Any]


class Wrong(Exception):
    """Raised when a line is no request of the batch: the reason, the field, and the code."""

    code = "invalid_json_line"

    def __init__(self, reason: str, param: str | None = None, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.param = code or self.code, reason, param

    def at(self, line: FileLine) -> LineFault:
        """The same of a line."""
        message = f"Line {line.number}: {self.reason}."
        return LineFault(code=self.code, message=message, param=self.param, line=line.number)


def read(line: FileLine, endpoint: str) -> Request:
    """The request that a line holds. Raises Wrong."""
    said = _object_in(line)
    custom_id, body = said.get("custom_id"), said.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID or not _is_text(custom_id):
        raise Wrong(f"custom_id: must be a string of 1 to {MAX_CUSTOM_ID} characters", "custom_id")
    if said.get("method") != "POST":
        raise Wrong("method: must be POST", "method")
    if said.get("url") != endpoint:
        raise Wrong(f"url: must be {endpoint}, which the batch is for", "url", code="url_mismatch")
    if not isinstance(body, dict):
        raise Wrong("body: must be a JSON object", "body")
    model = body.get("model")
    if not isinstance(model, str) or not model or not _is_text(model):
        raise Wrong("body.model: must be the name of a model", "body.model")
    return Request(line.number, custom_id, model, body)


class LineCheck:
    """Looks at the lines of a file one after the other; what is wrong with it is in `faults` then."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._seen: set[bytes] = set()
        self.faults: list[LineFault] = []
        self.lines = 0
        self.model = ""

    @property
    def hopeless(self) -> bool:
        """Nothing more needs to be looked at."""
        return len(self.faults) >= MOST_TOLD or self.lines > MAX_LINES

    def look(self, line: FileLine) -> None:
        """Look at the next line."""
        self.lines += 1
        if self.lines > MAX_LINES:
            reason = f"is one too many: a batch has at most {MAX_LINES:,} lines; send several batches"
            self.faults.append(Wrong(reason, code="too_many_tasks").at(line))
            return
        try:
            self._against_others(read(line, self._endpoint))
        except Wrong as wrong:
            self.faults.append(wrong.at(line))

    def finish(self) -> None:
        """The file is at its end."""
        if not self.lines:
            self.faults.append(LineFault(code="empty_file", message="The file has no lines."))

    def _against_others(self, found: Request) -> None:
        digest = hashlib.blake2b(found.custom_id.encode(), digest_size=DIGEST_BYTES).digest()
        if digest in self._seen:
            raise Wrong("custom_id: an earlier line has the same", "custom_id", code="duplicate_custom_id")
        self._seen.add(digest)
        self.model = self.model or found.model
        if found.model != self.model:
            reason = "body.model: is another one than in the lines before; a batch is for one model"
            raise Wrong(reason, "body.model", code="model_mismatch")


def _object_in(line: FileLine) -> dict[str, Any]:
    if line.too_long:
        raise Wrong("is longer than a line may be")
    try:
        said = json.loads(line.raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Wrong("is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Wrong("is not valid JSON") from error
    if not isinstance(said, dict):
        raise Wrong("must be a JSON object")
    return said


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and its like are no JSON


def _is_text(value: str) -> bool:
    """Whether it can be written: half a character of two, as JSON may name it, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
