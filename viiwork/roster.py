"""Who works in the fleet: what each worker tells of itself, and what its beats say."""

from __future__ import annotations

from pydantic import Field

from viiwork.expense import Cost
from viiwork.hosts import Drained, HostCards
from viiwork.jobs import Lane
from viiwork.wire import Wire

GIVEN_UP = "failed: "
"""What the state of an engine that was given up starts with; the reason follows."""
AWAITS_TURN = "waiting to load"
"""The state of an engine whose turn to load has not come, or whose cards' power caps do not hold yet."""
AWAITS_AGAIN = "waiting to load again"
"""The state of an engine that served and fell, whose guard waits for its turn to start it anew."""
NO_WATTS = "not started"
"""What the state of an engine starts with that the power budget has no room for; why follows."""
AWAITS_SERVER = "waiting for its server"
"""What the state of an engine starts with that is a server somebody else runs, and does not answer; why follows."""
AWAITS_MODEL = "waiting for its model"
"""What the state of an engine starts with that is such a server, answers, and serves other models; why follows."""
AWAITS_CARD = "waiting for its card"
"""What the state of an engine starts with whose card is off the bus or in reset; how that is follows."""


class CardStatus(Wire):
    """One of the graphics cards below a worker, as it was at the worker's last look. What is not known is None."""

    name: str
    """What is printed on the box: `Radeon VII`."""
    id: str = ""
    """Its UUID, else its PCI address."""
    number: int = -1
    """2 for the card of `gpu2`; the number of a card may change when one before it comes or goes."""
    state: str = "ok"
    """`ok`, `resetting`, `gone`."""
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None
    temperature_c: float | None = None
    """Of the sensor that is hottest against its own limit."""
    sensor: str = ""
    """Which one that is: `junction`, `mem`."""
    critical_c: float | None = None
    """That sensor's limit, where the card tells it."""
    power_w: float | None = None
    cap_w: float | None = None
    core_mhz: int | None = None
    memory_mhz: int | None = None


class HostWatts(Wire):
    """What a host draws at the wall, and what it may, as its power room told last."""

    wall_w: float
    """Reckoned from what its cards draw."""
    host_watts: float | None = None
    """None: no budget."""
    entry: str = ""
    """The hours of the schedule's entry that holds, `22:00-07:00`; empty while none does."""
    until: str = ""
    """When something else will hold, as `2026-11-22T07:00+01:00`; empty: never."""
    why: str = ""
    """What had to be taken away; empty while nothing had."""


class WorkerCard(Wire):
    """What a worker tells when it joins."""

    name: str
    """`gpu0@host`, `cpu0@host`, `reader0@host`."""
    incarnation: str
    """One life of that worker: a new one after every start. Leases belong to it."""
    host: str
    pid: int
    engine: str
    """The engine's kind as people see it, such as `simulated Radeon VII`; `reader` for the CPU lane."""
    model: str
    """The served alias; `read` for the CPU lane."""
    slots: int
    context_tokens: int = 0
    tokenizer: str = ""
    """A name or a path on its machine; empty where the worker has not the model's own."""
    stand_in: bool = False
    """The tokenizer is another one than the model's own, which is not on the machine that counts."""
    notice: str = ""
    revision: str = ""
    """The model's: a hub's commit, or a digest of its files (`files-…`)."""
    quantization: str = ""
    """How the model's weights are stored: `awq int4, groups of 128`, `Q4_K_M`, `bfloat16`."""
    engine_version: str = ""
    """As its engine says."""
    cannot: tuple[str, ...] = ()
    """Kinds of work that its engine is known not to do (`viiwork.abilities`); it may not do others either."""
    limit: int | None = None
    """How many jobs it holds at most just now, 0 to `slots`; None from a worker that does not say."""
    engine_state: str = ""
    """`ready`, `restarting (3 deaths)`; empty for an engine that lives and dies with its worker."""
    engine_restarts: int = 0
    engine_pid: int = 0
    """Of an engine that is a process of its own, while it runs."""
    output_tokens: int = 0
    """What its engine has generated since it was started, where it says so."""
    counted_ms: int = 0
    """How old that count was when it was told, in milliseconds."""
    tokens_per_s: float | None = None
    """That, over the last ten seconds; None where its engine does not say."""
    kv_use: float | None = None
    """How full its engine's cache of keys and values is, 0 to 1; None where its engine does not say."""
    throttle: str = ""
    """Why it holds fewer slots than it has: heat, watts, or no way to the documents. Empty while nothing does."""
    closed: tuple[Lane, ...] = ()
    """Lanes from which it takes nothing for now: somebody paused them on this worker, or a schedule did."""
    opens: dict[Lane, str] = Field(default_factory=dict)
    """When the schedule opens those that it has closed, as `2026-11-22T07:00+01:00`; empty: never."""
    power: HostWatts | None = None
    """Of its host; None where watts are not dealt out."""
    cards: tuple[CardStatus, ...] = ()
    """The graphics cards that it sits on, where the fleet was told of cards."""
    schema_version: int = 1
    """What it speaks; a worker that does not say so speaks the first."""


