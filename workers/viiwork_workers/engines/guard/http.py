"""How a guard speaks to its engine: one request, one bounded answer, never an exception."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx

from viiwork.unreached import why_unreached

LONGEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is 0 when there was no answer; `refused` when nothing listens there at all."""

    status: int = 0
    body: bytes = b""
    refused: bool = False
    why: str = ""
    """There was no answer: `connection refused`, `no answer in time`."""

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Line:
    """To one life of an engine."""

    def __init__(self, url: str, key: str) -> None:
        self.trusts = False
        """Whether the key is shown: anybody may listen where an engine is awaited."""
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        # Each request has a connection of its own: one that a restarted server has closed meanwhile looks like a death.
        limits = httpx.Limits(max_keepalive_connections=0)
        unlimited = httpx.Timeout(None)  # each request has a time of its own, for all of it
        trusted = url.startswith("https:")  # elsewhere, reading the authorities' certificates is 20 ms for nothing
        self._client = httpx.AsyncClient(trust_env=False, timeout=unlimited, limits=limits, verify=trusted)
        self._url = url

    async def get(self, path: str, *, timeout_s: float) -> Reply:
        return await self._ask("GET", path, None, timeout_s)

    async def post(self, path: str, body: dict[str, Any], *, timeout_s: float) -> Reply:
        return await self._ask("POST", path, body, timeout_s)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Reply:
        headers, url = self._headers if self.trusts else {}, self._url + path
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(method, url, json=body, headers=headers) as response,
            ):
                return Reply(response.status_code, await _bounded(response))
        except httpx.ConnectError as error:
            return Reply(refused=True, why=why_unreached(error))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return Reply(why=why_unreached(error))


async def _bounded(response: httpx.Response) -> bytes:
    """The body, or as much of it as anybody here could want."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LONGEST_BYTES:
            break
    return bytes(body)
