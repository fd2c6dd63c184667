"""Make the Word, PDF and e-mail samples from their sources: `python -m samples.make_samples [FOLDER]`.

A source `NAME.docx.md`, `NAME.pdf.md` or `NAME.eml.md` becomes `NAME.docx`, `NAME.pdf` or `NAME.eml`. The samples in
plain text, Markdown and HTML are written by hand and lie in `samples/documents` as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from samples import render

HERE = Path(__file__).parent
SOURCES = HERE / "source"
DOCUMENTS = HERE / "documents"
PASSWORD = "corvane-4471"  # noqa: S105 - the reader is not meant to know it; a person may open the sample with it

WRITERS: dict[str, Callable[[str], bytes]] = {".docx": render.word, ".pdf": render.pdf, ".eml": render.mail}
MATERIAL = {"payslip-march", "framework-order-packaging", "order-form-scanned", "supplier-questionnaire"}
"""Sources that only the awkward files are made from."""


def good() -> dict[str, bytes]:
    """The files that read as their names promise."""
    made = {}
    for path in sorted(SOURCES.glob("*.md")):
        target = Path(path.stem)
        if target.stem not in MATERIAL:
            made[target.name] = WRITERS[target.suffix](path.read_text(encoding="utf-8"))
    return made


def awkward() -> dict[str, bytes]:
    """One file for each thing that goes wrong with files in life."""
    order = render.pdf(_source("framework-order-packaging.pdf"))
    return {
        "bad-damaged.pdf": order[: len(order) * 2 // 3],  # a transfer that broke off: no catalogue, no index
        "bad-empty.txt": b"",
        "bad-encrypted.pdf": render.pdf(_source("payslip-march.pdf"), password=PASSWORD),
        "bad-picture-named-text.txt": render.picture(),
        "bad-scan-without-text.pdf": render.scan(_source("order-form-scanned.scan")),
        "supplier-questionnaire.pdf": render.word(_source("supplier-questionnaire.docx")),  # really a Word file
    }


def _source(name: str) -> str:
    return (SOURCES / f"{name}.md").read_text(encoding="utf-8")


def main(folder: Path = DOCUMENTS) -> None:
    """Write every made sample into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (good() | awkward()).items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
