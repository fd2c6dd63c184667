"""Which of a repository's files an engine needs: weights that run no code, configuration, tokenizer. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from viiwork.errors import UsageError
from viiwork.models.listing import HubFile, Listing
from viiwork.models.record import GGUF

SAFETENSORS = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
"""Loading such a file runs whatever it says."""
CODE = (".py", ".pyc", ".so", ".sh")
SMALL = (".json", ".jinja", ".txt", ".model", ".tiktoken")
SMALL_NAMES = ("tokenizer.model.*", "LICENSE*", "LICENCE*", "NOTICE*")
OTHER_FORMATS = frozenset({"onnx", "openvino", "original", "coreml", "gguf", "flax", "tf"})
"""Directories that hold the model once more, for other programs."""
SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
SHOWN = 12
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person said of the files: globs to add and to leave out, and one GGUF file (or a pattern of its name)."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The files to fetch, and what to tell of those that stay."""

    files: tuple[HubFile, ...]
    remarks: tuple[str, ...] = ()


def choose(listing: Listing, wanted: Wanted) -> Choice:
    """The files to fetch. Raises UsageError when there are no weights that could be taken, or too many to guess."""
    _refuse_code(wanted)
    taken = _gguf(listing, wanted.file) if wanted.file else _default(listing)
    added = [file for file in listing.files if _matches(file, wanted.include) and not _is(file, CODE)]
    if wanted.include and not added:
        raise UsageError(f"{listing.repo} has no file that --include {wanted.include[0]} fits.", hint=_names(listing))
    chosen = {file.path: file for file in [*taken, *added] if not _matches(file, wanted.exclude)}
    if not any(_is(file, (SAFETENSORS, GGUF, *PICKLES)) for file in chosen.values()):
        raise UsageError(_no_weights(listing), hint="--include GLOB takes other files too.")
    return Choice(tuple(sorted(chosen.values(), key=lambda file: file.path)), _remarks(listing, chosen.values()))


def _default(listing: Listing) -> list[HubFile]:
    small = [file for file in listing.files if _is_small(file)]
    weights = [file for file in listing.files if "/" not in file.path and _is(file, (SAFETENSORS,))]
    if any(file.path.startswith("model") for file in weights):
        # Mistral's own layout holds the same weights once more.
        weights = [file for file in weights if not file.path.startswith("consolidated")]
    return [*weights, *small] if weights else [*_gguf(listing, "*"), *small]


def _gguf(listing: Listing, pattern: str) -> list[HubFile]:
    """One GGUF file, or all parts of a split one."""
    there = [file for file in listing.files if _is(file, (GGUF,))]
    found = [file for file in there if _matches(file, (pattern,))]
    if not found and pattern != "*":
        raise UsageError(f"{listing.repo} has no GGUF file that --file {pattern} fits.", hint=_sizes(there))
    whole = {SPLIT.sub(GGUF, file.path) for file in found}
    if len(whole) > 1:
        raise UsageError(
            f"{listing.repo} has {len(whole)} GGUF files that could be meant.",
            hint=f"Take one by --file: {_sizes(found)}",
        )
    return [file for file in there if SPLIT.sub(GGUF, file.path) in whole]


def _is_small(file: HubFile) -> bool:
    path = PurePosixPath(file.path)
    if (
        path.parts[0] in OTHER_FORMATS
        or len(path.parts) > 2
        or file.path.endswith((".bin.index.json", ".h5.index.json"))
    ):
        return False
    return _is(file, SMALL) or any(fnmatchcase(path.name, glob) for glob in SMALL_NAMES)


def _is(file: HubFile, endings: tuple[str, ...]) -> bool:
    return file.path.lower().endswith(endings)


def _matches(file: HubFile, globs: Iterable[str]) -> bool:
    """By its whole path, or by its name alone."""
    name = file.path.rpartition("/")[2]
    return any(fnmatchcase(file.path, glob) or fnmatchcase(name, glob) for glob in globs)


def _refuse_code(wanted: Wanted) -> None:
    for glob in (*wanted.include, wanted.file):
        if glob.lower().endswith(CODE):
            raise UsageError(f"{glob}: code is not fetched.", hint="An engine must not run what a repository says.")


def _no_weights(listing: Listing) -> str:
    if any(_is(file, PICKLES) for file in listing.files):
        return f"{listing.repo} has its weights as pickles only, and loading a pickle runs whatever it says."
    return f"{listing.repo} has no weights that could be taken: neither safetensors nor GGUF."


def _remarks(listing: Listing, chosen: Iterable[HubFile]) -> tuple[str, ...]:
    told = []
    if any(_is(file, (".py",)) for file in listing.files):
        told.append(
            "The repository has Python code of its own. It is not fetched; an engine that needs it will say so."
        )
    if any(_is(file, PICKLES) for file in chosen):
        told.append("Some of the files are pickles: loading one runs whatever it says.")
    return tuple(told)


def _sizes(files: Iterable[HubFile]) -> str:
    return _listed(files, lambda file: f"{file.path} ({file.size / GIB:.1f} GiB)")


def _names(listing: Listing) -> str:
    return f"It has {_listed(listing.files, lambda file: file.path)}"


def _listed(files: Iterable[HubFile], shown: Callable[[HubFile], str]) -> str:
    names = [shown(file) for file in files]
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN]) or 'none at all'}{more}."
