"""PDFs to be read: manuals from Debian packages where there are any, and some made on the spot."""

from __future__ import annotations

import gzip
import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fpdf import FPDF

MANUALS = ("debian-policy", "developers-reference", "debian-reference-en", "maint-guide", "debmake-doc")
FETCH_S = 120
MADE_PAGES = 60
WORDS = ("the", "tenant", "pays", "rent", "on", "first", "of", "each", "month", "and", "landlord", "keeps", "roof")


def manuals(folder: Path) -> dict[str, bytes]:
    """By file name. Fetched by `apt-get download`, unpacked by `dpkg-deb`; none where that does not work."""
    with suppress(OSError, subprocess.SubprocessError):
        _done(folder, "apt-get", "download", *MANUALS)
        for package in folder.glob("*.deb"):
            _done(folder, "dpkg-deb", "-x", package.name, "unpacked")
    return dict(sorted(_unpacked(folder)))


def _done(folder: Path, *words: str) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=FETCH_S)


def _unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.glob("unpacked/**/*.pdf"):
        yield path.name, path.read_bytes()
    for path in folder.glob("unpacked/**/*.pdf.gz"):
        yield path.stem, gzip.decompress(path.read_bytes())


def made() -> dict[str, bytes]:
    """Running text, a table of small cells, and a scan's text layer: invisible, a piece a word."""
    chance = random.Random(7)
    return {"made-text.pdf": _text(chance), "made-table.pdf": _table(chance), "made-scan.pdf": _scan(chance)}


def _text(chance: random.Random) -> bytes:
    pdf = _empty()
    for _ in range(MADE_PAGES):
        pdf.add_page()
        pdf.multi_cell(0, 5, " ".join(chance.choices(WORDS, k=500)))
    return bytes(pdf.output())


def _table(chance: random.Random) -> bytes:
    pdf = _empty()
    for _ in range(MADE_PAGES):
        pdf.add_page()
        for row in range(40):
            for column in range(6):
                pdf.text(10 + 30 * column, 20 + 6 * row, chance.choice(WORDS))
    return bytes(pdf.output())


def _scan(chance: random.Random) -> bytes:
    pdf = _empty()
    for _ in range(MADE_PAGES):
        pdf.add_page()
        pdf.text_mode = 3
        for line in range(45):
            for word in range(10):
                pdf.text(10 + 18 * word, 15 + 6 * line, chance.choice(WORDS))
    return bytes(pdf.output())


def _empty() -> FPDF:
    pdf = FPDF()
    pdf.set_font("helvetica", size=10)
    return pdf
