"""What an engine writes of requests and answers into its log, blotted out: the log is kept, and shown to others.

llama.cpp prints a schema or a grammar that it cannot use, and the rest of an answer that its parser does not know
(b11434: common/json-schema-to-grammar.cpp, src/llama-grammar.cpp, common/chat.cpp), and vLLM's xgrammar a pattern that
it knows in part; some of it past the engine's own log, so that no flag turns it off. A part of the log is replaced by
as much of something else, in place: the engine goes on writing behind it, and never waits.
"""

from __future__ import annotations

import re
from io import BytesIO, FileIO
from pathlib import Path

CHUNK_BYTES = 1024 * 1024
BLOT = b"#"
LINE = re.compile(rb"JSON schema conversion (?:was incomplete|failed):|got exception:")
"""What follows in the line tells of a request."""
PASSAGE = re.compile(
    rb"unparsed [^:\n]{1,80} output:|output triggering error:|error parsing grammar:|for grammar:"
    rb"|^\[[0-9:]{8}\] [^ :\n]{1,200}\.(?:cc|cpp|h):[0-9]{1,5}:"  # xgrammar's own log
)
"""What follows, until the engine's next line of its own, tells of a request or an answer."""
OWN = re.compile(
    rb"[0-9]{1,6}\.[0-9]{2}\.[0-9]{3}\.[0-9]{3} [A-Z] "  # llama.cpp since 2025; before: who speaks
    rb"|(?:srv|slot|que|res|cmn) +[^: ]{1,60}: |(?:llama|common|ggml)_[a-z_]{1,60}: |main: "
    rb"|(?:\([A-Za-z0-9_ ]{1,40} pid=[0-9]{1,9}\) )?(?:"
    rb"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [0-9]{2}-[0-9]{2} [0-9]{2}:"  # vLLM
    rb"|INFO: {5}|DEBUG: {4}|ERROR: {4}|WARNING: {2})"  # uvicorn in it; `ERROR: ` alone stands in many a document
)
"""How a line of the engine's own begins."""
SEEN = re.compile(rb"\S")


def blotted(log: bytes, *, within: bool = False) -> tuple[bytes, bool]:
    """As many bytes of whole lines, and whether they end within a passage; `within` says so of what came before."""
    lines = []
    for line in BytesIO(log):  # not at `\r`, which an answer may have
        within = within and OWN.match(line) is None
        passage = PASSAGE.search(line)
        told = passage or LINE.search(line)
        begin = 0 if within else told.end() if told else len(line)
        lines.append(line[:begin] + SEEN.sub(BLOT, line[begin:]))
        within = within or passage is not None
    return b"".join(lines), within


class Blotter:
    """Goes through a log as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done_bytes = 0
        self._within = False

    def follow(self) -> None:
        """Blot what has been written since, up to its last whole line. Raises OSError."""
        size = self._path.stat().st_size
        if size < self._done_bytes:  # somebody has emptied it
            self._done_bytes, self._within = 0, False
        if size == self._done_bytes:
            return
        with self._path.open("r+b", buffering=0) as file:
            while self._blot(file):
                pass

    def _blot(self, file: FileIO) -> bool:
        """The next whole lines; answers whether there were any. A line larger than a chunk counts as several."""
        file.seek(self._done_bytes)
        chunk = file.read(CHUNK_BYTES)
        lines = chunk if len(chunk) == CHUNK_BYTES and b"\n" not in chunk else chunk[: chunk.rfind(b"\n") + 1]
        clean, within = blotted(lines, within=self._within)
        if clean != lines:
            file.seek(self._done_bytes)
            file.write(clean)
        self._done_bytes, self._within = self._done_bytes + len(lines), within
        return bool(lines)
