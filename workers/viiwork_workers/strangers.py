"""Messages in our queues that are no hints: somebody else's, or damaged. They are dropped, and the worker goes on.

kombu decodes what it popped inside the hub: one message that is no JSON ended the worker, and the next, and so on until
none was left (measured; lists, numbers and null do the same, an object without headers costs the connection).
"""

from __future__ import annotations

import json
import logging
from typing import Any

from viiwork.jobs import TaskName
from viiwork.queues import HintId

log = logging.getLogger(__name__)

TASKS = frozenset(task.value for task in TaskName)
Hint = dict[str, Any]


def as_hint(raw: bytes | str) -> Hint | None:
    """The message as kombu takes it, or None for what no `release` has published; its content is not told."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        message = None
    if not is_hint(message):
        log.warning("dropped a message of %d bytes that is no hint: something else writes to this queue", len(raw))
        return None
    return message  # type: ignore[no-any-return] # `is_hint` has looked at it


def is_hint(message: Any) -> bool:
    """Whether kombu and Celery can read this without stumbling, and it names a job."""
    try:
        headers, properties = message["headers"], message["properties"]
        named = HintId.parse(headers["id"]) is not None and headers["task"] in TASKS
        addressed = isinstance(properties["delivery_info"]["routing_key"], str)
        tagged = properties["delivery_tag"] == headers["id"]
        plain = message["content-type"] == "application/json" and isinstance(message["body"], str)
    except (TypeError, KeyError, AttributeError):
        return False
    return named and addressed and tagged and plain


def turn_away(channel: Any) -> None:
    """Let a foreign message look like an empty pop to this channel. Called after every (re)connection."""
    read = channel.client.parse_response

    def parse_response(connection: Any, command_name: str, **options: Any) -> Any:
        reply = read(connection, command_name, **options)
        return None if command_name == "BRPOP" and reply and as_hint(reply[1]) is None else reply

    channel.client.parse_response = parse_response
