"""Write blocks as Word, PDF, scanned PDF and e-mail files; the same source gives the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import Parser

import docx
from docx.document import Document
from fpdf import FPDF
from fpdf.enums import EncryptionMethod, XPos, YPos
from fpdf.fonts import FontFace
from PIL import Image, ImageDraw, ImageFont

from samples.blocks import Block, Heading, Items, PageBreak, Paragraph, Table, parse

MADE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
AUTHOR = "The VIIWork samples"


def word(source: str) -> bytes:
    """A .docx file with real headings, lists and tables."""
    document = docx.Document()
    for block in parse(source):
        _into_word(document, block)
    properties = document.core_properties
    properties.author, properties.created, properties.modified = AUTHOR, MADE, MADE
    buffer = io.BytesIO()
    document.save(buffer)
    return _undated(buffer.getvalue())


def _into_word(document: Document, block: Block) -> None:
    match block:
        case Heading(level, text):
            document.add_heading(text, level=level - 1)
        case Paragraph(lines):
            document.add_paragraph("\n".join(lines))
        case Items(lines, numbered):
            for line in lines:
                document.add_paragraph(line, style="List Number" if numbered else "List Bullet")
        case Table(rows):
            table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
            for row in rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
            document.add_paragraph()
        case PageBreak():
            document.add_page_break()  # type: ignore[no-untyped-call]  # python-docx left it bare


def _undated(archive: bytes) -> bytes:
    """The archive with one fixed date on every member: python-docx stamps the clock."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, MADE.timetuple()[:6]), old.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


class Sheet(FPDF):
    """A4 with a page number at the foot."""

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font("Helvetica", size=8)
        self.cell(0, 6, f"Page {self.page_no()} of {{nb}}", align="C")


def pdf(source: str, *, password: str | None = None) -> bytes:
    """A PDF file with a text layer; with `password` it cannot be opened without it."""
    sheet = Sheet()
    sheet.set_margins(24, 22)
    sheet.set_auto_page_break(auto=True, margin=22)
    sheet.set_creation_date(MADE)
    sheet.set_author(AUTHOR)
    if password is not None:
        # RC4 because it needs no random bytes: the file stays the same when it is made again
        sheet.set_encryption("owner " + password, password, encryption_method=EncryptionMethod.RC4)
    sheet.add_page()
    for block in parse(source):
        _into_pdf(sheet, block)
    return bytes(sheet.output())


def _into_pdf(sheet: Sheet, block: Block) -> None:
    match block:
        case Heading(level, text):
            sheet.set_font("Helvetica", "B", {1: 17, 2: 13}.get(level, 11.5))
            _lines(sheet, text, height=8)
        case Paragraph(lines):
            sheet.set_font("Helvetica", size=11)
            _lines(sheet, "\n".join(lines))
        case Items(lines, numbered):
            sheet.set_font("Helvetica", size=11)
            marks = [f"{number}. " if numbered else "- " for number in range(1, len(lines) + 1)]
            _lines(sheet, "\n".join(mark + line for mark, line in zip(marks, lines, strict=True)))
        case Table(rows):
            _table(sheet, rows)
        case PageBreak():
            sheet.add_page()


def _lines(sheet: Sheet, text: str, *, height: float = 5.6) -> None:
    sheet.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    sheet.ln(2.5)


def _table(sheet: Sheet, rows: Sequence[Sequence[str]]) -> None:
    sheet.set_font("Helvetica", size=8 if len(rows[0]) > 8 else 9.5)
    with sheet.table(rows, headings_style=FontFace(emphasis="BOLD"), line_height=5.5, text_align="LEFT"):
        pass
    sheet.ln(4)


def scan(source: str) -> bytes:
    """A PDF of one picture: what a scanner makes of a page, with no text layer."""
    page = Image.new("L", (1240, 1754), 247)
    ink, font = ImageDraw.Draw(page), ImageFont.load_default(36)
    text = "\n\n".join(line.lstrip("# ") for line in source.split("\n\n"))
    ink.multiline_text((150, 200), text, fill=60, font=font, spacing=20)
    sheet = FPDF()
    sheet.set_creation_date(MADE)
    sheet.add_page()
    sheet.image(page.rotate(0.7, fillcolor=247), 0, 0, w=210)
    return bytes(sheet.output())


def picture() -> bytes:
    """A small PNG file."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "PNG")
    return buffer.getvalue()


def mail(source: str) -> bytes:
    """An e-mail; an `Attachment` header names the file that the text after `---` becomes."""
    parsed = Parser(policy=policy.default).parsestr(source)
    body, _, attachment = parsed.get_content().partition("\n---\n")
    message = EmailMessage(policy=policy.SMTP)
    for name, value in parsed.items():
        if name != "Attachment":
            message[name] = value
    message.set_content(body.strip() + "\n")
    if attachment:
        message.add_alternative(_html(body), subtype="html")
        message.add_attachment(attachment.strip() + "\n", filename=str(parsed["Attachment"]))
        _name_boundaries(message)
    return message.as_bytes()


def _html(body: str) -> str:
    paragraphs = "".join(f"<p>{part}</p>\n" for part in body.strip().replace("&", "&amp;").split("\n\n"))
    return f"<html><body>\n{paragraphs}</body></html>\n"


def _name_boundaries(message: EmailMessage) -> None:
    # otherwise a random number, new each time
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_sample_{number}")
