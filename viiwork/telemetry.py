"""The fleet as Prometheus sees it. Pure: a snapshot goes in, metric families come out.

Labels are bounded: lanes, the first 64 model aliases (then `other`), the names of the roster's workers and the numbers
of their cards. There is no tenant, no id and no text among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from viiwork.cardgauges import gauges
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, QueueDepth, WorkerStatus

MAX_MODELS = 64
MAX_WORKERS = 256
OTHER = "other"
ENERGY = ("jobs", "idle", "lost")
"""Charged to jobs, while none was in flight, and of attempts that were no longer their worker's when they ended."""
OUTCOMES = ("succeeded", "failed", "cancelled", "expired", "dead", "retried", "given_back", "crashed")
COUNTERS: Mapping[str, tuple[str, str]] = {
    "submitted": ("viiwork_jobs_submitted", "Jobs taken in."),
    "released": ("viiwork_jobs_released", "Jobs handed from the backlog to the ready queue."),
    "started": ("viiwork_jobs_started", "Attempts that a worker began."),
    "fenced": ("viiwork_commits_fenced", "Commits refused because the job was no longer the worker's own."),
    "reaped": ("viiwork_jobs_reaped", "Jobs taken back from workers that died or fell silent."),
    "republished": ("viiwork_hints_republished", "Hints published again because they had vanished."),
    "prompt_tokens": ("viiwork_prompt_tokens", "Prompt tokens of committed answers."),
    "output_tokens": ("viiwork_output_tokens", "Output tokens of committed answers."),
}
"""What the store counts, by its own names; outcomes are one family of their own."""
STATES = ("ready", "loading", "restarting", "quarantined", "silent")
"""`loading` is a start without an end before it; `restarting` is everything else that an engine says of itself but
`ready`; `silent` is a worker whose lease is over."""
LOADING = ("starting", "loading", "checking")

Labels = tuple[str, ...]
Samples = Iterable[tuple[Labels, float]]
Shorten = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at one moment; without `fleet` Redis did not answer."""

    version: str
    scrape_s: float
    listeners: int = 0
    fleet: FleetStatus | None = None
    lease_ttl_s: float = 0.0
    oldest_s: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    energy: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Millijoules of the workers' cards by kind and worker, `unmeasured` milliseconds, `unknown` jobs."""
    callbacks: Mapping[str, int] = field(default_factory=dict)
    """How many there are, by state."""
    memory_used_bytes: int = 0
    memory_limit_bytes: int = 0


class Once(Collector):
    """One snapshot's families, as prometheus_client's encoders want them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        return families(self._snapshot)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every metric of a snapshot; what Redis alone knows is left out while it is away."""
    yield gauge("viiwork_up", "Whether Redis answers.", [((), snapshot.fleet is not None)])
    yield gauge("viiwork_build_info", "The version that serves this page.", [((snapshot.version,), 1)], ("version",))
    yield gauge("viiwork_scrape_duration_seconds", "What making this page took.", [((), snapshot.scrape_s)])
    yield gauge("viiwork_event_listeners", "Streams and long polls open at this API.", [((), snapshot.listeners)])
    if snapshot.fleet is None:
        return
    yield gauge("viiwork_closing", "Whether the fleet takes no new work.", [((), snapshot.fleet.closing)])
    yield gauge("viiwork_dead_letters", "Dead jobs that wait for a person.", [((), snapshot.fleet.dead)])
    told = [((state,), count) for state, count in snapshot.callbacks.items()]
    yield gauge("viiwork_callbacks", "Callbacks that can be listed, by state.", told, ("state",))
    used, limit = snapshot.memory_used_bytes, snapshot.memory_limit_bytes
    yield gauge("viiwork_redis_memory_used_bytes", "Memory that Redis uses.", [((), used)])
    yield gauge("viiwork_redis_memory_limit_bytes", "Memory that Redis may use; 0 is no limit.", [((), limit)])
    queues = known_queues(snapshot.fleet)
    short = bounded(queue.partition(".")[2] for queue in queues)
    workers = newest(snapshot.fleet.workers)
    crews = [((short(queue.partition(".")[2]),), 0) for queue in queues]
    crews += [((short(at.card.model),), state_of(at, snapshot) == "ready") for at in workers]
    yield gauge("viiwork_workers", "Workers that are ready, by the model they serve.", crews, ("model",))
    yield from of_workers(workers, snapshot, short)
    yield from of_queues(queues, snapshot.fleet.queues, snapshot, short)
    yield from of_energy(snapshot)


def of_workers(workers: Sequence[WorkerStatus], snapshot: Snapshot, short: Shorten) -> Iterator[Metric]:
    """What each worker of the roster does."""
    name = ("worker",)
    state = {worker.card.name: state_of(worker, snapshot) for worker in workers}
    up = [((at.card.name,), state[at.card.name] != "silent") for at in workers]
    yield gauge("viiwork_worker_up", "Whether its last beat is younger than a lease.", up, name)
    info = [((at.card.name, short(at.card.model), at.card.engine), 1) for at in workers]
    yield gauge("viiwork_worker_info", "Which model and engine it serves.", info, ("worker", "model", "engine"))
    ages = [((at.card.name,), at.beat_age_ms / 1000) for at in workers]
    yield gauge("viiwork_worker_beat_age_seconds", "The age of its last beat.", ages, name)
    states = [((at.card.name, each), state[at.card.name] == each) for at in workers for each in STATES]
    yield gauge("viiwork_engine_state", f"1 for the state it is in: {', '.join(STATES)}.", states, ("worker", "state"))
    slots = [((at.card.name,), at.card.slots) for at in workers]
    yield gauge("viiwork_worker_slots", "How many jobs its engine takes at a time.", slots, name)
    limits = [((at.card.name,), at.card.slots if at.card.limit is None else at.card.limit) for at in workers]
    yield gauge("viiwork_worker_limit", "How many of its slots it may fill just now.", limits, name)
    deaths = [((at.card.name,), at.card.engine_restarts) for at in workers]
    yield counter("viiwork_engine_restarts", "Engines started again since this worker's start.", deaths, name)
    held = [((at.card.name, lane.value), at.in_flight.get(lane, 0)) for at in workers for lane in Lane]
    yield gauge("viiwork_jobs_in_flight", "Jobs in its hands.", held, ("worker", "lane"))
    for each in gauges(workers):
        yield gauge(each.name, each.text, each.samples, each.labels)


