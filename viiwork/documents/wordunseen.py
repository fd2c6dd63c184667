"""Which text of a Word document nobody sees: hidden, in white on nothing dark, or too small to be made out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docx.oxml.ns import qn

from viiwork.documents.unseen import INVISIBLE, SMALLEST_PT, TINY, WHITE, WHITE_FROM, count, telling

OFF = ("0", "false", "off")
PLAIN_TABLES = ("TableGrid", "TableNormal", "TabellenRaster")
_RUN, _TEXT, _VALUE = qn("w:r"), qn("w:t"), qn("w:val")


def unseen_in(body: Any, styles: Any) -> tuple[str, ...]:
    """The kinds of such text in it; `styles` is the document's own element of styles."""
    named = {style.styleId: _looks(style.find(qn("w:rPr"))) for style in styles.style_lst}
    return telling(count(_found(body, named)))


def _found(body: Any, named: dict[str, dict[str, bool]]) -> Iterator[tuple[str, str]]:
    for run in body.iter(_RUN):
        if text := "".join(part.text or "" for part in run.iterchildren(_TEXT)):
            looks = _styled(run, named) | _looks(run.find(qn("w:rPr")))
            for kind, holds in looks.items():
                if holds and not (kind == WHITE and _on_dark(run)):
                    yield kind, text


def _styled(run: Any, named: dict[str, dict[str, bool]]) -> dict[str, bool]:
    """What the styles of its paragraph and its own say."""
    paragraph = next(run.iterancestors(qn("w:p")), None)
    styles = (_told(paragraph, "w:pPr", "w:pStyle"), _told(run, "w:rPr", "w:rStyle"))
    first, second = (named.get(style or "", {}) for style in styles)
    return first | second


def _looks(look: Any) -> dict[str, bool]:
    """What properties of a run say, where they say something."""
    if look is None:
        return {}
    hidden, colour, size = (look.find(qn(name)) for name in ("w:vanish", "w:color", "w:sz"))
    said = {}
    if hidden is not None:
        said[INVISIBLE] = hidden.get(_VALUE, "1") not in OFF
    if colour is not None:
        said[WHITE] = _is_white(colour.get(_VALUE, ""))
    if size is not None and size.get(_VALUE, "").isdecimal():
        said[TINY] = int(size.get(_VALUE)) < 2 * SMALLEST_PT  # it is in half points
    return said


def _is_white(colour: str) -> bool:
    try:
        return len(colour) == 6 and min(bytes.fromhex(colour)) >= WHITE_FROM
    except ValueError:
        return False


def _on_dark(run: Any) -> bool:
    """Whether something around it has a colour of its own, or may have: a text box, a table in a coloured style."""
    if _told(run, "w:rPr", "w:highlight") or any(True for _ in run.iterancestors(qn("w:txbxContent"))):
        return True
    around = [(run, "w:rPr"), *((one, "w:pPr") for one in run.iterancestors(qn("w:p")))]
    around += [(one, "w:tcPr") for one in run.iterancestors(qn("w:tc"))]
    tables = list(run.iterancestors(qn("w:tbl")))
    around += [(one, "w:tblPr") for one in tables]
    if any(_told(one, "w:tblPr", "w:tblStyle") not in (None, *PLAIN_TABLES) for one in tables):
        return True
    fills = (_told(one, look, "w:shd", "w:fill") for one, look in around)
    return any(fill not in (None, "", "auto") and not _is_white(fill or "") for fill in fills)


def _told(element: Any, look: str, name: str, value: str = "w:val") -> str | None:
    found = None if element is None else element.find(f"{qn(look)}/{qn(name)}")
    return None if found is None else str(found.get(qn(value), ""))
