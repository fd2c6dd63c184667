"""What a file is, by its content: names lie."""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import PurePath

from viiwork.documents.outcomes import Unread


@dataclass(frozen=True, slots=True)
class Kind:
    """A format that is read, what people call it, and the endings it goes by."""

    name: str
    called: str
    suffixes: tuple[str, ...]


PDF = Kind("pdf", "a PDF", (".pdf",))
DOCX = Kind("docx", "a Word document", (".docx", ".docm", ".dotx"))
PPTX = Kind("pptx", "a PowerPoint presentation", (".pptx", ".pptm", ".potx", ".ppsx"))
XLSX = Kind("xlsx", "an Excel workbook", (".xlsx", ".xlsm", ".xltx"))
HTML = Kind("html", "an HTML page", (".html", ".htm", ".xhtml", ".shtml"))
MAIL = Kind("mail", "an e-mail", (".eml", ".mht", ".mhtml"))
ZIP = Kind("zip", "a ZIP archive", (".zip",))
MARKDOWN = Kind("markdown", "Markdown", (".md", ".markdown", ".mdown"))
TEXT = Kind("text", "plain text", ())
PLEDGES = {suffix: kind for kind in (PDF, DOCX, PPTX, XLSX, HTML, MAIL, MARKDOWN) for suffix in kind.suffixes}
"""Endings that promise a format. Any other ending may hold plain text without a note."""
FOREIGN_SUFFIXES = {".doc", ".xls", ".ppt", ".odt", ".rtf", ".png", ".jpg", ".jpeg", ".zip"}

NOT_READ = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"{\\rtf", "a rich text file (RTF)"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"ID3", "an audio file"),
    (b"OggS", "an audio or video file"),
)
PACKED = (
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
    ("META-INF/container.xml", "an e-book (EPUB)"),
    ("content.xml", "an OpenDocument file"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("AndroidManifest.xml", "an Android app"),
    ("Index/Document.iwa", "an Apple iWork document"),
)
MAIN_PARTS = ((DOCX, "word/document.xml"), (PPTX, "ppt/presentation.xml"), (XLSX, "xl/workbook.xml"))
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
"""The second is one without any file."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PDF_HEADER_WITHIN = 1024
"""PDF readers accept rubbish of up to this many bytes before the header."""

_HTML_START = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_ANY_TAG = re.compile(r"<(?:p|div|h[1-6]|table|ul|ol|a|span|br|b|i|meta|title|font|center|pre)\b[^<>]*>", re.I)
_HEADER_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}):")
_TECHNICAL = {"received", "message-id", "mime-version", "return-path", "delivered-to", "dkim-signature", "content-type"}
_PERSONAL = {"from", "to", "subject", "date", "cc", "reply-to"}


def sniff_bytes(data: bytes) -> Kind | None:
    """The format that the bytes show, or None when only their text can tell.

    Raises Unread: `unsupported` with the format's name, `encrypted`, `damaged`.
    """
    if data.startswith(ZIP_STARTS):  # before PDF: an archive may begin with one that it does not pack
        return _sniff_zip(data)
    if _is_pdf(data):
        return PDF
    if data.startswith(OLE):
        # an Office document with a password is an old-style container around the encrypted package
        locked = "EncryptedPackage".encode("utf-16-le") in data
        raise Unread("encrypted") if locked else Unread("unsupported", "an old Office file (.doc, .xls, .ppt)")
    for prefix, called in NOT_READ:
        if data.startswith(prefix) and (len(prefix) > 2 or b"\0" in data[:64]):
            raise Unread("unsupported", called)
    return None


def sniff_text(text: str, suffix: str) -> Kind:
    """Which kind of text it is; the ending decides only between kinds that look alike."""
    if _looks_like_mail(text[:20_000], suffix):
        return MAIL
    if _HTML_START.match(text[:4096]) or (suffix in HTML.suffixes and _ANY_TAG.search(text[:65_536])):
        return HTML
    return MARKDOWN if suffix in MARKDOWN.suffixes else TEXT


def is_mail(data: bytes, suffix: str) -> bool:
    """Whether bytes that show no other format are an e-mail."""
    return _looks_like_mail(data[:20_000].decode("latin-1"), suffix)


def suffix_of(name: str) -> str:
    """The ending of a file name, in lower case, with its dot."""
    return PurePath(name).suffix.lower()


def wrong_name_note(kind: Kind, suffix: str) -> tuple[str, ...]:
    """A note when the ending promises something else than the content is."""
    expected = PLEDGES.get(suffix)
    misnamed = expected is not None and expected != kind
    if kind in (TEXT, MARKDOWN):
        misnamed = misnamed or suffix in FOREIGN_SUFFIXES
    else:
        misnamed = misnamed or (suffix not in kind.suffixes and suffix != "")
    return (f"The name ends in {suffix}, but the content is {kind.called}; it was read as that.",) if misnamed else ()


def _is_pdf(data: bytes) -> bool:
    """A letter or a page may speak of the header too: behind text it takes a whole file that is not text."""
    at = data.find(b"%PDF-", 0, PDF_HEADER_WITHIN)
    if at < 0:
        return False
    rubbish = not data[:at].strip(b"\xef\xbb\xbf \t\r\n") or not _is_plain(data[:at])
    return rubbish or (b"startxref" in data and not is_mail(data, "") and not _is_plain(data[: 64 * 1024]))


def _is_plain(data: bytes) -> bool:
    """Whether the bytes are text; a character may be cut off at the end."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign in "\t\n\r\f" for sign in text)


def _sniff_zip(data: bytes) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = set(package.namelist())
    except MemoryError:
        raise
    except Exception as error:  # the library trusts what it parses
        raise Unread("damaged") from error
    typed = "[Content_Types].xml" in names
    for kind, main in MAIN_PARTS:
        folder = main[: main.index("/") + 1]
        if main in names or (typed and "xl/workbook.bin" not in names and any(n.startswith(folder) for n in names)):
            return kind
    called = next((called for part, called in PACKED if part in names), None)
    if called:
        raise Unread("unsupported", called)
    return ZIP


def _looks_like_mail(start: str, suffix: str) -> bool:
    """A block of header lines at the top; by another name it takes a technical header to tell it from a memo."""
    names = set()
    for line in start.lstrip("\n").split("\n"):
        if match := _HEADER_LINE.match(line):
            names.add(match[1].lower())
        elif line.strip() and line[0] not in " \t":
            return False
        elif not line.strip():
            break
    personal, technical = names & _PERSONAL, names & _TECHNICAL
    return bool(personal) if suffix in MAIL.suffixes else len(personal) > 1 and bool(technical - {"content-type"})
