"""The facts that a diagnosis goes by. They are gathered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from viiwork.doctor.cardfacts import CardsFacts
from viiwork.doctor.container import ContainerFacts
from viiwork.doctor.joined import JoinedFacts
from viiwork.doctor.machine import MachineFacts
from viiwork.doctor.simulated import SimulatedFacts
from viiwork.errors import ViiworkError


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What the server says of itself; None where it does not tell."""

    kind: str
    version: str
    speaks: tuple[int, int]
    """The version of Redis that it behaves like."""
    cluster: bool
    replica: bool
    replicas: int
    sentinel: bool
    min_replicas: int | None
    aof: bool
    fsync: str | None
    eviction: str
    limit_bytes: int
    """0 means none."""
    used_bytes: int
    aof_write_ok: bool
    aof_rewrite_ok: bool
    snapshot_ok: bool
    skew_s: float
    """Its clock less this host's."""

    @property
    def waits_for_aof(self) -> bool:
        """True where `WAITAOF` can confirm that a write is on disk."""
        return self.speaks >= (7, 2)


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """Who can reach what, as the settings have it."""

    redis: str
    """`unix`, `loopback` or `network`."""
    redis_password: bool
    redis_tls: bool
    api_host: str
    api_loopback: bool
    api_keys: bool = False
    """Whether it asks for keys."""
    any_key: bool | None = None
    """Whether there is any; None where Redis does not tell."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The state directory, and the kernel's habits; empty or None where they cannot be told."""

    state_dir: str
    exists: bool
    mode: int
    owned: bool
    free_bytes: int
    disk_bytes: int
    min_free_bytes: int
    """With less than this no new work is taken."""
    blob_error: str
    """Why nothing can be written there."""
    blob_fs: str
    blobs_belong: bool | None
    """Whether blob directory and Redis know each other; None before they have met."""
    runs_redis: bool
    huge_pages: str
    overcommit: int | None


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine workers are to hold, as the settings have it."""

    title: str
    alias: str
    error: ViiworkError | None = None
    """Why it could not be started."""
    cards_wanted: int = 0
    needs_bytes: int = 0
    """Of this host's RAM, all engines together; 0 where their memory is the cards'."""
    available_bytes: int = 0
    running: str = ""
    """The engine of the fleet that runs here, where flags of `up` named another; empty where it is the same."""
    container: ContainerFacts | None = None
    """What it runs in, if it is no process of this host's own."""


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """Who works, what waits, and what was given up."""

    workers: Mapping[str, int]
    """Engine workers by model."""
    held_back: Mapping[str, str]
    """Why an engine worker takes no work just now, by its name."""
    to_mend: tuple[str, ...]
    """What a person can do about those who wait for something outside the fleet."""
    unexplained: bool
    """Whether others of them are held back too."""
    readers: int
    waiting: Mapping[str, int]
    """Jobs that wait, by model."""
    dead: int
    closing: bool
    refusal: ViiworkError | None
    """What a submit would be refused with for want of room."""
    schema: int
    schemas: frozenset[int]
    """Versions of the records that the workers speak."""
    versions: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All there is to judge; a part is None where nobody answered."""

    door: DoorFacts
    host: HostFacts
    redis: RedisFacts | None
    redis_error: str
    fleet: FleetFacts | None
    engine: EngineFacts | None = None
    cards: CardsFacts | None = None
    simulated: SimulatedFacts | None = None
    """None where the fleet goes by none."""
    machine: MachineFacts | None = None
    joined: JoinedFacts | None = None
    """Of a computer whose fleet has its head elsewhere, once Redis answered."""
