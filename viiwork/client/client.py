"""The client itself: one connection, and what can be asked for over it."""

from __future__ import annotations

import getpass
import re
import socket
from types import TracebackType

from viiwork.client.analyses import Analyses
from viiwork.client.callbacks import Callbacks
from viiwork.client.deadjobs import DeadJobs
from viiwork.client.fleet import Fleet
from viiwork.client.jobs import Jobs
from viiwork.connection import BUSY_PATIENCE_S, DEFAULT_URL, Connection, OnRemark

READ_TIMEOUT_S = 300.0
"""An upload of thousands of files is answered once all of them are safely on disk."""


class Client(Analyses, Jobs, DeadJobs, Fleet, Callbacks):
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
