"""The outermost layer: request ids, who may knock, and an answer for whatever goes wrong inside."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import traceback
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viiwork.api.audited import note
from viiwork.api.gate import Gate, is_loopback
from viiwork.api.logs import REQUEST
from viiwork.api.principal import enter
from viiwork.api.problems import answer_to, problem
from viiwork.api.quota import rate_headers
from viiwork.api.room import Room
from viiwork.api.work import idempotency_key
from viiwork.errors import ViiworkError
from viiwork.settings import ApiSection

log = logging.getLogger("viiwork.api")

SANE_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REPORTED_FRAMES = 8
LINGER_S = 10.0
"""How long an early refusal goes on taking in (and dropping) the rest of an upload.

Closing a socket with unread bytes resets it, and the sender would see a broken pipe instead of the reason.
"""
GUARDING = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
"""For browsers: nothing here is a page, and nothing may be shown or run as part of one."""


class Door:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, settings: ApiSection, gate: Gate, room: Room) -> None:
        self._app = app
        self._settings = settings
        self._gate = gate
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._room.shared(scope):
            await _Visit(scope, receive, send).run(self._admit)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = refuse(scope["method"], headers, settings=self._settings)
        if refusal is None:
            try:
                enter(scope, await self._gate.who(scope, headers))
                idempotency_key(headers)
            except ViiworkError as error:
                refusal = answer_to(error)
        await (refusal or self._app)(scope, receive, send)


class _Visit:
    """One request: follows how far its body and its response have come."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.headers = Headers(scope=scope)
        self.request_id = request_id(self.headers.get("x-request-id"))
        self._body_read = False
        self._started = False
        self._status = 0

    async def run(self, app: ASGIApp) -> None:
        token = REQUEST.set(self.request_id)
        try:
            await app(self._scope, self.receive, self.send)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the last line of defence: nothing may reach a client as it is
            self._report(error)
            if not self._started:  # else the broken-off response is the answer; the client sees that it is not whole
                message = f"Something went wrong inside the service; its log says more under {self.request_id}."
                await problem(500, message, code="internal")(self._scope, self.receive, self.send)
        finally:
            REQUEST.reset(token)

    async def receive(self) -> Message:
        message = await self._receive()
        self._body_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started, self._status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            headers.update(rate_headers(self._scope))
            headers.setdefault("cache-control", "no-store")  # answers are made of documents
            message["headers"].extend(GUARDING)
            if self._status < 400:
                await note(self._scope, request_id=self.request_id)
        early = self._status >= 400 and not self._body_read and self._expects_body()
        if not early or message["type"] != "http.response.body" or message.get("more_body"):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._body_read:
                    await self.receive()

    def _expects_body(self) -> bool:
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"

    def _report(self, error: Exception) -> None:
        # Where, not what: the text of a foreign exception may quote a document.
        frames = traceback.extract_tb(error.__traceback__)[-REPORTED_FRAMES:]
        where = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        route = f"{self._scope['method']} {self._scope['path']}"
        log.error("%s failed with %s at\n%s", route, type(error).__name__, where)


def request_id(offered: str | None) -> str:
    """The caller's own id if it is a sane one, else a new one."""
    return offered if offered and SANE_REQUEST_ID.match(offered) else f"req_{secrets.token_hex(12)}"


def refuse(method: str, headers: Headers, *, settings: ApiSection) -> Response | None:
    """The refusal that a browser lured by a foreign page gets; None for everybody else.

    A page may point its own name at 127.0.0.1 (DNS rebinding) or post across origins without reading the answer.
    """
    host, name = headers.get("host", ""), host_name(headers.get("host", ""))
    if is_loopback(settings.host) and not is_loopback(name) and name not in (settings.host, *settings.hosts):
        message = "This service answers to loopback names only, and to those that api.hosts has."
        return problem(403, message, code="host_refused")
    origin = headers.get("origin")
    welcome = origin is None or origin_host(origin) == host or origin in settings.cors_origins
    if method not in READING and not welcome:
        return problem(403, "Web pages of another origin may not send work here.", code="origin_refused")
    return None


def origin_host(origin: str) -> str | None:
    """The host and port in an Origin header; None when it names none, as `null` does."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:  # brackets that hold no IPv6 address
        return None


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.rstrip(".").lower()
