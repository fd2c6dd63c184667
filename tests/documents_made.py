"""Documents made on the spot: good ones, and every nasty one that the readers must survive."""

from __future__ import annotations

import datetime as dt
import io
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import docx
import openpyxl
import pptx
import pypdf
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from fpdf import FPDF
from fpdf.enums import TextMode
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject

DAY = dt.datetime(2024, 2, 29, 13, 5)
# the smallest header, palette and pixel that make a valid picture
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082"
)


def make_pdf(pages: Sequence[str], *, title: str = "", author: str = "") -> bytes:
    """A PDF with one page for each text; an empty text makes a page without a text layer."""
    pdf = FPDF()
    pdf.set_creation_date(DAY)
    if author:
        pdf.set_author(author)
    if title:
        pdf.set_title(title)
    pdf.set_font("helvetica", size=12)
    for text in pages:
        pdf.add_page()
        if text:
            pdf.multi_cell(0, 6, text)
    return bytes(pdf.output())


def make_pdf_with_hidden_text(text: str) -> bytes:
    """Six pages: one that is plain, then the text invisible, white, white on blue, of 1 point, and transparent."""
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    pdf.add_page()
    pdf.cell(text="Plain")
    pdf.add_page()
    pdf.text_mode = TextMode.INVISIBLE
    pdf.cell(text=text)
    pdf.text_mode = TextMode.FILL
    pdf.set_text_color(255)
    pdf.add_page()
    pdf.cell(text=text)
    pdf.set_fill_color(0, 0, 90)
    pdf.add_page()
    pdf.cell(text=text, fill=True)
    pdf.set_text_color(0)
    pdf.set_font_size(1)
    pdf.add_page()
    pdf.cell(text=text)
    pdf.set_font_size(12)
    pdf.add_page()
    with pdf.local_context(fill_opacity=0):
        pdf.cell(text=text)
    return bytes(pdf.output())


def make_encrypted_pdf(*, password: str) -> bytes:
    """A PDF that takes `password` to open; with an empty one anybody can."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf(["Salaries of the board."])))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    packed = io.BytesIO()
    writer.write(packed)
    return packed.getvalue()


def make_form_pdf(fields: dict[str, str]) -> bytes:
    """A page with the text `Form` and text fields with these values."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf(["Form"])))
    page = writer.pages[0]
    page[NameObject("/Annots")] = ArrayObject()
    for name, value in fields.items():
        field = {"/Type": "/Annot", "/Subtype": "/Widget", "/FT": "/Tx"}
        widget = DictionaryObject({NameObject(key): NameObject(word) for key, word in field.items()})
        widget[NameObject("/T")], widget[NameObject("/V")] = TextStringObject(name), TextStringObject(value)
        widget[NameObject("/Rect")] = ArrayObject(NumberObject(side) for side in (10, 10, 90, 30))
        page["/Annots"].append(writer._add_object(widget))
    packed = io.BytesIO()
    writer.write(packed)
    return packed.getvalue()


def make_bomb_pdf(unpacked_bytes: int) -> bytes:
    """A page whose content stream unpacks to `unpacked_bytes` of spaces."""
    return _one_page(_stream(b" " * unpacked_bytes))


def make_drawn_pdf(content: str, forms: Sequence[str] = ()) -> bytes:
    """A page drawn by these operators, with a font `/F` and forms `/X0`, `/X1`, of which each can draw the others."""
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    names = b" ".join(b"/X%d %d 0 R" % (number, 6 + number) for number in range(len(forms)))
    resources = b"/Resources<</Font<</F 5 0 R>>/XObject<<" + names + b">>>>"
    kind = b"/Type/XObject/Subtype/Form/BBox[0 0 700 900]" + resources
    return _one_page(_stream(content.encode()), font, *(_stream(form.encode(), kind) for form in forms), told=resources)


def _stream(data: bytes, told: bytes = b"") -> bytes:
    packed = zlib.compress(data, 9)
    return b"<<%s/Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (told, len(packed), packed)


def _one_page(content: bytes, *more: bytes, told: bytes = b"") -> bytes:
    """A PDF with one page; its content is object 4, what comes after are 5, 6, …"""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 700 900]/Contents 4 0 R%s>>" % told,
        content,
        *more,
    ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return data + (
        b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(data))
    )


def make_docx(*, title: str = "", author: str = "python-docx") -> bytes:
    """Headings, paragraphs and a table between them."""
    document = docx.Document()
    told = document.core_properties
    told.title, told.author, told.created = title, author, DAY
    document.add_heading("Lease", level=1)
    document.add_paragraph("The tenant pays 900 euros a month.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Room", "Rent", "Kitchen", "300"], strict=True):
        cell.text = text
    document.add_heading("Notice", level=2)
    document.add_paragraph("Three months.")
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()


