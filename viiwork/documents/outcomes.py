"""Why a document could not be read: one typed outcome each, with a sentence for people and what to do.

No outcome names the file: the row that carries it already does.
"""

from __future__ import annotations

from types import MappingProxyType

from viiwork.errors import DocumentError

OUTCOMES = MappingProxyType(
    {
        "binary": ("The file is not text and not a document format that is known here.", "Export it as PDF or text."),
        "crash": (
            "The document made its reader fail; the reader was contained and replaced.",
            "Open it and save it again, or export it as PDF.",
        ),
        "damaged": (
            "The document is damaged or incomplete{detail}.",
            "Open it and save it again, or ask for a new copy.",
        ),
        "empty": ("The file has no content{detail}.", "Check that it was saved and uploaded whole."),
        "encrypted": ("The document is protected by a password.", "Save a copy without the password."),
        "garbled": (
            "None of the pages has text that can be read: the letters of its fonts have no meaning.",
            "Run OCR over it, for example with ocrmypdf --force-ocr.",
        ),
        "no_room": (
            "There is no room in the fleet for what is in the file: Redis' memory is full.",
            "Delete analyses that are not needed, or raise redis.max_memory_bytes; then send it again.",
        ),
        "no_text_layer": (
            "None of the pages has text: the document is probably a scan, and there is no text recognition (OCR) here.",
            "Run OCR on it first, for example with ocrmypdf.",
        ),
        "timeout": (
            "Reading the document took longer than a document may take.",
            "Split it, or export it as PDF or text.",
        ),
        "too_deep": (
            "The file lies inside more than three others, so it was not looked at.",
            "Take it out of its archive, and send it by itself.",
        ),
        "too_big": ("The document is too big to be read{detail}.", "Split it into smaller documents."),
        "unreadable": (
            "The file is not there, is not a regular file or may not be opened.",
            "Check its path and its permissions.",
        ),
        "unsupported": (
            "The file is {detail}, a format that is not read here.",
            "Read are PDF, docx, pptx, xlsx, HTML, Markdown, text, e-mail (.eml) and ZIP archives of these.",
        ),
        "zip_bomb": (
            "The document unpacks to far more than an honest one would, so it was not opened.",
            "Ask where the file comes from before you open it.",
        ),
    }
)
"""The code, then its message and its hint; `{detail}` takes what the reader found out."""
OF_CONTENT = frozenset(OUTCOMES) - {"crash", "no_room", "timeout", "unreadable"}
"""Outcomes that any file of the same bytes would have."""


def outcome(code: str, detail: str = "") -> DocumentError:
    """The error for one typed outcome; `detail` says more where the message has room for it."""
    message, hint = OUTCOMES[code]
    return DocumentError(message.format(detail=detail), hint=hint, code=code)


class Unread(Exception):
    """Raised inside a reading process; it travels to the owner as code and detail and becomes a DocumentError there."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
