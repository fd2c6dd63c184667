"""The audit log: who did what only an admin may, a JSON object a line, in the state directory.

For its owner alone (0600); opened anew for each line, so that logrotate may move it. Never a secret, never a document.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "audit.jsonl"

log = logging.getLogger(__name__)


class AuditLog:
    """The log of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE

    def write(self, act: str, *, by: str, said: Mapping[str, Any], **more: str) -> None:
        """One line. A disk that takes no more is told in the service's log: what was done is done."""
        entry = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "act": act, "by": by, **more}
        line = json.dumps({**entry, "said": dict(said)} if said else entry, ensure_ascii=False) + "\n"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, line.encode("utf-8", "replace"))  # one call: lines of several processes stay whole
            finally:
                os.close(handle)
        except OSError as error:
            log.error("the audit log cannot be written (%s): %s by %s", error.strerror, act, by)  # noqa: TRY400 - no trace

    def read(self) -> Iterator[dict[str, Any]]:
        """All lines, the oldest first; what a crash cut off is left out. Raises OSError other than for none."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    entry = _entry(line)
                    if entry is not None:
                        yield entry
        except FileNotFoundError:
            return


def _entry(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
