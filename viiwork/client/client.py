"""The client itself: one connection, and what can be asked for over it."""

from __future__ import annotations

import getpass
import os
import re
import socket
from types import TracebackType
from typing import Any

import httpx

from viiwork.client.analyses import Analyses
from viiwork.client.apikeys import ApiKeys
from viiwork.client.asking import Asking
from viiwork.client.awaiting import AwaitingWire
from viiwork.client.bearer import bearer_for
from viiwork.client.blocking import BlockingWire
from viiwork.client.callbacks import Callbacks
from viiwork.client.deadjobs import DeadJobs
from viiwork.client.exchange import AWAY_PATIENCE_S, BUSY_PATIENCE_S, CONNECT_TIMEOUT_S, Exchange, OnRemark
from viiwork.client.fleet import Fleet
from viiwork.client.jobs import Jobs
from viiwork.client.operation import Awaiting, Blocking
from viiwork.client.outcomes import Outcomes
from viiwork.connection import DEFAULT_URL, checked_url, is_loopback, without_login

READ_TIMEOUT_S = 300.0
"""An upload of thousands of files is answered once all of them are safely on disk."""


class Requests(Analyses, Outcomes, Jobs, Asking, DeadJobs, Fleet, Callbacks, ApiKeys):
    """What can be asked of a service; where it is, and how patiently it is asked.

    Without an `api_key` it shows the one in VIIWORK_API_KEY, else what `viiwork login` keeps for this service.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        submitter: str | None = None,
        retries: int = 4,
        timeout_s: float = READ_TIMEOUT_S,
        on_remark: OnRemark = lambda _text: None,
        busy_patience_s: float = BUSY_PATIENCE_S,
        away_patience_s: float = AWAY_PATIENCE_S,
    ) -> None:
        self.url = checked_url(os.environ.get("VIIWORK_URL") or DEFAULT_URL if url is None else url)
        """Where the service is."""
        shown = without_login(self.url)
        patience = {"busy_patience_s": busy_patience_s, "away_patience_s": away_patience_s}
        self._wire = Exchange(shown, retries=retries, on_remark=on_remark, **patience)
        self._start(
            base_url=self.url,
            headers={"x-viiwork-submitter": label(submitter or default_submitter())},
            auth=bearer_for(self.url, api_key),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            trust_env=not is_loopback(self.url),  # a proxy must not be asked for this computer's own service
            verify=self.url.startswith("https:"),  # reading the certificate store takes 20 ms; plain HTTP needs none
        )

    def _start(self, **http: Any) -> None:
        raise NotImplementedError


class Client(Requests, Blocking):
    """A connection to one VIIWork service. Every method raises a ViiworkError, Unavailable if nothing answers.

    Lost connections are tried again `retries` times; each POST carries an Idempotency-Key, so nothing is done twice.
    A service that takes no more work for now is asked again for `busy_patience_s`, then Busy is raised.
    """

    def _start(self, **http: Any) -> None:
        self._driver = BlockingWire(httpx.Client(**http))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()


class AsyncClient(Requests, Awaiting):
    """The same for programs with an event loop of asyncio: what answers there is awaited here."""

    def _start(self, **http: Any) -> None:
        self._driver = AwaitingWire(httpx.AsyncClient(**http))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()


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
