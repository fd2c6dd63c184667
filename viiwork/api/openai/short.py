"""The short way to who answers a person: past the routing and the dependencies of FastAPI, which it has no use for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from viiwork.api.principal import principal
from viiwork.api.problems import answer_to
from viiwork.api.scopes import check_scope
from viiwork.errors import ViiworkError

Handler = Callable[[Request], Awaitable[Response]]


class Short:
    """ASGI middleware: a POST to one of these addresses goes to its handler, which answers errors itself.

    The same routes are known to FastAPI too, for the OpenAPI document and for other methods.
    """

    def __init__(self, app: ASGIApp, *, handlers: Mapping[str, Handler]) -> None:
        self._app, self._handlers = app, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            check_scope(principal(request), f"POST {scope['path']}")  # as `tenancy.guard` does for all other routes
        except ViiworkError as error:
            await answer_to(error)(scope, receive, send)
            return
        response = await handler(request)
        await response(scope, receive, send)