def make_pptx(slides: Sequence[tuple[str, str]], *, notes: str = "", title: str = "", author: str = "") -> bytes:
    """A slide for each title and body; `notes` are those of the first."""
    deck = pptx.Presentation()
    told = deck.core_properties
    told.title, told.author, told.created = title, author, DAY
    for heading, body in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = heading, body
    if notes:
        deck.slides[0].notes_slide.notes_text_frame.text = notes
    return _saved(deck)


def make_pptx_with_figures() -> bytes:
    """One slide with a title, a table and a chart; a second one, hidden from the audience, with nothing."""
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Sales"
    table = slide.shapes.add_table(2, 2, 0, 0, 9_000_000, 900_000).table
    for at, text in enumerate(["Region", "Sum", "North | West", "12"]):
        table.cell(at // 2, at % 2).text = text
    data = CategoryChartData()
    data.categories = ["2024", "2025"]
    data.add_series("Bikes", (10, 12.5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 9_000_000, 900_000, data)
    deck.slides.add_slide(deck.slide_layouts[6]).element.set("show", "0")
    return _saved(deck)


def make_xlsx(
    sheets: dict[str, Sequence[Sequence[object]]], *, hidden: Sequence[str] = (), title: str = "", author: str = ""
) -> bytes:
    """A workbook of these sheets and rows; formulas in it have no stored result."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    told = book.properties
    told.title, told.creator, told.created = title, author, DAY
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(list(row))
    return _saved(book)


def make_xlsx_of(sheet_data_xml: str, *, string: str = "") -> bytes:
    """A workbook whose only sheet says that it is as big as can be, and holds this XML of rows.

    `string` is what cells of the type `s` and the value 0 hold.
    """
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = f"<sheetData>{sheet_data_xml}</sheetData>"
    xml = f'<worksheet xmlns="{space}"><dimension ref="A1:XFD1048576"/>{rows}</worksheet>'
    data = replace_part(make_xlsx({"Sheet": [["x"]]}), "xl/worksheets/sheet1.xml", xml.encode())
    if not string:
        return data
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        types = package.read("[Content_Types].xml")
    told = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    packed = io.BytesIO(replace_part(data, "[Content_Types].xml", types.replace(b"</Types>", told)))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/sharedStrings.xml", f'<sst xmlns="{space}"><si><t>{string}</t></si></sst>')
    return packed.getvalue()


def _saved(document: Any) -> bytes:
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()


def make_docx_of(body_xml: str) -> bytes:
    """A Word document whose body is this XML (prefix `w`)."""
    return replace_part(
        make_docx(),
        "word/document.xml",
        (
            '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
            'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
            f"<w:body>{body_xml}</w:body></w:document>"
        ).encode(),
    )


def make_docx_with_footnotes(notes_xml: bytes) -> bytes:
    """A Word document with a footnotes part of these bytes."""
    packed = io.BytesIO()
    part_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    document = docx.Document()
    document.add_paragraph("The rent is due monthly.")
    part = Part(PackURI("/word/footnotes.xml"), part_type, notes_xml, document.part.package)
    document.part.relate_to(part, relation)
    document.save(packed)
    return packed.getvalue()


def replace_part(package: bytes, name: str, content: bytes) -> bytes:
    """The zip package with one part exchanged."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return packed.getvalue()


def make_zip(names: Sequence[str]) -> bytes:
    """A zip archive with these parts, each with one byte."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        for name in names:
            package.writestr(name, "x")
    return packed.getvalue()


def make_bomb_docx(unpacked_bytes: int) -> bytes:
    """A Word document whose text unpacks to `unpacked_bytes`."""
    return replace_part(make_docx(), "word/document.xml", b"<w:p/>" * (unpacked_bytes // 6))


def make_overlong_directory_docx(parts: int) -> bytes:
    """A package with far more parts than a document has."""
    packed = io.BytesIO(make_docx())
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "a") as package:
        warnings.simplefilter("ignore")
        for number in range(parts):
            package.writestr(f"word/{number}", b"")
    return packed.getvalue()


def make_mail(*, html: str = "", text: str = "", attached: Sequence[str] = ()) -> bytes:
    """An e-mail with the bodies and attachments given."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Rent for Müller", "ada@example.org", "bob@example.org"
    mail["Message-ID"] = "<1@example.org>"
    if text:
        mail.set_content(text)
    if html and text:
        mail.add_alternative(html, subtype="html")
    elif html:
        mail.set_content(html, subtype="html")
    for name in attached:
        mail.add_attachment(b"secret content", maintype="application", subtype="octet-stream", filename=name)
    return bytes(mail)
