"""A receiver of callbacks that does as it is told: answers, fails, redirects, drips. It keeps all that it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Its body, by the official library. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """`with Receiver(500, 200) as receiver:` answers with these in turn, then with the last. `drip` never ends one."""

    def __init__(self, *answers: int | str, port: int = 0) -> None:
        self._answers: Sequence[int | str] = answers or (200,)
        self.heard: list[Heard] = []
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = outer._answers[min(len(outer.heard), len(outer._answers) - 1)]
                outer.heard.append(Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                outer._answer(self, answer)

            def log_message(self, *_said: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def wait(self, count: int, *, within_s: float = 60.0) -> list[Heard]:
        """What was heard, once it is so many."""
        return self.until(lambda heard: len(heard) >= count, within_s=within_s)

    def until(self, enough: Callable[[list[Heard]], bool], *, within_s: float = 60.0) -> list[Heard]:
        end_s = time.monotonic() + within_s
        while not enough(self.heard):
            assert time.monotonic() < end_s, f"{len(self.heard)} were heard within {within_s:.0f} s"
            time.sleep(0.02)
        return list(self.heard)

    def _answer(self, request: BaseHTTPRequestHandler, answer: int | str) -> None:
        if answer == "drip":
            self._drip(request)
        elif isinstance(answer, str):
            request.send_response(302)
            request.send_header("location", answer)
            request.end_headers()
        else:
            request.send_response(answer)
            request.send_header("content-length", "0")
            request.end_headers()

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        """A byte of a header now and then: each one is news, the whole never is."""
        try:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not self._over.wait(0.05):
                request.wfile.write(b"a")
        except OSError:
            return
