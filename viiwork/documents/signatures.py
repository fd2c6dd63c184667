"""Who gave the answers of a document's parts: revisions and weights of the model, versions of engines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.work import Answer

SIGNED = ("revision", "quantization", "engine_version")
BETWEEN = " and "


def signatures(answers: Sequence[Answer]) -> dict[str, str | None]:
    """All of them, once each, in the order of the parts: there is more than one where a worker was exchanged."""
    return {name: _once_each([getattr(answer, name) for answer in answers]) for name in SIGNED}


def _once_each(said: Sequence[str | None]) -> str | None:
    words = (word for one in said if one for word in one.split(BETWEEN))
    return BETWEEN.join(dict.fromkeys(words)) or None
