"""What may be wrong with a fleet: facts in, findings out. Pure: the facts are gathered elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.doctor import cards, cardstate, container, engine, fleet, host, joined, machine, redis, simulated
from viiwork.doctor.cardfacts import CardFacts, CardsFacts
from viiwork.doctor.facts import DoorFacts, EngineFacts, Facts, FleetFacts, HostFacts, RedisFacts
from viiwork.doctor.finding import Finding, Verdict, fail, ok
from viiwork.doctor.joined import JoinedFacts
from viiwork.doctor.machine import MachineFacts
from viiwork.doctor.simulated import SimulatedFacts

__all__ = [
    "CardFacts",
    "CardsFacts",
    "DoorFacts",
    "EngineFacts",
    "Facts",
    "Finding",
    "FleetFacts",
    "HostFacts",
    "JoinedFacts",
    "MachineFacts",
    "RedisFacts",
    "SimulatedFacts",
    "Verdict",
    "diagnose",
    "failed",
]


def diagnose(facts: Facts) -> list[Finding]:
    """Every check, in the order in which one would mend things."""
    return [
        reachable(facts),
        *(check(facts.redis) for check in redis.CHECKS if facts.redis),
        *(check(facts.joined) for check in joined.CHECKS if facts.joined),
        *(check(facts.door) for check in host.DOOR_CHECKS),
        *(check(facts.host) for check in host.HOST_CHECKS),
        *(check(facts.machine) for check in machine.CHECKS if facts.machine),
        *(of_cards(facts.cards) if facts.cards else ()),
        *(check(facts.simulated) for check in simulated.CHECKS if facts.simulated),
        *(of_engine(facts.engine) if facts.engine else ()),
        *(check(facts.fleet) for check in fleet.CHECKS if facts.fleet),
    ]


def of_cards(facts: CardsFacts) -> list[Finding]:
    """A machine without cards is asked no more than whether it should have some."""
    return [
        *(check(facts) for check in cards.AMD_CHECKS if facts.amd),
        cards.cards(facts),
        *(check(facts) for check in cardstate.CARD_CHECKS if facts.cards),
    ]


def of_engine(facts: EngineFacts) -> list[Finding]:
    """The container comes first: nothing else of it can be right before. What was said there is not said twice."""
    boxed = facts.container
    found = [check(boxed) for check in container.CHECKS if boxed]
    told = {(finding.found, finding.advice) for finding in found}
    return found + [more for check in engine.CHECKS if ((more := check(facts)).found, more.advice) not in told]


def reachable(facts: Facts) -> Finding:
    """Whether Redis answers."""
    if facts.redis is None:
        return fail("Redis", facts.redis_error)
    return ok("Redis", "answers")


def failed(findings: Sequence[Finding]) -> bool:
    """Whether anything has to be mended."""
    return any(finding.verdict is Verdict.FAIL for finding in findings)