class WorkerStatus(Wire):
    """A worker as its last beat showed it."""

    card: WorkerCard
    in_flight: dict[Lane, int] = Field(default_factory=dict)
    beat_age_ms: int = 0
    quarantine: str = ""
    """Why it may take no jobs until a person lifts that; empty while it may."""
    hold: str = ""
    """Why it takes fewer jobs than it could, or none, for a while; empty while nobody holds it."""


class QueueDepth(Wire):
    """How much stands before the workers of one model in one lane."""

    model: str
    lane: Lane
    waiting: int = 0
    """In the backlog: not yet released."""
    queued: int = 0
    """Released: a hint lies in the ready queue."""
    running: int = 0
    suspects: int = 0
    """Of all these, those that were in an engine or worker that died: each worker runs one such at a time."""
    oldest_s: float = 0.0
    """For how long the oldest of those that wait for a worker has waited, where that was asked for."""


class TenantLoad(Wire):
    """What one submitter has in the fleet."""

    tenant: str
    unfinished: int
    """Jobs that have not ended: waiting, ready or running."""
    energy_j: float | None = None
    """What the cards used for its jobs since the fleet's beginning, as far as it was measured."""
    energy_unknown_jobs: int = 0
    energy_simulated: bool | None = None
    """True where cards of the fleet are simulated ones."""
    cost: Cost | None = None


class FleetEnergy(Wire):
    """What the cards used since the fleet's beginning, as far as it was measured; None where nothing was."""

    energy_j: float | None = None
    """The sum of the next three."""
    jobs_j: float | None = None
    """Charged to jobs."""
    idle_j: float | None = None
    """While no job was in flight on the worker's cards."""
    lost_j: float | None = None
    """Of attempts that were no longer their worker's when they ended: cancelled, expired, or taken over by another."""
    unmeasured_s: float = 0.0
    """For how long cards were there whose power nobody told, added up over the cards. Not a part of the joules."""
    energy_unknown_jobs: int = 0
    """Jobs of which some attempt was not measured, or not to its end."""
    energy_simulated: bool | None = None
    """True where cards of the fleet are, or were, simulated ones."""
    cost: Cost | None = None
    """Of `energy_j`."""


class Making(Wire):
    """How an installation makes answers of documents: whatever may give others from the same file."""

    version: str = ""
    """Of VIIWork."""
    reader: str = ""
    chunker: str = ""
    """Of what cuts documents to parts."""
    words: dict[str, str] = Field(default_factory=dict)
    """Of each task a digest of what models are told for it in every analysis."""


BUSY_FROM = 0.80
"""Part of Redis' memory from which on no new work is taken; the rest is for what runs, its answers and their rows."""
FULL_FROM = 0.95


class Memory(Wire):
    """How much of its memory Redis uses; a limit of 0 is none."""

    used_bytes: int
    limit_bytes: int = 0

    @property
    def fraction(self) -> float:
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


class FleetStatus(Wire):
    """The fleet at one moment."""

    fleet: str
    workers: tuple[WorkerStatus, ...] = ()
    queues: tuple[QueueDepth, ...] = ()
    closing: bool = False
    """True while the fleet is shutting down and takes no new work."""
    dead: int = 0
    """How many dead letters wait for a person."""
    tenants: tuple[TenantLoad, ...] = ()
    """The ten submitters with the most unfinished jobs, then those whose jobs used most energy, where that was asked
    for; readers' jobs count too."""
    energy: FleetEnergy | None = None
    """Where that was asked for, and anybody has told of any."""
    notices: tuple[str, ...] = ()
    """What hours, watts and Redis' memory hold back, a sentence each, where that was asked for."""
    memory: Memory | None = None
    """Of Redis, where that was asked for and the server tells."""

    hosts: tuple[HostCards, ...] = ()
    """Each host's cards as its supervisor knows them, where that was asked for."""
    drained: tuple[Drained, ...] = ()
    """Cards that are left out until a person takes that back, likewise."""
    making: Making | None = None
    """Of the service's own installation, where that was asked for."""

    @property
    def models(self) -> tuple[str, ...]:
        """The aliases that somebody serves, readers left out."""
        from_cards = {worker.card.model for worker in self.workers if worker.card.engine != "reader"}
        return tuple(sorted(from_cards))


class Quarantined(Wire):
    """A worker that may take no jobs until a person lifts that."""

    worker: str
    why: str


class Quarantine(Wire):
    """Who is quarantined, by name; workers that are gone stay in it until they are back and a person lifts it."""

    workers: tuple[Quarantined, ...] = ()


class Lifted(Wire):
    """What came of lifting quarantines."""

    lifted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Those named that were not quarantined."""


class Held(Wire):
    """The lease by which workers take fewer jobs: how long it lasts unless it is renewed, and how many each has."""

    for_s: float = 0.0
    """0: it was given back."""
    at_most: dict[str, int] = Field(default_factory=dict)
