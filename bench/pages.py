"""An HTTP server of this process, on loopback, for engines of which the bench decides what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Pages(BaseHTTPRequestHandler):
    """What such an engine answers from; subclasses say what."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def get(self) -> None:
        """Answers a GET of `self.path`."""
        raise NotImplementedError

    def post(self, asked: dict[str, Any]) -> None:
        """Answers the JSON object that was posted."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def send(self, body: object) -> None:
        """As JSON."""
        self.write(json.dumps(body).encode(), kind="application/json")

    def write(self, body: bytes, *, kind: str) -> None:
        """All of it at once."""
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def serving(pages: type[Pages]) -> Iterator[str]:
    """Its address, while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name=pages.__name__.lower(), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
