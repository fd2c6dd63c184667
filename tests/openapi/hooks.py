"""What schemathesis loads: most of the ids that it sends are real ones, and what was answered is counted.

Ids made up by chance would be answered 404 for ever, and nothing behind them would be looked at.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

from viiwork.api.examples import MODEL

KNOWN: dict[str, list[str]] = json.loads(os.environ.get("VIIWORK_TEST_IDS", "{}"))
TOLD = os.environ.get("VIIWORK_TEST_TOLD", "")
ANSWERS: Counter[str] = Counter()
LEAST_S = 30.0
TURNS: Counter[str] = Counter()
LOCK = threading.Lock()


@schemathesis.hook
def before_call(_context: Any, case: Any, _how: Any) -> None:
    """The examples of the document name no model that is served here; whoever gives no time asks for a 504."""
    if not isinstance(case.body, dict):
        return
    if case.body.get("model") == MODEL:
        case.body = case.body | {"model": KNOWN["model_id"][0]}
    for name in ("timeout_s", "deadline_s"):
        given_s = case.body.get(name)
        if isinstance(given_s, int | float) and not isinstance(given_s, bool) and 0 < given_s < LEAST_S:
            case.body = case.body | {name: LEAST_S}


@schemathesis.hook
def map_path_parameters(context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Real ones in turn, and each fourth time the one that was made up."""
    operation = str(context.operation.label)
    with LOCK:
        TURNS[operation] += 1
    return {name: _known(operation, name, value) for name, value in given.items()} if given else given


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """`GET /v1/jobs/{job_id} 200`."""
    with LOCK:
        ANSWERS[f"{case.operation.label} {response.status_code}"] += 1


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, value: Any) -> bytes:
    """A line for what stands in the document as one, or for each of a list."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in (value if isinstance(value, list) else [value]))


def _known(operation: str, name: str, value: Any) -> Any:
    """What ends or deletes has ids of its own: the first half."""
    ids, turn = KNOWN.get(name, []), TURNS[operation]
    ends = operation.startswith("DELETE ") or operation.endswith("/cancel")
    ids = ids[: len(ids) // 2] if ends else ids[len(ids) // 2 :]
    return ids[turn % len(ids)] if ids and turn % 4 else value


if TOLD:
    atexit.register(lambda: Path(TOLD).write_text(json.dumps(ANSWERS, indent=1, sort_keys=True), "utf-8"))
