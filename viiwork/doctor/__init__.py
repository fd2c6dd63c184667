"""What may be wrong with a fleet: facts in, findings out. Pure: the facts are gathered elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.doctor import engine, fleet, host, redis
from viiwork.doctor.facts import DoorFacts, EngineFacts, Facts, FleetFacts, HostFacts, RedisFacts
from viiwork.doctor.finding import Finding, Verdict, fail, ok

__all__ = [
    "DoorFacts",
    "EngineFacts",
    "Facts",
    "Finding",
    "FleetFacts",
    "HostFacts",
    "RedisFacts",
    "Verdict",
    "diagnose",
    "failed",
]


def diagnose(facts: Facts) -> list[Finding]:
    """Every check, in the order in which one would mend things."""
    return [
        reachable(facts),
        *(check(facts.redis) for check in redis.CHECKS if facts.redis),
        *(check(facts.door) for check in host.DOOR_CHECKS),
        *(check(facts.host) for check in host.HOST_CHECKS),
        *(check(facts.engine) for check in engine.CHECKS if facts.engine),
        *(check(facts.fleet) for check in fleet.CHECKS if facts.fleet),
    ]


def reachable(facts: Facts) -> Finding:
    """Whether Redis answers."""
    if facts.redis is None:
        return fail("Redis", facts.redis_error)
    return ok("Redis", "answers")


def failed(findings: Sequence[Finding]) -> bool:
    """Whether anything has to be mended."""
    return any(finding.verdict is Verdict.FAIL for finding in findings)
