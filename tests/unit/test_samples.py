"""The sample documents are what their list says, and can be made again from their sources."""

from __future__ import annotations

import io
import json
import zipfile
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest

from samples import make_samples

DOCUMENTS = make_samples.DOCUMENTS
MADE = sorted(
    [path.stem for path in make_samples.SOURCES.glob("*.md") if Path(path.stem).stem not in make_samples.MATERIAL]
)
LIST: dict[str, Any] = json.loads((make_samples.HERE / "expected.json").read_text(encoding="utf-8"))
FILES: dict[str, dict[str, Any]] = LIST["files"]
GOOD = sorted(name for name, entry in FILES.items() if entry["bad"] is None)


@pytest.fixture(scope="module")
def fresh() -> dict[str, bytes]:
    """What the sources give today."""
    return make_samples.good() | make_samples.awkward()


def pdf_text(content: bytes) -> tuple[str, int]:
    with pypdfium2.PdfDocument(io.BytesIO(content)) as document:
        pages = [page.get_textpage().get_text_bounded() for page in document]
    return "\n".join(pages), len(pages)


def word_text(content: bytes) -> str:
    document = docx.Document(io.BytesIO(content))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([paragraph.text for paragraph in document.paragraphs] + cells)


def mail_text(content: bytes) -> str:
    message = BytesParser(policy=policy.default).parsebytes(content)
    body = message.get_body(("plain",))
    return body.get_content() if body else ""


def text_of(name: str, content: bytes) -> str:
    if content.startswith(b"PK"):
        return word_text(content)
    if name.endswith(".pdf"):
        return pdf_text(content)[0]
    return mail_text(content) if name.endswith(".eml") else content.decode("utf-8")


def test_every_document_is_on_the_list_and_every_entry_has_its_document() -> None:
    """A file without an entry would never be checked, an entry without a file would never fail."""
    assert sorted(FILES) == sorted(path.name for path in DOCUMENTS.iterdir())


def test_there_are_at_least_fourteen_good_documents_in_every_format() -> None:
    """The formats that people really have: text, Markdown, HTML, Word, PDF and e-mail."""
    assert len(GOOD) >= 14
    assert {Path(name).suffix for name in GOOD} == {".txt", ".md", ".html", ".docx", ".pdf", ".eml"}


def test_labels_are_those_that_the_list_explains() -> None:
    """Each good document carries one of the labels; each label is carried."""
    assert {FILES[name]["label"] for name in GOOD} == set(LIST["labels"])


@pytest.mark.parametrize("name", GOOD)
def test_the_facts_stand_in_the_document(name: str) -> None:
    """An answer can only be right if what it should say is there to be found."""
    text = " ".join(text_of(name, (DOCUMENTS / name).read_bytes()).split())
    for question, facts in FILES[name]["facts"].items():
        assert all(fact in text for fact in facts), f"{question}: {facts}"


def test_most_documents_answer_the_question_about_the_notice_period() -> None:
    """One question put to the whole folder brings a table worth reading."""
    assert sum("What is the notice period?" in FILES[name]["facts"] for name in GOOD) >= 14


@pytest.mark.parametrize("name", [*MADE, "supplier-questionnaire.pdf"])
def test_a_made_document_says_what_its_source_says_today(name: str, fresh: dict[str, bytes]) -> None:
    """Whoever changed a source must have made the samples again; compression may differ, content may not."""
    assert text_of(name, (DOCUMENTS / name).read_bytes()) == text_of(name, fresh[name])


def test_page_counts_of_the_pdf_files_are_as_listed() -> None:
    """One of them is long enough to be cut into many pieces."""
    names = [name for name in GOOD if (DOCUMENTS / name).read_bytes().startswith(b"%PDF")]
    pages = {name: pdf_text((DOCUMENTS / name).read_bytes())[1] for name in names}
    assert pages == {name: FILES[name]["pages"] for name in names}
    assert max(pages.values()) >= 15


def test_making_the_documents_again_gives_the_same_bytes(fresh: dict[str, bytes]) -> None:
    """Otherwise each run would show up as a change."""
    assert make_samples.good() | make_samples.awkward() == fresh


@pytest.mark.parametrize("name", ["bad-damaged.pdf", "bad-encrypted.pdf"])
def test_a_broken_pdf_does_not_open(name: str) -> None:
    """PDFium mends a lot; these it cannot."""
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(DOCUMENTS / name)


def test_the_encrypted_pdf_opens_with_its_password() -> None:
    """It is locked, not damaged."""
    with pypdfium2.PdfDocument(DOCUMENTS / "bad-encrypted.pdf", password=make_samples.PASSWORD) as document:
        assert len(document) == 1


def test_the_scan_has_a_page_and_no_text() -> None:
    """A page that only looks like text."""
    text, pages = pdf_text((DOCUMENTS / "bad-scan-without-text.pdf").read_bytes())
    assert (text.strip(), pages) == ("", 1)


def test_two_files_are_not_what_their_extensions_say() -> None:
    """A Word file called .pdf and a picture called .txt."""
    assert zipfile.is_zipfile(DOCUMENTS / "supplier-questionnaire.pdf")
    assert (DOCUMENTS / "bad-picture-named-text.txt").read_bytes().startswith(b"\x89PNG")
    assert (DOCUMENTS / "bad-empty.txt").stat().st_size == 0
