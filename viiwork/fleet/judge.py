"""When a starting fleet is up, and when it cannot come up. Pure but for the last lines of a log."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.errors import EngineFault, StartupError
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import Role


def is_up(children: Sequence[Child]) -> bool:
    """Whether nobody is awaited any more; some may have been given up."""
    return all(child.state in (ChildState.READY, ChildState.FAILED) for child in children)


def judge_start(children: Sequence[Child]) -> None:
    """Raises StartupError when there is no API, EngineFault when no engine worker could be started."""
    failed = [child for child in children if child.state is ChildState.FAILED]
    for child in failed:
        if child.spec.role is Role.API:
            raise StartupError(f"the API cannot be started: {_words(child)}", hint=f"See {child.log}.")
    engines = [child for child in children if child.spec.role is Role.ENGINE]
    if engines and all(child in failed for child in engines):
        raise EngineFault(f"no engine worker could be started: {_words(engines[0])}", hint=f"See {engines[0].log}.")


def _words(child: Child) -> str:
    words = child.last_words() or "it wrote nothing"
    return words if words.endswith((".", "!")) else words + "."
