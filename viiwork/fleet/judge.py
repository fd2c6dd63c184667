"""When a starting fleet is up, and when it cannot come up. Pure but for the last lines of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viiwork.errors import EngineFault, StartupError
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import Role
from viiwork.roster import AWAITS_CARD, AWAITS_MODEL, AWAITS_SERVER, GIVEN_UP, NO_WATTS, WorkerCard

Cards = Mapping[int, WorkerCard]
"""What workers told of themselves, by process id."""
MANY_TRIES = 5
"""So often a server that somebody else runs is looked for, in about 8 s, before the fleet comes up without it."""
WHAT_TO_DO = {
    AWAITS_SERVER: "Start that server, or end this fleet and give another --url (engine.url). "
    "The fleet is up and takes work, which waits until the server answers.",
    AWAITS_MODEL: "Have that server serve it, or end this fleet and give another --model (engine.model). "
    "The fleet is up and takes work, which waits until the server has the model.",
}
"""By what its worker says that it waits for."""


def is_up(children: Sequence[Child], cards: Cards) -> bool:
    """Whether nobody is awaited any more.

    Some may have been given up, a card that is lost may not come back, watts may not suffice for all, and a server that
    somebody else runs may be started later.
    """
    settled = (ChildState.READY, ChildState.FAILED)
    excused = (engine_failure, is_held, server_away)
    return all(child.state in settled or any(excuse(child, cards) for excuse in excused) for child in children)


def judge_start(children: Sequence[Child], cards: Cards) -> None:
    """Raises StartupError when there is no API, EngineFault when no engine worker or no engine could be started."""
    failed = [child for child in children if child.state is ChildState.FAILED]
    for child in failed:
        if child.spec.role is Role.API:
            raise StartupError(f"the API cannot be started: {_words(child)}", hint=f"See {child.log}.")
    engines = [child for child in children if child.spec.role is Role.ENGINE]
    if not engines or not all(child in failed or engine_failure(child, cards) for child in engines):
        return
    first = next((child for child in engines if child not in failed), None)
    if first is None:
        raise EngineFault(f"no engine worker could be started: {_words(engines[0])}", hint=f"See {engines[0].log}.")
    its_own = first.log.with_name(f"engine-{first.spec.name}.log")
    elsewhere = first.log.exists() and not its_own.exists()  # a server that somebody else runs keeps its log itself
    log = first.log if elsewhere else its_own
    raise EngineFault(f"no engine could be started: {_ended(engine_failure(first, cards))}", hint=f"See {log}.")


def engine_failure(child: Child, cards: Cards) -> str:
    """Why its engine was given up, and what to do; empty when it was not. Its worker waits for a person."""
    card = cards.get(child.pid) if child.spec.role is Role.ENGINE and child.pid else None
    state = "" if card is None else card.engine_state
    return state.removeprefix(GIVEN_UP) if state.startswith(GIVEN_UP) else ""


def is_held(child: Child, cards: Cards) -> bool:
    """Whether its worker waits for a card that is off the bus or in reset, or for watts that the budget lacks."""
    card = cards.get(child.pid) if child.spec.role is Role.ENGINE and child.pid else None
    return card is not None and card.engine_state.startswith((AWAITS_CARD, NO_WATTS))


def server_away(child: Child, cards: Cards) -> str:
    """Why the server that its worker speaks to is of no use, once it was looked for often; else empty."""
    return _awaited(child, cards)[1]


def absences(children: Sequence[Child], cards: Cards) -> list[str]:
    """What is said when a fleet comes up without such a server, or its model: why, what to do, where to read on."""
    found = {child: _awaited(child, cards) for child in children}
    return [
        f"{child.spec.name}: {why}. {WHAT_TO_DO[told]} It is looked for again and again. "
        f"See {child.log.with_name(f'guard-{child.spec.name}.log')}."
        for child, (told, why) in found.items()
        if why
    ]


def _awaited(child: Child, cards: Cards) -> tuple[str, str]:
    card = cards.get(child.pid) if child.spec.role is Role.ENGINE and child.pid else None
    if card is None or card.engine_restarts < MANY_TRIES:
        return "", ""
    told, _, why = card.engine_state.partition(": ")
    return (told, why) if told in WHAT_TO_DO else ("", "")


def _words(child: Child) -> str:
    return _ended(child.last_words() or "it wrote nothing")


def _ended(words: str) -> str:
    return words if words.endswith((".", "!")) else words + "."
