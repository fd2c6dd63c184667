"""A server that stands in for vLLM where only what is around an engine is measured: it answers alike, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

MODEL = "footprint"
TEXT = "On a clear day the sky is blue."
USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
METRICS = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:generation_tokens_total 1\n"


class Answers(BaseHTTPRequestHandler):
    """The few pages that a worker and its guard ask for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        match self.path:
            case "/v1/models":
                self._send({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 8192}]})
            case "/metrics":
                self._write(METRICS.encode(), kind="text/plain")
            case _:
                self._send({})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            self._write(b"".join(_events()), kind="text/event-stream")
        else:
            said = {"role": "assistant", "content": TEXT}
            self._send({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": USAGE})

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""

    def _send(self, body: object) -> None:
        self._write(json.dumps(body).encode(), kind="application/json")

    def _write(self, body: bytes, *, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def answering() -> Iterator[str]:
    """Its address, while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="answering", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _events() -> Iterator[bytes]:
    for word in TEXT.split(" "):
        yield _event({"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
