"""`VIIWORK_*` variables that nothing reads: most are a misspelt setting, which would be passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from viiwork import apikeys
from viiwork.settings import meant, section_of, variables

PREFIX = "VIIWORK_"
FOR_PEOPLE = frozenset({"VIIWORK_CONFIG", "VIIWORK_DEBUG", "VIIWORK_URL", apikeys.VARIABLE})
"""Read beside the settings."""
WORKER_CARDS = "VIIWORK_WORKER_CARDS"
"""The identities of a worker's cards, with commas: their numbers may be others when the worker is started again."""
WORKER_SPLIT = "VIIWORK_WORKER_SPLIT"
"""How its model lies on them, `2x1`: tensor parallel, then pipeline parallel."""
LISTENER = "VIIWORK_DOOR_LISTENER"
"""The number of the API's listening socket, where the supervisor opened it."""
READY = "VIIWORK_DOOR_READY"
"""The number of the pipe by which a process of the API says that it answers."""
BETWEEN_PROCESSES = frozenset(
    {
        *("VIIWORK_ENGINE_OF", "VIIWORK_SUPERVISED_BY", "VIIWORK_WORKER_NAME", "VIIWORK_WORKER_ROLE"),
        *(WORKER_CARDS, WORKER_SPLIT, LISTENER, READY),
    }
)
"""What the fleet's processes tell each other, and are found by."""
OF_COMPOSE = re.compile(r"VIIWORK_(CPU_ENGINE|((GPU|PYTHON|VALKEY|VLLM)_)?IMAGE|GPU\d+|MODEL_\w+|REDIS_MAXMEMORY)")
"""What compose.yaml reads, a name a card and a model too; people keep them in their environment."""


def passed_over(names: Iterable[str]) -> list[str]:
    """A line for each of the environment's names that looks like ours and that nothing reads, with what may be meant.

    One that names a table of the settings and no setting in it is not among them: reading the settings refuses it.
    """
    ours = (name for name in names if name.upper().startswith(PREFIX) and name.upper() != PREFIX)
    return [_line(name) for name in sorted(ours) if not _is_read(name)]


def _is_read(name: str) -> bool:
    besides = name in FOR_PEOPLE or name in BETWEEN_PROCESSES or OF_COMPOSE.fullmatch(name)
    return bool(besides or section_of(name))


def _line(name: str) -> str:
    known = {known.removeprefix(PREFIX): known for known in (*variables(), *FOR_PEOPLE)}
    nearest = meant(name.upper().removeprefix(PREFIX), known)
    hint = f"Did you mean {known[nearest]}?" if nearest else "docs/settings.md has those that are."
    return f"viiwork: the variable {name} is no setting and is passed over. {hint}"
