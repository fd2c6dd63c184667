"""Labels as a person types them: `invoice,letter:mail from a person,other`."""

from __future__ import annotations

from viiwork.errors import UsageError
from viiwork.work import Label


def parse_labels(text: str, *, separator: str = ",") -> tuple[Label, ...]:
    """Labels from `name` or `name:description`, parted by `separator` (a line break for files).

    Empty pieces are skipped; in a file a line that starts with `#` is a remark. Raises UsageError.
    """
    pieces = [piece.strip() for piece in text.split(separator)]
    return tuple(_label(piece) for piece in pieces if piece and not piece.startswith("#"))


def _label(piece: str) -> Label:
    name, _, description = piece.partition(":")
    if not name.strip():
        raise UsageError(f"labels: {piece!r} has no name before the colon.", param="labels")
    return Label(name=name.strip(), description=description.strip())
