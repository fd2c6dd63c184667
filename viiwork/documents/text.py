"""Plain text and Markdown: which characters the bytes mean, and what the headings are."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import islice

from charset_normalizer import from_bytes

from viiwork.documents.document import MAX_HEADINGS, Document, Heading, tidy, title_of
from viiwork.documents.outcomes import Unread

# UTF-32 first: its little-endian mark starts with the one of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PROBE_BYTES = 64 * 1024
BESIDE_BYTES = 400
MAX_CONTROL_SHARE = 0.02
WESTERN = "cp1252"
MAX_WESTERN_SHARE = 0.5
"""Of signs beyond ASCII in Western European text; text in other scripts has far more."""

_FROM_NON_ASCII = re.compile(rb"[\x80-\xff][^\n]{0,400}")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1b")) + b"\x7f"
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_MARKDOWN_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*)$")


def decode(data: bytes, *, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """The characters that the bytes mean, and notes where that had to be guessed.

    `declared` is the encoding that the file itself names. Raises Unread `binary` when the bytes are no text.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace"), ()
    if wide := _wide_encoding(data[:PROBE_BYTES]):
        return data.decode(wide, errors="replace"), ()
    if _is_binary(data[:PROBE_BYTES]):
        raise Unread("binary")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        return _declared(data, declared) or _mostly_utf8(data) or _guessed(data)


def read_text(text: str, notes: tuple[str, ...]) -> Document:
    """Plain text: one page; it has no title of its own."""
    return Document(media_type="text/plain", pages=(tidy(text),), notes=notes)


def read_markdown(text: str, notes: tuple[str, ...]) -> Document:
    """Markdown, left as it is written; its title is the first heading of the highest level."""
    page = tidy(text)
    headings = tuple(islice(_markdown_headings(page), MAX_HEADINGS))
    title = min(headings, key=lambda heading: heading.level).text if headings else ""
    return Document(media_type="text/markdown", pages=(page,), title=title, headings=headings, notes=notes)


def _wide_encoding(probe: bytes) -> str:
    """UTF-16 without a mark: Latin text in it has a zero in every other byte."""
    pairs = len(probe) // 2
    if pairs < 2 or b"\0" not in probe:
        return ""
    even, odd = probe[::2].count(0) / pairs, probe[1::2].count(0) / pairs
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else ""


def _is_binary(probe: bytes) -> bool:
    if b"\0" in probe:
        return True
    controls = len(probe) - len(probe.translate(None, _CONTROL))
    return controls > MAX_CONTROL_SHARE * len(probe)


def _declared(data: bytes, declared: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        return (data.decode(declared), ()) if declared else None
    except (LookupError, ValueError):  # ValueError is also the root of UnicodeDecodeError
        return None


def _mostly_utf8(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """UTF-8 with a few broken bytes, as an editor or a cut leaves them: better than mojibake all over."""
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    sound = sum(1 for character in text if character > "\x7f") - broken
    cut_off = broken == 1 and sound > 0 and text.endswith("\ufffd")
    if sound < 10 * broken and not cut_off:
        return None
    return text, (f"{broken} unreadable characters were replaced.",)


def _guessed(data: bytes) -> tuple[str, tuple[str, ...]]:
    """What `charset-normalizer` makes of the lines that tell: only those with a byte over 127 do."""
    lines = b"\n".join(islice(_telling_lines(data), 200))
    best = from_bytes(lines[:PROBE_BYTES]).best()
    encoding = best.encoding if best else WESTERN
    if best and (WESTERN in best.could_be_from_charset or (best.coherence == 0 and _is_western(lines))):
        encoding = WESTERN  # few words show no language, and then any code page of the same family comes out first
    text = data.decode(encoding, errors="replace")
    return text, (f"The text does not say how it is encoded; it was read as {encoding}.",)


def _telling_lines(data: bytes) -> Iterator[bytes]:
    """What stands beside bytes over 127, on their line. Looks for those first: a file may have millions of others."""
    end = 0
    for match in _FROM_NON_ASCII.finditer(data):
        earliest = max(end, match.start() - BESIDE_BYTES)
        newline = data.rfind(b"\n", earliest, match.start())
        yield data[max(earliest, newline + 1) : match.end()]
        end = match.end()


def _is_western(lines: bytes) -> bool:
    try:
        lines.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    signs = len(lines) - len(lines.translate(None, bytes(range(128, 256))))
    return signs <= MAX_WESTERN_SHARE * len(lines)


def _markdown_headings(page: str) -> Iterator[Heading]:
    fenced, start = False, 0
    for line in page.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (match := _MARKDOWN_HEADING.match(line)) and (words := match[2].rstrip(" \t#")):
            yield Heading(level=len(match[1]), text=title_of(words), start=start)
        start += len(line) + 1
