"""The API's log: what is said while a request is answered carries that request's id."""

from __future__ import annotations

import logging
from contextvars import ContextVar

FORMAT = "%(asctime)s %(levelname)s %(name)s%(request)s: %(message)s"
REQUEST: ContextVar[str] = ContextVar("REQUEST", default="")
"""The id of the request that is being answered; empty outside of one."""


class Named(logging.Filter):
    """Puts ` [req_…]` into each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never leaves one out."""
        request = REQUEST.get()
        record.request = f" [{request}]" if request else ""
        return True


def log_to_stderr() -> None:
    """For a process of its own."""
    handler = logging.StreamHandler()
    handler.addFilter(Named())
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])
