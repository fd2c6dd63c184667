"""Server-sent events as engines send them: one line of JSON each. No I/O."""

from __future__ import annotations

LONGEST_LINE_BYTES = 1 << 20
DONE = b"[DONE]"


class LineTooLong(ValueError):
    """Raised when a line of the stream is over its limit."""


class Events:
    """Cuts a stream to the payloads of its events; `done` once it said so."""

    def __init__(self) -> None:
        self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete. Raises LineTooLong."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            raise LineTooLong
        return [payload for line in lines if (payload := self._payload(line))]

    def _payload(self, line: bytes) -> bytes:
        # `error:` is how llama.cpp's server said it before it took to `data: {"error": ...}`
        if line.startswith(b"data:"):
            payload = line[5:].strip()
        elif line.startswith(b"error:"):
            payload = b'{"error":{}}'
        else:
            return b""  # a comment, the kind of an event, or the end of one
        if len(payload) > LONGEST_LINE_BYTES:
            raise LineTooLong
        if payload == DONE:
            self.done = True
        return b"" if self.done else payload
