"""From a snapshot to metric families: bounded labels, one sample a set of labels."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from viiwork.jobs import Lane
from viiwork.roster import CardStatus, FleetStatus, QueueDepth, WorkerCard, WorkerStatus
from viiwork.telemetry import MAX_MODELS, STATES, Once, Snapshot, bounded, families, state_of


def test_models_beyond_the_limit_are_other() -> None:
    """The same ones keep their names from scrape to scrape, whatever the order they come in."""
    models = [f"m{n:03}" for n in range(MAX_MODELS + 10)]
    forwards, backwards = bounded(models), bounded(reversed(models))
    assert [forwards(model) for model in models] == models[:MAX_MODELS] + ["other"] * 10
    assert [backwards(model) for model in models] == [forwards(model) for model in models]


def test_what_is_other_is_added_up_and_the_oldest_of_it_counts() -> None:
    """A hundred models of one waiting job each: 36 of them share a label."""
    models = [f"m{n:03}" for n in range(100)]
    queues = tuple(QueueDepth(model=model, lane=Lane.BATCH, waiting=1) for model in models)
    snapshot = Snapshot(
        version="1",
        scrape_s=0.1,
        fleet=FleetStatus(fleet="f", queues=queues),
        oldest_s={f"batch.{model}": float(n) for n, model in enumerate(models)},
        counts={"started": {f"batch.{model}": 2 for model in models}},
    )
    text = generate_latest(Once(snapshot)).decode()
    samples = {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("model") == "other" and sample.labels.get("lane") == "batch"
    }
    assert samples["viiwork_jobs", "waiting"] == 36
    assert samples["viiwork_oldest_job_age_seconds", ""] == 99
    assert samples["viiwork_jobs_started_total", ""] == 72


def test_no_two_samples_have_the_same_name_and_labels() -> None:
    """Prometheus refuses the whole page otherwise; two lives of one worker are the case that tempts."""

    def life(incarnation: str, beat_age_ms: int) -> WorkerStatus:
        card = WorkerCard(name="gpu0@a", incarnation=incarnation, host="a", pid=1, engine="noop", model="m", slots=1)
        return WorkerStatus(card=card, in_flight={Lane.BATCH: 1}, beat_age_ms=beat_age_ms)

    fleet = FleetStatus(fleet="f", workers=(life("old", 9000), life("new", 10), life("older", 20_000)))
    snapshot = Snapshot(version="1", scrape_s=0.1, fleet=fleet, lease_ttl_s=12)
    seen = [(s.name, tuple(sorted(s.labels.items()))) for family in families(snapshot) for s in family.samples]
    assert len(seen) == len(set(seen))
    assert next(f for f in families(snapshot) if f.name == "viiwork_worker_beat_age_seconds").samples[0].value == 0.01


@pytest.mark.parametrize(
    ("said", "restarts", "quarantine", "state"),
    [
        ("", 0, "", "ready"),
        ("ready", 3, "", "ready"),
        ("starting", 0, "", "loading"),
        ("loading (35 s)", 0, "", "loading"),
        ("checking", 0, "", "loading"),
        ("loading (35 s)", 1, "", "restarting"),
        ("restarting (3 deaths)", 3, "", "restarting"),
        ("failed: The model is not there.", 1, "", "restarting"),
        ("ready", 0, "It was given up.", "quarantined"),
    ],
)
def test_an_engine_that_loads_for_the_first_time_is_not_called_restarting(
    said: str, restarts: int, quarantine: str, state: str
) -> None:
    """An alarm for restarts must not ring at each `viiwork up`."""
    card = WorkerCard(name="gpu0@a", incarnation="i", host="a", pid=1, engine="e", model="m", slots=1)
    card = card.model_copy(update={"engine_state": said, "engine_restarts": restarts})
    worker = WorkerStatus(card=card, quarantine=quarantine)
    assert state in STATES
    assert state_of(worker, Snapshot(version="1", scrape_s=0.1, lease_ttl_s=12)) == state


def test_a_card_has_a_sample_for_each_thing_that_it_tells_and_none_for_what_it_does_not() -> None:
    """A 0 would be a cold card that draws nothing."""
    told = CardStatus(
        name="Radeon VII", number=2, temperature_c=61.0, critical_c=105.0, power_w=180.0, vram_used_bytes=4, cap_w=250.0
    )
    lost = CardStatus(name="Radeon VII", number=3, state="gone")
    card = WorkerCard(
        name="gpu2+gpu3@a", incarnation="i", host="a", pid=1, engine="e", model="m", slots=1, cards=(told, lost)
    )
    fleet = FleetStatus(fleet="f", workers=(WorkerStatus(card=card),))
    found = {
        (sample.name.removeprefix("viiwork_"), sample.labels["card"]): sample.value
        for family in families(Snapshot(version="1", scrape_s=0.1, fleet=fleet, lease_ttl_s=12))
        for sample in family.samples
        if "card" in sample.labels
    }
    assert found == {
        ("card_ok", "gpu2"): 1,
        ("card_ok", "gpu3"): 0,
        ("card_temperature_celsius", "gpu2"): 61,
        ("card_temperature_limit_celsius", "gpu2"): 105,
        ("card_power_watts", "gpu2"): 180,
        ("card_power_cap_watts", "gpu2"): 250,
        ("card_vram_used_bytes", "gpu2"): 4,
    }
