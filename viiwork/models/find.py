"""From what a person calls a model to the directory or file that an engine is started with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from viiwork.errors import NotFound, UsageError
from viiwork.models.names import DEFAULT_REVISION, ModelName, parse_name
from viiwork.models.shelf import Entry, Shelf
from viiwork.settings import Settings

PATH_STARTS = ("/", "./", "../", "~")


def find(name: str, *, settings: Settings) -> Path:
    """The directory or file of `name`: a path as it is, else what was pulled as `NAME[@REVISION]`.

    A pulled GGUF model is its file. Raises NotFound with what to do, UsageError when more than one could be meant.
    """
    if (path := _existing(name)) is not None:
        return path
    if name.startswith(PATH_STARTS) or name in ("", ".", ".."):
        raise NotFound(f"there is no file or directory '{name}'.", hint="Check the path.", param="engine.model")
    wanted = parse_name(name)
    return _target(_newest(wanted, Shelf(settings.models_dir)), wanted)


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError):  # too long for a name, or the home of nobody
        return None


def _newest(wanted: ModelName, shelf: Shelf) -> Entry:
    """The commit that the revision last stood for; without a revision that of `main`, or the only one that is there."""
    there = list(shelf.entries(wanted))
    finished = [entry for entry in there if entry.record]
    if not wanted.revision and len(finished) == 1:
        return finished[0]
    found = shelf.matching(replace(wanted, revision=wanted.revision or DEFAULT_REVISION))
    if found:
        return found[-1]
    if not wanted.revision and finished:
        names = ", ".join(f"{wanted.repo}@{revision}" for revision in _revisions(finished))
        raise UsageError(f"several revisions of {wanted.repo} are here.", hint=f"Say which: {names}.")
    raise NotFound(f"the model {wanted} is not on this computer.", hint=_advice(wanted, there))


def _revisions(entries: list[Entry]) -> list[str]:
    return sorted({revision for entry in entries if entry.record for revision in entry.record.revisions})


def _advice(wanted: ModelName, there: list[Entry]) -> str:
    others = _revisions(there)
    if others:
        return f"Here is {', '.join(others)} of it. Fetch it: viiwork models pull {wanted}"
    return f"{'Its pull is not finished' if there else 'Fetch it'}: viiwork models pull {wanted}"


def _target(entry: Entry, wanted: ModelName) -> Path:
    """Its directory, or the one file that is the model."""
    record = entry.record
    at = entry.files_at
    if wanted.file:
        if not (at / wanted.file).is_file():
            raise NotFound(f"{wanted.repo} has no file '{wanted.file}' here.", hint=f"Look into {at}.")
        return at / wanted.file
    if not at.is_dir():
        raise NotFound(f"the directory of {wanted.repo} has gone: {at}.", hint=f"viiwork models rm {wanted.repo}")
    gguf = record.gguf if record and not record.has_safetensors else ()
    if len(gguf) > 1:
        names = ", ".join(f"{wanted.repo}/{path}" for path in gguf)
        raise UsageError(f"several files of {wanted.repo} could be meant.", hint=f"Say which: {names}.")
    return at / gguf[0] if gguf else at
