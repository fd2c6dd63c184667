"""E-mail (.eml): who wrote to whom about what, and the body. What is attached is named here and read by itself."""

from __future__ import annotations

from email.message import EmailMessage, Message
from email.utils import parseaddr

from viiwork.documents.attachments import BROKEN, attached, name_of, parsed
from viiwork.documents.document import Document, tidy, title_of
from viiwork.documents.html import read_html
from viiwork.documents.origin import day_of_mail
from viiwork.documents.outcomes import Unread
from viiwork.documents.text import decode

SHOWN_HEADERS = ("Subject", "From", "To", "Cc", "Date")
MAX_NAMED = 20


def read_mail(data: bytes) -> Document:
    """Header lines, a blank line, then the body; a body in HTML alone is read as HTML."""
    try:
        mail = parsed(data)
        headers = [f"{name}: {value}" for name in SHOWN_HEADERS if (value := _header(mail, name))]
        body, notes = _body(mail)
        notes += _attachments(mail)
    except BROKEN as error:
        raise Unread("damaged") from error
    page = tidy("\n".join(headers) + "\n\n" + body)
    return Document(
        media_type="message/rfc822",
        pages=(page,),
        title=title_of(_header(mail, "Subject")),
        notes=notes,
        author=_sender(_header(mail, "From")),
        created=day_of_mail(_header(mail, "Date")),
    )


def _header(mail: EmailMessage, name: str) -> str:
    try:
        value = mail.get(name, "")
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        return ""  # one header that cannot be parsed must not cost the whole message
    return " ".join(str(value).split())[:2000]


def _sender(header: str) -> str:
    """The first sender's name, or the address of one without."""
    return title_of(next(filter(None, parseaddr(header)), header))


def _body(mail: EmailMessage) -> tuple[str, tuple[str, ...]]:
    part = mail.get_body(preferencelist=("plain", "html"))
    if part is None:
        return _unparted(mail)
    text, notes = _part_text(part)
    if part.get_content_type() != "text/html":
        return text, notes
    page = read_html(text, notes)
    return page.text, page.notes


def _unparted(mail: EmailMessage) -> tuple[str, tuple[str, ...]]:
    """The text of one whose parts cannot be told apart: the line that parts them is not named, or nowhere."""
    part = next(
        (one for one in mail.walk() if one.get_content_maintype() == "multipart" and not one.is_multipart()), None
    )
    if part is None:
        return "", ("The message has no text.",)
    text, notes = _part_text(part)
    return text, ("The message's parts cannot be told apart; they were read as one text.", *notes)


def _part_text(part: Message) -> tuple[str, tuple[str, ...]]:
    """The part's characters; its declared encoding may be wrong or unknown."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return decode(data, declared=part.get_content_charset() or "")
    except Unread:
        return data.decode("latin-1"), ("The message's body has bytes that are no text.",)


def _attachments(mail: EmailMessage) -> tuple[str, ...]:
    names = [name_of(part) for part in attached(mail)]
    if not names:
        return ()
    shown = ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
    if len(names) == 1:
        return (f"1 attachment is a document of its own: {shown}.",)
    return (f"{len(names)} attachments are documents of their own: {shown}.",)
