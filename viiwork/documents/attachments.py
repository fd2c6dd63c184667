"""What is attached to an e-mail: which of its parts are documents of their own, and their bytes."""

from __future__ import annotations

import base64
import quopri
from email.errors import MessageError
from email.feedparser import BytesFeedParser
from email.message import EmailMessage, MIMEPart
from email.policy import default
from functools import partial

from viiwork.documents.held import UNNAMED, Held, shown
from viiwork.documents.outcomes import Unread

MAILS = frozenset({"message/rfc822", "message/global", "message/news"})
PACKED = frozenset({"base64", "quoted-printable"})
"""Encodings that no message may be in, and which some programs put them in."""
SIGNATURES = frozenset(
    {
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "application/pgp-signature",
        "application/pgp-keys",
        "application/pgp-encrypted",
    }
)
MAX_ATTACHED = 1_000
"""A message is parsed again for each: with 9,000, 600 KB took 2.5 s every time."""
LINE_BYTES = 64
"""What a line costs besides its characters, in memory and, as bytes that are unpacked meanwhile, in time: of two
characters each, 17 MiB take 2.9 s."""
COPIES = 3
"""Of a message's bytes that stand in memory while it is parsed."""
MAX_PARSING_BYTES = 512 * 1024 * 1024
FEED_BYTES = 64 * 1024
AS_IT_CAME = default.clone(refold_source="none")
BROKEN = (MessageError, ValueError, LookupError, AttributeError, TypeError)
"""The standard library's parser answers malformed headers with almost any of these."""


def work(data: bytes) -> int:
    """What parsing a message costs, in bytes of an archive that take as long to unpack."""
    return len(data) + LINE_BYTES * _lines(data)


def parsed(data: bytes) -> EmailMessage:
    """The message. Raises Unread `too_big`, or one of `BROKEN`."""
    if COPIES * len(data) + LINE_BYTES * _lines(data) > MAX_PARSING_BYTES:
        raise Unread("too_big", f": it is a message of {len(data):,} bytes in {_lines(data):,} lines")
    parser = BytesFeedParser(EmailMessage, policy=default)
    for at in range(0, len(data), FEED_BYTES):  # at once it takes four bytes more for each one
        parser.feed(data[at : at + FEED_BYTES])
    return parser.close()


def _lines(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r")


def mail_files(data: bytes) -> list[Held]:
    """What is attached to a message, in its order. Raises Unread `damaged`, `too_big`."""
    try:
        parts = attached(parsed(data))
        if len(parts) > MAX_ATTACHED:
            raise Unread("too_big", f": more than {MAX_ATTACHED:,} files are attached to this message")
        return [Held(number, name_of(part), partial(_bytes, part)) for number, part in enumerate(parts)]
    except BROKEN as error:
        raise Unread("damaged") from error


def attached(mail: EmailMessage) -> list[MIMEPart]:
    """The parts that are documents; pictures inside the text and signatures are none. Raises one of `BROKEN`."""
    body = mail.get_body(preferencelist=("plain", "html"))
    found, ahead = list[MIMEPart](), list[MIMEPart]([mail])
    while ahead:
        part = ahead.pop()
        if part.get_content_type() in MAILS:  # the message itself too, where all that it says is another
            found.append(part)
        elif part.get_content_maintype() == "multipart":
            ahead += reversed(list(part.iter_parts()))
        elif part is not body and _is_document(part):
            found.append(part)
    return found


def name_of(part: MIMEPart) -> str:
    """What it is called: a message without a name is called after its subject."""
    try:
        name = shown(part.get_filename() or "")
        if name != UNNAMED or part.get_content_type() not in MAILS:
            return name
        inner = _inner(part)
        if _encoding(part, inner):
            inner = parsed(_message(part))
        subject = str(inner.get("Subject", ""))
    except (*BROKEN, Unread, RecursionError):
        return UNNAMED
    return shown(subject.replace("/", "-").replace("\\", "-")) + ".eml"


def _is_document(part: MIMEPart) -> bool:
    try:
        told, named = part.get_content_disposition(), bool(part.get_filename())
    except BROKEN:
        return False  # one header that cannot be parsed must not cost the whole message
    if part.get_content_type() in SIGNATURES or (part.get_content_maintype() == "image" and told != "attachment"):
        return False
    return told == "attachment" or named or part.get_content_maintype() == "application"


def _bytes(part: MIMEPart, most: int) -> bytes:
    try:
        data = _message(part) if part.get_content_type() in MAILS else _decoded(part)
    except (*BROKEN, RecursionError) as error:
        raise Unread("damaged") from error
    if len(data) > most:
        raise Unread("too_big", f": it has {len(data):,} bytes, and {most:,} are left for it")
    return data


def _inner(part: MIMEPart) -> EmailMessage:
    """The message that is attached, as the parser took it. Raises one of `BROKEN`."""
    payload: object = part.get_payload()
    inner = payload[0] if isinstance(payload, list) and len(payload) == 1 else None
    if not isinstance(inner, EmailMessage):
        raise TypeError("not a message")
    return inner


def _message(part: MIMEPart) -> bytes:
    """The message that is attached. Raises one of `BROKEN`."""
    inner = _inner(part)
    data = inner.as_bytes(policy=AS_IT_CAME)
    encoding = _encoding(part, inner)
    if encoding == "base64":
        return base64.b64decode(data)
    return quopri.decodestring(data.lstrip(b"\n")) if encoding else data


def _encoding(part: MIMEPart, inner: EmailMessage) -> str:
    """How the whole message is packed; some that say base64 have headers that can be read, and are not."""
    told = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    return told if told in PACKED and not (told == "base64" and inner.keys()) else ""


def _decoded(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""
