"""Who made a document and on which day (as ISO 8601 writes it), where its format says so. Pure."""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime

from viiwork.documents.document import title_of

_DAY = re.compile(r"(?:D:)?(\d{4})-?(\d\d)-?(\d\d)(?!\d{7})")
LIBRARIES = ("python-docx", "python-pptx", "openpyxl", "unknown", "anonymous")
EARLIEST = dt.date(1971, 1, 1)
"""Programs without a clock write the first day of theirs: 1970, 1904, 1900, 1601."""


def author_of(text: str) -> str:
    """Whoever it names; the libraries that put their own name there wrote nothing."""
    name = title_of(text)
    return "" if name.lower() in LIBRARIES else name


def day_of(value: object) -> str:
    """The day in a date, or at the start of a text such as `2024-02-29T13:05` or a PDF's `D:20240229130500`."""
    if isinstance(value, dt.datetime):
        return _told(value.date())
    match = _DAY.match(str(value or "").strip()[:40])
    try:
        return _told(dt.date(*map(int, match.groups()))) if match else ""
    except ValueError:
        return ""


def day_of_mail(header: str) -> str:
    """The day of an e-mail's `Date`, where it was sent."""
    try:
        return _told(parsedate_to_datetime(header[:200]).date())
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _told(day: dt.date) -> str:
    return day.isoformat() if day >= EARLIEST else ""
