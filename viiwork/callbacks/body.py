"""What a callback says: ids, metadata, counts, where the results are. Never a document's text. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from viiwork.deliveries import EventType

Record = Mapping[str, str]
COUNTS = ("total", "succeeded", "failed", "cancelled")
PLAIN = ("task", "model", "custom_id", "worker", "lane_of_work")
MOMENTS = ("finished_ms", "expires_ms")


def body_of(message_id: str, record: Record, *, base_url: str) -> str:
    """The body of a callback, the same bytes at every try.

    The shape is Standard Webhooks' (`type`, `timestamp`, `data`), and beside it what the clients of OpenAI's look for
    (`id`, `object`, `created_at`).
    """
    created_ms = int(record["created_ms"])
    told = {
        "id": message_id,
        "object": "event",
        "type": record["type"],
        "created_at": created_ms // 1000,
        "timestamp": moment(created_ms),
        "data": data_of(record, base_url=base_url),
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def data_of(record: Record, *, base_url: str) -> dict[str, Any]:
    """What happened to whom."""
    data: dict[str, Any] = {"id": record["subject"]}
    if record.get("ended"):
        data["state"] = record["ended"]
    data |= {name: record[name] for name in PLAIN if record.get(name)}
    if "total" in record:
        data["counts"] = {name: int(record.get(name) or 0) for name in COUNTS}
    if "waiting" in record:
        data["waiting"] = int(record["waiting"])
    data |= {name: int(record[name]) for name in MOMENTS if record.get(name, "0") != "0"}
    if record.get("metadata"):
        data["metadata"] = json.loads(record["metadata"])
    path = where(record["type"], record["subject"])
    return data | ({"result_url": f"{base_url.rstrip('/')}{path}"} if path else {})


def where(kind: str, subject: str) -> str:
    """The path at which the service tells more."""
    if kind.startswith("analysis."):
        return f"/v1/analyses/{subject}/results"
    if kind.startswith("job."):
        return f"/v1/jobs/{subject}"
    return {
        EventType.FLEET_STALLED: "/v1/fleet",
        EventType.FLEET_CARD_QUARANTINED: "/v1/fleet/quarantine",
    }.get(EventType(kind), "")


def moment(at_ms: int) -> str:
    """`2026-11-22T04:05:06Z`."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
