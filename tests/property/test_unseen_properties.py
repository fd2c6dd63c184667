"""Hidden text is found exactly: asked in bulk, PDFium tells of any page what it tells of each object alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from ctypes import byref, c_float, c_int, c_uint
from dataclasses import dataclass
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from hypothesis import given
from hypothesis import strategies as st

from tests.documents_made import make_drawn_pdf
from viiwork.documents.pdfpages import handle_of, text_of
from viiwork.documents.pdfunseen import Unseen, look
from viiwork.documents.unseen import INVISIBLE, KINDS, TINY, WHITE, WHITE_FROM

COLOURS = ("1 g", "0 g", "1 1 1 rg", "0.985 0.99 0.98 rg", "0.97 1 1 rg", "0 0 0 0 k", "0.2 0 0.9 0 k", "/Pattern cs")
PLACES = (
    "20 20 Td",
    "300 700 Td",
    "0 12 -12 0 300 300 Tm",
    "0.1 0 0 0.1 40 40 Tm",
    "1 0 1 0 9 9 Tm",
    "2 0 0 0.5 9 9 Tm",
)
SIZES = ("12", "1.9", "2", "0.5", "0", "-3", "30")
TEXTS = ("secret", "a", "    ", "", "ab cd")
PICTURE = "q 200 0 0 200 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q"

words = st.builds(
    "BT /F {} Tf {} Tr {} {} ({}) Tj ET".format,
    *(
        st.sampled_from(SIZES),
        st.integers(0, 7),
        st.sampled_from(COLOURS),
        st.sampled_from(PLACES),
        st.sampled_from(TEXTS),
    ),
)
areas = st.builds(
    "{} 0 0 {} {} re {}".format, *(st.sampled_from(COLOURS), *[st.integers(1, 600)] * 2, st.sampled_from("fS"))
)
others = st.sampled_from((PICTURE, "0.5 0 0 0.5 10 10 cm", "0.1 0 0 0.1 0 0 cm", "3 0 0 3 0 0 cm"))


def drawn(*forms: str) -> st.SearchStrategy[str]:
    inside = [st.just(f"{form} Do") for form in forms]
    return st.lists(st.one_of(words, words, areas, others, *inside), max_size=12).map("\n".join)


@dataclass(frozen=True)
class Seen:
    """One object, asked alone."""

    raw: Any
    scale: float
    nested: bool


def walked(count: int, of: Callable[[int], Any], scale: float = 1.0, depth: int = 0) -> Iterator[Seen]:
    for raw in map(of, range(count)):
        if pdfium.FPDFPageObj_GetType(raw) != pdfium.FPDF_PAGEOBJ_FORM:
            yield Seen(raw, scale, depth > 0)
            continue
        inside = pdfium.FPDFFormObj_CountObjects(raw)
        yield from walked(
            inside, lambda at, form=raw: pdfium.FPDFFormObj_GetObject(form, at), scale * grown(raw), depth + 1
        )


def grown(raw: Any) -> float:
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(raw, matrix)
    return float(abs(matrix.a * matrix.d - matrix.b * matrix.c) ** 0.5)


def colour_of(raw: Any) -> tuple[int, ...] | None:
    shades = [c_uint() for _ in range(4)]
    return tuple(shade.value for shade in shades) if pdfium.FPDFPageObj_GetFillColor(raw, *map(byref, shades)) else None


def sides_of(raw: Any) -> list[float]:
    sides = [c_float() for _ in range(4)]
    pdfium.FPDFPageObj_GetBounds(raw, *map(byref, sides))
    return [side.value for side in sides]


def kind_of(one: Seen, before: list[Seen]) -> str:
    mode, size = pdfium.FPDFTextObj_GetTextRenderMode(one.raw), c_float()
    if mode in (3, 7):
        return INVISIBLE
    pdfium.FPDFTextObj_GetFontSize(one.raw, size)
    if 0 < abs(size.value) * grown(one.raw) * one.scale < 2:
        return TINY
    *shades, opacity = colour_of(one.raw) or (0, 0, 0, 255)
    if mode not in (0, 4):
        return ""
    if opacity == 0:
        return INVISIBLE
    return WHITE if min(shades) >= WHITE_FROM and not any(lies_under(area, one) for area in before) else ""


def lies_under(area: Seen, text: Seen) -> bool:
    match pdfium.FPDFPageObj_GetType(area.raw):
        case pdfium.FPDF_PAGEOBJ_PATH:
            filled, stroked = c_int(), c_int()
            pdfium.FPDFPath_GetDrawMode(area.raw, filled, stroked)
            colour = colour_of(area.raw)
            if not filled.value or (colour and (colour[3] == 0 or min(colour[:3]) >= WHITE_FROM)):
                return False
        case pdfium.FPDF_PAGEOBJ_TEXT:
            return False
    left, bottom, right, top = sides_of(text.raw)
    x, y = (left + right) / 2, (bottom + top) / 2
    left, bottom, right, top = sides_of(area.raw)
    return area.nested or text.nested or (left <= x <= right and bottom <= y <= top)


def plainly(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> Unseen:
    objects = list(walked(pdfium.FPDFPage_CountObjects(page), lambda at: pdfium.FPDFPage_GetObject(page, at)))
    found, kinds = Counter[str](), list[str]()
    for order, one in enumerate(objects):
        if pdfium.FPDFPageObj_GetType(one.raw) == pdfium.FPDF_PAGEOBJ_TEXT:
            kinds.append(kind_of(one, objects[:order]))
            text = pypdfium2.PdfTextObj(one.raw, textpage=textpage).extract() if kinds[-1] else ""
            found[kinds[-1]] += len("".join(text.split()))
    told = tuple(kind for kind in KINDS if found[kind] >= 4)
    pictures = any(pdfium.FPDFPageObj_GetType(one.raw) == pdfium.FPDF_PAGEOBJ_IMAGE for one in objects)
    scan = told == (INVISIBLE,) and set(kinds) == {INVISIBLE} and pictures
    return Unseen(() if scan else told, scan)


@given(drawn("/X0", "/X1"), drawn("/X1"), drawn())
def test_what_is_asked_in_bulk_is_what_each_object_tells(content: str, first: str, second: str) -> None:
    with pypdfium2.PdfDocument(make_drawn_pdf(content, [first, second])) as pdf:
        page = pdf[0]
        textpage = page.get_textpage()
        assert look(handle_of(page), handle_of(textpage)) == plainly(page, textpage)
        assert text_of(handle_of(textpage)) == textpage.get_text_range()