def of_queues(
    queues: Sequence[str], depths: Iterable[QueueDepth], snapshot: Snapshot, short: Shorten
) -> Iterator[Metric]:
    """What stands before the workers of each model, and what has come of it so far."""

    def label(queue: str) -> Labels:
        lane, _, model = queue.partition(".")
        return lane, short(model)

    by_queue = ("lane", "model")
    depth: list[tuple[Labels, float]] = [
        ((at.lane.value, short(at.model), state), getattr(at, state))
        for at in depths
        for state in ("waiting", "queued", "running")
    ]
    yield gauge("viiwork_jobs", "Jobs that have not ended.", depth, ("lane", "model", "state"))
    ages = [(label(queue), snapshot.oldest_s.get(queue, 0.0)) for queue in queues]
    text = "For how long the oldest job that could start has waited."
    yield gauge("viiwork_oldest_job_age_seconds", text, ages, by_queue, merge=max)
    for name, (metric, text) in COUNTERS.items():
        counts = snapshot.counts.get(name, {})
        yield counter(metric, text, [(label(queue), counts.get(queue, 0)) for queue in queues], by_queue)
    outcomes = [
        ((*label(queue), outcome), snapshot.counts.get(outcome, {}).get(queue, 0))
        for queue in queues
        for outcome in OUTCOMES
    ]
    yield counter("viiwork_attempts", "How attempts and jobs ended.", outcomes, (*by_queue, "outcome"))


def of_energy(snapshot: Snapshot) -> Iterator[Metric]:
    """What the cards used since the fleet's beginning; also those of workers that are gone, or the sums would fall."""
    sums = snapshot.energy
    short = bounded({worker for of in sums.values() for worker in of}, limit=MAX_WORKERS)
    used = [((short(worker), kind), mj / 1000) for kind in ENERGY for worker, mj in sums.get(kind, {}).items()]
    text = f"What the cards used, as far as it was measured: {', '.join(ENERGY)}."
    yield counter("viiwork_energy_joules", text, used, ("worker", "kind"))
    for name, kind, scale, text in (
        ("viiwork_energy_unmeasured_seconds", "unmeasured", 1000, "Card-seconds whose power nobody told."),
        ("viiwork_energy_unknown_jobs", "unknown", 1, "Jobs of which some attempt was not measured to its end."),
    ):
        yield counter(name, text, [((short(at),), n / scale) for at, n in sums.get(kind, {}).items()], ("worker",))


def known_queues(fleet: FleetStatus) -> list[str]:
    """Both lanes of every model that has had a job or has a worker: a counter must be 0 before it is 1."""
    models = {queue.model for queue in fleet.queues} | {worker.card.model for worker in fleet.workers}
    return sorted(f"{lane.value}.{model}" for model in models for lane in Lane)


def newest(workers: Iterable[WorkerStatus]) -> list[WorkerStatus]:
    """One status a name: a worker that has started again stands beside its dead self until that is reaped."""
    found: dict[str, WorkerStatus] = {}
    for worker in workers:
        known = found.get(worker.card.name)
        if known is None or worker.beat_age_ms < known.beat_age_ms:
            found[worker.card.name] = worker
    return list(found.values())


def state_of(worker: WorkerStatus, snapshot: Snapshot) -> str:
    """The one of STATES that a worker is in."""
    if worker.beat_age_ms > snapshot.lease_ttl_s * 1000:
        return "silent"
    if worker.quarantine:
        return "quarantined"
    said = worker.card.engine_state
    if said in ("", "ready"):
        return "ready"
    return "loading" if said.startswith(LOADING) and not worker.card.engine_restarts else "restarting"


def bounded(models: Iterable[str], *, limit: int = MAX_MODELS) -> Shorten:
    """A function that names a model, or says `other` beyond the limit; the same ones from scrape to scrape."""
    named = frozenset(sorted(set(models))[:limit])
    return lambda model: model if model in named else OTHER


def gauge(
    name: str, text: str, samples: Samples, labels: Sequence[str] = (), *, merge: Callable[..., float] = sum
) -> GaugeMetricFamily:
    """A gauge; samples that come to the same labels are merged."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in merged(samples, merge).items():
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, samples: Samples, labels: Sequence[str]) -> CounterMetricFamily:
    """A counter; `_total` is added to its name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in merged(samples, sum).items():
        family.add_metric(values, value)
    return family


def merged(samples: Samples, merge: Callable[..., float]) -> dict[Labels, float]:
    """One value a set of labels."""
    found: dict[Labels, list[float]] = {}
    for labels, value in samples:
        found.setdefault(labels, []).append(value)
    return {labels: float(merge(values)) for labels, values in found.items()}
