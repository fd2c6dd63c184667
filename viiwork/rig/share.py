"""What of a run may leave the house: figures and kinds, chosen field by field, so that nothing else ever comes along.

No names of workers, hosts, users or models, no paths and no keys; the model is named only as its owner says.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from viiwork.rig.outcome import CardKind, Outcome, Step, Waits
from viiwork.rig.price import Price, Terms
from viiwork.rig.spread import Spread

FORMAT = "viiwork bench, 1"
ENGINES = frozenset(
    {
        "simulated Radeon VII",
        "extractive preview",
        "no-op",
        "llama.cpp",
        "MLC-LLM",
        "Text Generation Inference",
        "vLLM",
        "vLLM (CPU)",
        "vLLM (gfx906)",
    }
)
"""Engines that came with this project. The title of one's own recipe may say more than it should."""
PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .()/+-]{0,63}")
"""What a card's name looks like."""


def shared(outcome: Outcome, price: Price, terms: Terms, *, model: str, day: str) -> dict[str, Any]:
    """The run for others' eyes. `model` is what its owner wants it called; empty: it is not named."""
    beside = outcome.beside
    return {
        "format": FORMAT,
        "day": day,
        "simulated": outcome.simulated,
        "versions": {name: outcome.versions[name] for name in ("viiwork", "python") if name in outcome.versions},
        "model": model or None,
        "engine": outcome.engine if outcome.engine in ENGINES else "another engine",
        "cards": [_card(card) for card in outcome.cards],
        "workers": outcome.workers,
        "hosts": outcome.hosts,
        "slots": outcome.slots,
        "window_s": outcome.window_s,
        "prompt_tokens": round(outcome.tokens.prompt, 1),
        "output_tokens": round(outcome.tokens.output, 1),
        "in_flight": [_step(step) for step in outcome.in_flight],
        "crews": [_step(step) for step in outcome.crews],
        "beside": beside
        and {
            "people": beside.people,
            "idle": _waits(beside.idle),
            "beside": _waits(beside.beside),
            "alone": _step(beside.alone),
            "with_people": _step(beside.with_people),
            "kept": _spread(beside.kept),
            "failed": beside.failed,
        },
        "failed": outcome.failed,
        "price": _numbers(price),
        "terms": {**_numbers(terms), "currency": terms.currency if terms.currency.isalpha() else None},
    }


def _card(card: CardKind) -> dict[str, Any]:
    name = card.name if PRODUCT.fullmatch(card.name) else "another card"
    return {"name": name, **{each: getattr(card, each) for each in ("count", "cap_w", "core_mhz", "memory_mhz")}}


def _step(step: Step) -> dict[str, Any]:
    return {
        "workers": step.workers,
        "cards": step.cards,
        "in_flight": round(step.in_flight, 1),
        "output_tokens_per_s": _spread(step.output_tokens_per_s),
        "counted_by": step.counted_by,
        "jobs_per_s": _spread(step.jobs_per_s),
        "watts": _rounded(step.watts),
        "all_watts": _rounded(step.all_watts),
        "tokens_per_joule": _rounded(step.tokens_per_joule),
        "others": step.others,
        "dry": step.dry,
        "short": step.short,
        "throttled": step.throttled,
    }


def _waits(waits: Waits) -> dict[str, Any]:
    times = {name: _rounded(getattr(waits, name)) for name in ("p50_ms", "p95_ms", "p99_ms")}
    return {"questions": waits.questions, **times}


def _spread(of: Spread | None) -> dict[str, Any] | None:
    if of is None:
        return None
    return {
        "median": _rounded(of.median),
        "lowest": _rounded(of.lowest),
        "highest": _rounded(of.highest),
        "rounds": of.rounds,
    }


def _numbers(record: Price | Terms) -> dict[str, Any]:
    """Its numbers alone: words are chosen one by one."""
    found = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: _rounded(value) for name, value in found.items() if not isinstance(value, str)}


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if isinstance(value, float) else value
