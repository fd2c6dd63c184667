"""Each check of `viiwork doctor` on its own: when it is content, and when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from viiwork.doctor import (
    DoorFacts,
    Facts,
    Finding,
    FleetFacts,
    HostFacts,
    RedisFacts,
    Verdict,
    diagnose,
    failed,
    fleet,
    host,
    redis,
)
from viiwork.doctor.finding import GIB
from viiwork.errors import Busy, Full
from viiwork.fleet.examine import held_back
from viiwork.roster import WorkerCard
from viiwork.store.server_facts import facts_of, has_password, reach_of, skew

REDIS = RedisFacts(
    kind="Valkey",
    version="9.1.0",
    speaks=(7, 2),
    cluster=False,
    replica=False,
    replicas=0,
    sentinel=False,
    min_replicas=0,
    aof=True,
    fsync="everysec",
    eviction="noeviction",
    limit_bytes=GIB,
    used_bytes=GIB // 10,
    aof_write_ok=True,
    aof_rewrite_ok=True,
    snapshot_ok=True,
    skew_s=0.01,
)
DOOR = DoorFacts(redis="unix", redis_password=True, redis_tls=False, api_host="127.0.0.1", api_loopback=True)
HOST = HostFacts(
    state_dir="/state",
    exists=True,
    mode=0o700,
    owned=True,
    free_bytes=100 * GIB,
    disk_bytes=200 * GIB,
    min_free_bytes=GIB,
    blob_error="",
    blob_fs="ext4",
    blobs_belong=True,
    runs_redis=True,
    huge_pages="madvise",
    overcommit=1,
)
FLEET = FleetFacts(
    workers={"llama": 2},
    held_back={},
    to_mend=(),
    unexplained=False,
    readers=1,
    waiting={"llama": 4},
    dead=0,
    closing=False,
    refusal=None,
    schema=1,
    schemas=frozenset({1}),
    versions="viiwork 0.1.0",
)
HEALTHY = Facts(door=DOOR, host=HOST, redis=REDIS, redis_error="", fleet=FLEET)
OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


def test_a_healthy_fleet_has_no_findings() -> None:
    """Everything is ok, and nothing is advised."""
    findings = diagnose(HEALTHY)
    assert [finding for finding in findings if finding.verdict is not OK or finding.advice] == []
    assert len({finding.check for finding in findings}) == len(findings)
    assert not failed(findings)


def test_without_redis_the_rest_is_checked_all_the_same() -> None:
    """And the reason is shown."""
    findings = diagnose(replace(HEALTHY, redis=None, redis_error="It sleeps.", fleet=None))
    assert findings[0] == Finding("Redis", FAIL, "It sleeps.")
    assert "Disk" in {finding.check for finding in findings}
    assert failed(findings)


@pytest.mark.parametrize(
    ("check", "facts", "verdict", "words"),
    [
        (redis.version, {"speaks": (6, 2), "version": "6.2.1"}, FAIL, "6.2.1 is too old"),
        (redis.version, {"cluster": True}, FAIL, "Cluster"),
        (redis.role, {"replica": True}, FAIL, "replica"),
        (redis.role, {"replicas": 2}, WARN, "failover may lose"),
        (redis.role, {"sentinel": True}, WARN, "min-replicas-to-write"),
        (redis.role, {"replicas": 2, "min_replicas": 1}, OK, "master"),
        (redis.append_only, {"aof": False}, FAIL, "appendonly yes"),
        (redis.synced, {"fsync": "no"}, WARN, "power cut"),
        (redis.synced, {"fsync": "always"}, OK, "always"),
        (redis.synced, {"fsync": None}, WARN, "does not tell"),
        (redis.synced, {"aof": False}, WARN, "append-only"),
        (redis.confirmed, {"speaks": (7, 0)}, WARN, "WAITAOF"),
        (redis.confirmed, {"aof": False}, WARN, "append-only"),
        (redis.persisting, {"aof_write_ok": False}, FAIL, "append-only file"),
        (redis.persisting, {"aof_rewrite_ok": False}, FAIL, "rewrite"),
        (redis.persisting, {"snapshot_ok": False}, FAIL, "snapshot"),
        (redis.eviction, {"eviction": "allkeys-lru"}, FAIL, "allkeys-lru"),
        (redis.memory, {"limit_bytes": 0}, WARN, "no limit"),
        (redis.memory, {"used_bytes": int(0.81 * GIB)}, WARN, "81% of 1.0 GiB"),
        (redis.memory, {"used_bytes": int(0.96 * GIB)}, FAIL, "refused"),
        (redis.clock, {"skew_s": 3.5}, WARN, "3.5 s ahead"),
        (redis.clock, {"skew_s": -3.5}, WARN, "3.5 s behind"),
    ],
)
def test_checks_of_redis(check: Any, facts: dict[str, Any], verdict: Verdict, words: str) -> None:
    """From a healthy server with one thing changed."""
    assert check(REDIS).verdict is OK
    judged(check(replace(REDIS, **facts)), verdict, words)


@pytest.mark.parametrize(
    ("check", "facts", "verdict", "words"),
    [
        (host.redis_door, {"redis": "network", "redis_password": False}, FAIL, "without a password"),
        (host.redis_door, {"redis": "network"}, WARN, "clear text"),
        (host.redis_door, {"redis": "network", "redis_tls": True}, OK, "TLS"),
        (host.redis_door, {"redis": "loopback", "redis_password": False}, OK, "loopback"),
        (host.api_door, {"api_host": "0.0.0.0", "api_loopback": False}, FAIL, "0.0.0.0 without keys"),
        (host.api_door, {"api_host": "0.0.0.0", "api_loopback": False, "api_keys": True}, WARN, "in clear text"),
        (host.api_door, {"api_keys": True, "any_key": True}, OK, "with keys"),
        (host.api_door, {"api_keys": True, "any_key": False}, FAIL, "there is none"),
    ],
)
def test_checks_of_the_doors(check: Any, facts: dict[str, Any], verdict: Verdict, words: str) -> None:
    """Who can get in."""
    assert check(DOOR).verdict is OK
    judged(check(replace(DOOR, **facts)), verdict, words)


@pytest.mark.parametrize(
    ("check", "facts", "verdict", "words"),
    [
        (host.state_dir, {"exists": False}, WARN, "viiwork up"),
        (host.state_dir, {"owned": False}, FAIL, "another user"),
        (host.state_dir, {"mode": 0o755}, FAIL, "chmod 700 /state"),
        (host.disk, {"free_bytes": 4 * GIB}, WARN, "4.0 GiB free"),
        (host.disk, {"free_bytes": 100 * 1024**2}, FAIL, "100 MiB free"),
        (host.disk, {"free_bytes": 100 * GIB, "disk_bytes": 10_000 * GIB}, FAIL, "1%"),
        (host.disk, {"min_free_bytes": 101 * GIB}, FAIL, "100.0 GiB free (50%): no new work is taken below 101.0 GiB"),
        (host.disk, {"min_free_bytes": 101 * GIB}, FAIL, "api.min_free_bytes"),
        (host.blobs, {"blob_error": "Permission denied"}, FAIL, "Permission denied"),
        (host.blobs, {"blob_fs": "tmpfs"}, FAIL, "tmpfs"),
        (host.blobs, {"blob_fs": "nfs4"}, WARN, "nfs4"),
        (host.blobs, {"blobs_belong": False}, FAIL, "another Redis"),
        (host.blobs, {"blobs_belong": None}, OK, "ext4"),
        (host.kernel, {"huge_pages": "always"}, WARN, "huge pages"),
        (host.kernel, {"overcommit": 0}, WARN, "vm.overcommit_memory=1"),
        (host.kernel, {"overcommit": 0, "huge_pages": "always", "runs_redis": False}, OK, "elsewhere"),
    ],
)
def test_checks_of_the_host(check: Any, facts: dict[str, Any], verdict: Verdict, words: str) -> None:
    """Where things lie."""
    assert check(HOST).verdict is OK
    judged(check(replace(HOST, **facts)), verdict, words)


@pytest.mark.parametrize(
    ("check", "facts", "verdict", "words"),
    [
        (fleet.workers, {"workers": {}}, WARN, "no engine worker"),
        (fleet.workers, {"waiting": {"mistral": 2}}, FAIL, "mistral"),
        (fleet.workers, {"readers": 0}, WARN, "documents wait"),
        (
            fleet.workers,
            {"held_back": {"gpu0@box": "0 of 2 slots: it rests"}, "unexplained": True},
            WARN,
            "gpu0@box: 0 of 2 slots: it rests",
        ),
        (fleet.workers, {"held_back": {"cpu0": "away"}, "to_mend": ("Start it.",)}, WARN, "cpu0: away Start it."),
        (fleet.workers, {"held_back": {"cpu0": "away"}, "unexplained": True}, WARN, "cpu0: away See their logs."),
        (fleet.taking_work, {"closing": True}, WARN, "shutting down"),
        (fleet.taking_work, {"refusal": Full("No room.", hint="Make some.")}, FAIL, "refused: No room. Make some."),
        (fleet.taking_work, {"refusal": Busy("Too much.", hint="Wait.")}, WARN, "refused: Too much. Wait."),
        (fleet.dead_letters, {"dead": 3}, WARN, "3 given up"),
        (fleet.versions, {"schemas": frozenset({1, 2})}, WARN, "schema 2, not 1"),
    ],
)
def test_checks_of_the_fleet(check: Any, facts: dict[str, Any], verdict: Verdict, words: str) -> None:
    """Who is up, what waits."""
    assert check(FLEET).verdict is OK
    judged(check(replace(FLEET, **facts)), verdict, words)


def test_a_card_that_is_held_back_says_why() -> None:
    """By its engine or by the fleet; one that takes less because much is to do is not held back."""
    card = WorkerCard(name="gpu0@box", incarnation="i", host="box", pid=1, engine="e", model="llama", slots=2, limit=0)
    restarting = card.model_copy(update={"engine_state": "restarting (7 deaths)"})
    assert held_back(restarting, quarantined=False) == "0 of 2 slots: its engine is restarting (7 deaths)"
    assert held_back(card, quarantined=True) == "0 of 2 slots: it is quarantined"
    for state in ("", "ready"):
        assert held_back(card.model_copy(update={"limit": 1, "engine_state": state}), quarantined=False) == ""


def judged(finding: Finding, verdict: Verdict, words: str) -> None:
    assert finding.verdict is verdict
    assert words in f"{finding.found} {finding.advice}"
    assert finding.advice or verdict is OK


@pytest.mark.parametrize(
    ("url", "reach", "password"),
    [
        ("unix://:secret@/run/redis.sock?db=0", "unix", True),
        ("unix:///run/redis.sock?password=secret", "unix", True),
        ("redis://127.0.0.1:6379/0", "loopback", False),
        ("redis://localhost", "loopback", False),
        ("redis://[::1]:6379", "loopback", False),
        ("rediss://user:secret@redis.example:6380/1", "network", True),
        ("redis://10.0.0.7", "network", False),
        ("sentinel://127.0.0.1:26379,10.0.0.7/main", "network", False),
        ("sentinel://:secret@127.0.0.1/main", "loopback", True),
    ],
)
def test_where_a_url_leads(url: str, reach: str, *, password: bool) -> None:
    """A socket, this computer, or the network; with a password or without."""
    assert reach_of(url) == reach
    assert has_password(url) is password


def test_a_server_that_tells_little_is_not_taken_for_a_broken_one() -> None:
    """As under an ACL without CONFIG, or from a service that leaves half of INFO out."""
    facts = facts_of({"redis_version": "7.2.4", "aof_enabled": 1}, {}, skew_s=0.0, sentinel=False)
    verdicts = {check(facts).verdict for check in redis.CHECKS}
    assert FAIL not in verdicts


def test_a_clock_is_off_by_what_no_slow_answer_explains() -> None:
    assert [skew(server_s, 100.0, 107.0) for server_s in (100.0, 103.5, 107.0)] == [0.0, 0.0, 0.0]
    assert (skew(97.0, 100.0, 107.0), skew(110.5, 100.0, 107.0)) == (-3.0, 3.5)
