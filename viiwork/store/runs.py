"""The last analyses of a model that ended, by which the next one can be reckoned. They go with their results."""

from __future__ import annotations

from viiwork.runs import Run
from viiwork.store.connection import Connection
from viiwork.store.records import Hash

NEEDED = ("calls", "prompt_tokens", "output_tokens", "ran_from_ms", "ran_to_ms", "finished_ms")


async def last_runs(store: Connection, model: str) -> tuple[Run, ...]:
    """Up to 20 of them, the last one first."""
    (noted,) = await store.read([("LRANGE", f"{store.prefix}runs:{model}", "0", "-1")])
    pairs = [line.split(" ") for line in noted]
    records = await store.read(("HGETALL", f"{store.prefix}batch:{batch}") for batch, _ in pairs)
    found = (run_of(as_hash(record), int(slots)) for record, (_, slots) in zip(records, pairs, strict=True))
    return tuple(run for run in found if run is not None)


def run_of(record: Hash, slots: int) -> Run | None:
    """The run in a batch's record; None where that is gone, or has no figures. Pure."""
    if not all(record.get(name) for name in NEEDED):
        return None
    calls, prompt, output, began_ms, ended_ms, finished_ms = (int(record[name]) for name in NEEDED)
    whole = record.get("energy_mj") and not int(record.get("energy_unknown") or 0)
    return Run(
        task=record.get("task", ""),
        model=record["model"],
        finished_ms=finished_ms,
        calls=calls,
        prompt_tokens=prompt,
        output_tokens=output,
        seconds=max(0, ended_ms - began_ms) / 1000,
        slots=slots,
        energy_j=int(record["energy_mj"]) / 1000 if whole else None,
        energy_simulated=record.get("energy_simulated") == "1" or None,
    )


def as_hash(reply: object) -> Hash:
    """HGETALL's reply: a dict, or a flat list when it comes out of a pipeline."""
    if isinstance(reply, dict):
        return reply
    flat = list(reply) if isinstance(reply, list | tuple) else []
    return dict(zip(flat[::2], flat[1::2], strict=True))
