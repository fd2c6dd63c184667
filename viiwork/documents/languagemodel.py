"""The model that tells languages, kept unpacked in the user's cache folder and mapped from there.

From its package it takes half a second and 140 MB each time; mapped, 10 ms and the pages that texts lead to, which all
processes share. Where nothing can be kept, it is unpacked each time.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier
from py3langid.modelio import load_model

PACKED = MODEL_DIR / MODEL_FILE
PARTS = ("shares", "priors", "codes", "moves", "rows", "features")
MARK_BYTES = 64
"""Of the packed model's end, which holds the check sums of the rest: what is kept goes by them."""
PREFIX = "langid-"

TRIALS = (
    "The tenant pays the rent on the first of each month.",
    "Der Mieter zahlt die Miete am Ersten jedes Monats.",
    "Le locataire paie le loyer le premier jour du mois.",
    "Арендатор платит первого числа каждого месяца.",
)
"""What is kept must tell of them what the packed model told: a damaged one has the right sizes as often as not."""
TOLD = "told"

Parts = Mapping[str, Any]


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where this user's programs keep what can be made again; None where there is no such place."""
    with suppress(RuntimeError):
        home = environment.get("XDG_CACHE_HOME", "")
        return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "viiwork"
    return None


def load(folder: Path | None, *, packed: Path = PACKED) -> LanguageIdentifier:
    """The model; it is kept under `folder` when it was not there."""
    if folder is None:
        return _identifier(_unpacked(packed))
    kept = folder / f"{PREFIX}{_mark(packed)}"
    try:
        return _tried(kept)
    except Exception:  # noqa: BLE001 - whatever is wrong with what is kept, it can be made again
        model = _unpacked(packed)
    with suppress(Exception):  # it is kept for speed alone
        _keep(model, kept)
        return _tried(kept)
    return _identifier(model)


def _tried(kept: Path) -> LanguageIdentifier:
    """The kept one, once it has shown that it works. Raises anything where it does not."""
    model = _identifier(_mapped(kept))
    if (kept / TOLD).read_text("utf-8") != _told(model):
        raise ValueError("the kept model is damaged")
    return model


def _told(model: LanguageIdentifier) -> str:
    return "\n".join(f"{code} {share:.6f}" for code, share in map(model.classify, TRIALS))


def _mark(packed: Path) -> str:
    with packed.open("rb") as file:
        file.seek(-min(MARK_BYTES, packed.stat().st_size), os.SEEK_END)
        return sha256(file.read()).hexdigest()[:16]


def _unpacked(packed: Path) -> Parts:
    shares, priors, codes, moves, rows, features = load_model(packed)
    parts = (shares, priors, np.array(codes), np.frombuffer(moves, moves.typecode), np.frombuffer(rows, rows.typecode))
    return dict(zip(PARTS, (*parts, np.array(features, dtype=np.int32)), strict=True))


def _mapped(kept: Path) -> Parts:
    """Raises OSError, ValueError or EOFError where it is not there, not whole, or somebody else may have written it."""
    facts = kept.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("the kept model may be somebody else's")
    parts = {part: np.load(kept / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in PARTS}
    shares, classes = parts["shares"].shape
    if not shares or not classes == len(parts["priors"]) == len(parts["codes"]):
        raise ValueError("the kept model does not fit together")
    return parts


def _identifier(parts: Parts) -> LanguageIdentifier:
    shares, priors, codes, moves, rows, features = (parts[part] for part in PARTS)
    return LanguageIdentifier(
        np.asarray(shares),
        np.asarray(priors),
        codes.tolist(),
        memoryview(moves),
        features.tolist(),
        norm_probs=True,
        tk_row=rows.tolist(),
    )


def _keep(parts: Parts, kept: Path) -> None:
    """Whole or not at all. What else is there makes room: other versions, one that cannot be opened, half a one.

    Two processes that make it at once may take it from each other; each has the model then. Raises OSError.
    """
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in kept.parent.glob(f"{PREFIX}*"):
        shutil.rmtree(other, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=f"{PREFIX}making-", dir=kept.parent))
    try:
        for part, data in parts.items():
            with (making / f"{part}.npy").open("xb") as file:
                np.save(file, data, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        (making / TOLD).write_text(_told(_identifier(parts)), "utf-8")
        making.rename(kept)
    finally:
        shutil.rmtree(making, ignore_errors=True)
