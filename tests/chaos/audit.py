"""What a run must come to: each job ended once, every counter equal to a recount, nothing left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.hands import depths, keys, recount
from tests.workers import eventually
from viiwork.jobs import TERMINAL, BatchState, TaskName
from viiwork.store import Store
from viiwork.store.meters import by_tenant, by_worker

LEFT_BEHIND = (
    "inc:*:running",
    "inc:*:suspect",
    "released:*",
    "suspects*",
    "suspected:*",
    "batch:*:suspected",
    "delayed",
    "load",
)
"""Keys that are there only while jobs are under way."""
SOON_S = 20.0
"""How long a busy machine may take over what follows by itself. A bound, and no timing assertion."""
Record = tuple[str | None, str | None, str | None]
"""State, accepted commits, and the item's state."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The accounts of one run."""

    jobs: int
    states: Counter[str]
    lost: int
    """Acknowledged, and without a record or an end."""
    doubled: int
    """Committed more than once, counted more than once, or succeeded without a commit."""
    problems: tuple[str, ...]


async def audit(stage: Stage, load: Load) -> Audit:
    """Recount everything from the records themselves."""
    store = stage.store
    known = [*load.acknowledged, *await _jobs_of_others(store, load)]
    records = dict(zip(known, await _records(store, known), strict=True))
    rows = await _rows(store, load.batch)
    twice = len(rows) - len(set(rows))
    problems = await _batch(store, load, records, rows)
    problems += [
        *await _others(store, load),
        *await _counters(store),
        *await _energy(store),
        *await _left_behind(stage),
    ]
    return Audit(
        jobs=len(records),
        states=Counter(state or "gone" for state, _, _ in records.values()),
        lost=sum(state not in TERMINAL for state, _, _ in records.values()),
        doubled=twice + sum(_is_doubled(record) for record in records.values()),
        problems=tuple(problems),
    )


def _is_doubled(record: Record) -> bool:
    state, commits, _ = record
    return commits != "1" if state == "succeeded" else int(commits or 0) > 1


async def _records(store: Store, jobs: Sequence[str]) -> list[Record]:
    fields = ("state", "commits", "item_state")
    return [tuple(r) for r in await store.read([("HMGET", f"{store.prefix}job:{job}", *fields) for job in jobs])]


async def _rows(store: Store, batch: str) -> list[str]:
    (rows,) = await store.read([("LRANGE", f"{store.prefix}batch:{batch}:rows", "0", "-1")])
    return list(rows)


async def _batch(store: Store, load: Load, records: dict[str, Record], rows: Sequence[str]) -> list[str]:
    """The batch's counters against its records and its rows."""
    items = {job: record for job, record in records.items() if job.startswith(f"{load.batch}-")}
    ends = Counter(item_state for _, _, item_state in items.values())
    status = await store.batch(load.batch)
    counts, told = status.counts, (ends["succeeded"], ends["cancelled"])
    failed = len(items) - sum(told)
    problems = []
    if (counts.total, counts.succeeded, counts.cancelled, counts.failed) != (len(items), *told, failed):
        problems.append(f"the batch says {counts}, its records {dict(ends)}")
    if status.state is not BatchState.COMPLETED:
        problems.append(f"the batch is {status.state.value}")
    if set(rows) != set(items):
        problems.append(f"the batch has {len(rows)} rows for {len(items)} items")
    return problems


async def _jobs_of_others(store: Store, load: Load) -> list[str]:
    """The jobs of the other batches, as the store lists them."""
    commands = [("LRANGE", f"{store.prefix}batch:{id_}:jobs", "0", "-1") for id_ in load.others]
    return [job for jobs in await store.read(commands) for job in jobs] if commands else []


async def _others(store: Store, load: Load) -> list[str]:
    """Each item of another batch has one row, and succeeded."""
    problems = []
    for id_, items in load.others.items():
        counts, rows = (await store.batch(id_)).counts, await _rows(store, id_)
        if not len(rows) == len(set(rows)) == counts.total == counts.succeeded == items:
            problems.append(f"a batch of {items} has {len(rows)} rows and says {counts}")
    return problems


async def _counters(store: Store) -> list[str]:
    told, counted = await depths(store), await recount(store)
    return [f"the depth counters say {dict(told)}, the records {dict(counted)}"] if told != counted else []


async def _energy(store: Store) -> list[str]:
    """What the jobs used, and of how many nobody knows it: the same by record, by worker and by tenant."""
    fields = ("task", "energy_mj", "unmetered")
    records = await store.read([("HMGET", f"{store.prefix}{key}", *fields) for key in await keys(store, "job:*")])
    engines = [(int(mj or 0), int(flag or 0)) for task, mj, flag in records if task == TaskName.RUN]
    told = tuple(sum(part) for part in zip(*engines, strict=True)) or (0, 0)
    by = [await by_worker(store), await by_tenant(store)]
    sums = {tuple(sum(each.get(kind, {}).values()) for kind in ("jobs", "unknown")) for each in by}
    return [f"jobs used {told}, and their workers and tenants say {sums}"] if sums != {told} else []


async def _left_behind(stage: Stage) -> list[str]:
    """Every dead incarnation leaves the roster, and takes what it held out of the books."""
    store = stage.store

    async def living_only() -> bool:
        (told,) = await store.read([("ZRANGE", f"{store.prefix}incs", "0", "-1")])
        return set(told) == {await stage.incarnation(name) for name in stage.fleet.processes}

    try:
        await eventually(living_only, within_s=3 * stage.lease_ttl_s + SOON_S, what="only the living in the roster")
    except AssertionError:
        return [f"the roster has {await keys(store, 'inc:*')}"]
    left: list[str] = []

    async def nothing() -> bool:
        left[:] = [key for pattern in LEFT_BEHIND for key in await keys(store, pattern)]
        left.extend(f"the file {path.name}" for path in stage.scraps.iterdir())
        return not left

    try:
        await eventually(nothing, within_s=SOON_S, what="nothing left behind")
    except AssertionError:
        return [f"left behind: {', '.join(left)}"]
    return []
