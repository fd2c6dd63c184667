"""How documents are read, cut and asked about: numbers that go up when the same file may give something else."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from viiwork.documents.tasks import SYSTEM
from viiwork.roster import Making
from viiwork.work import AnalysisTask

READER = 2
"""Goes up when some file's text, pages or title may come out otherwise."""
CHUNKER = 3
"""Goes up when some document may be cut elsewhere."""
READS_BY = ("pypdfium2", "python-docx", "lxml", "selectolax", "inscriptis", "charset-normalizer")
CUTS_BY = ("semchunk", "tokenizers")


@cache
def making() -> Making:
    """Of this installation: our numbers, and the versions of the packages that read and cut."""
    return Making(
        version=_version("viiwork"),
        reader=_told(READER, READS_BY),
        chunker=_told(CHUNKER, CUTS_BY),
        words={task: _words(task) for task in AnalysisTask},
    )


def _words(task: AnalysisTask) -> str:
    """A digest of what models are told for this task in every analysis."""
    told = files("viiwork.documents").joinpath("tasks", f"{task.value}.toml").read_bytes()
    return hashlib.sha256(SYSTEM.encode() + b"\0" + told).hexdigest()


def _told(ours: int, packages: tuple[str, ...]) -> str:
    return ", ".join([str(ours), *(f"{name} {found}" for name in packages if (found := _version(name)))])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
