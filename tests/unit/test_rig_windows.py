"""What a window of looks comes to, how a run is planned, and what it is asked with: all of it without a fleet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from viiwork.errors import Busy, ModelNotServed, Unavailable, UsageError
from viiwork.hosts import HostCard, HostCards
from viiwork.jobs import Lane
from viiwork.rig.crew import Crew, check_fits, check_free, crew_of, kinds_of
from viiwork.rig.looks import Beat, Look, look_at, window
from viiwork.rig.outcome import Tokens, step_of
from viiwork.rig.published import published
from viiwork.rig.remarks import left_out
from viiwork.rig.size import QUICK, USUAL, Plan, doubling, planned
from viiwork.rig.spread import percentile, spread
from viiwork.rig.wording import Wording
from viiwork.roster import CardStatus, FleetStatus, QueueDepth, TenantLoad, WorkerCard, WorkerStatus
from viiwork.work import Usage


def beat(at_s: float, tokens: int, *, life: str = "a", watts: float | None = 100.0) -> Beat:
    return Beat(incarnation=life, counted_s=at_s, output_tokens=tokens, in_flight=4, limit=4, watts=watts)


def look(at_s: float, *beats: Beat, settled: int = 0, waiting: int = 9, others: int = 0) -> Look:
    named = {f"gpu{number}@box": each for number, each in enumerate(beats)}
    return Look(at_s, named, all_watts=None, waiting=waiting, settled=settled, others=others)


def worker(name: str, *cards: CardStatus, model: str = "m", host: str = "box", **said: object) -> WorkerStatus:
    card = WorkerCard(
        **{"name": name, "incarnation": name, "host": host, "pid": 1, "engine": "vLLM", "model": model, "slots": 16}
        | {"cards": cards}
        | said  # type: ignore[arg-type] # a dict of many types
    )
    return WorkerStatus(card=card)


class TestWindow:
    def test_tokens_a_second_are_counted_between_the_counts_and_not_between_the_looks(self) -> None:
        """A count is up to two seconds older than the look that saw it: 10 s of looks may hold 9 s of tokens."""
        seen = window([look(10, beat(9.9, 1000)), look(20, beat(18.9, 2800))], ["gpu0@box"])
        assert seen.output_tokens_per_s == pytest.approx(200.0)
        assert seen.seconds == 10

    def test_workers_are_counted_each_by_its_own_beats(self) -> None:
        looks = [look(0, beat(0, 100), beat(0, 100)), look(10, beat(10, 1100), beat(5, 600))]
        assert window(looks, ["gpu0@box", "gpu1@box"]).output_tokens_per_s == pytest.approx(200.0)
        assert window(looks, ["gpu0@box"]).output_tokens_per_s == pytest.approx(100.0)

    @pytest.mark.parametrize(
        "last",
        [beat(10, 50), beat(10, 900, life="b"), beat(10, 0), beat(0, 900)],
        ids=["less", "anew", "none", "still"],
    )
    def test_an_engine_that_does_not_count_or_began_anew_has_no_rate(self, last: Beat) -> None:
        """It is unknown, not 0."""
        assert window([look(0, beat(0, 100)), look(10, last)], ["gpu0@box"]).output_tokens_per_s is None

    def test_watts_are_the_mean_of_the_readings_and_unknown_ones_are_not_zero(self) -> None:
        """One reading that failed loses no window; a window that has few of them is unknown."""
        readings = [100.0, None, 200.0]
        looks = [look(at, beat(at, 100 + at, watts=watts)) for at, watts in enumerate(readings)]
        assert window(looks, ["gpu0@box"]).watts == pytest.approx(150.0)
        dark = [look(at, beat(at, 100 + at, watts=None)) for at in range(3)]
        assert window(dark, ["gpu0@box"]).watts is None

    def test_it_says_when_slots_may_have_been_empty_and_when_others_had_jobs(self) -> None:
        seen = window([look(0, beat(0, 1)), look(1, beat(1, 9), waiting=0, others=2)], ["gpu0@box"])
        assert (seen.dry, seen.others) == (True, True)

    @pytest.mark.parametrize(("ended", "short"), [(7, True), (8, False)])
    def test_it_is_short_when_it_may_have_seen_one_wave_and_not_the_next(self, ended: int, *, short: bool) -> None:
        """4 in flight, each of which should have ended twice."""
        looks = [look(0, beat(0, 100)), look(10, beat(10, 900), settled=ended)]
        assert window(looks, ["gpu0@box"]).short is short

    def test_a_count_is_as_old_as_its_beat_and_as_it_was_in_that(self) -> None:
        """The engine was looked at 0.7 s before a beat that is 0.4 s old."""
        beaten = worker("gpu0@box", output_tokens=5, counted_ms=700).model_copy(update={"beat_age_ms": 400})
        status = FleetStatus(fleet="f", workers=(beaten,))
        seen = look_at(status, now_s=50.0, model="m", lane=Lane.BATCH, ours="us")
        assert seen.beats["gpu0@box"].counted_s == pytest.approx(48.9)

    def test_a_look_holds_the_model_and_lane_that_are_measured(self) -> None:
        """Cards that two workers name are one; a worker of another model counts for all watts alone."""
        one = CardStatus(name="Radeon VII", id="GPU-1", power_w=150.0)
        other = CardStatus(name="Radeon VII", id="GPU-2", power_w=50.0)
        status = FleetStatus(
            fleet="f",
            workers=(worker("gpu0@box", one), worker("gpu1@box", other, model="n"), worker("gpu2@box", one)),
            queues=(
                QueueDepth(model="m", lane=Lane.BATCH, waiting=5, queued=2, running=4),
                QueueDepth(model="m", lane=Lane.INTERACTIVE, waiting=1),
                QueueDepth(model="n", lane=Lane.BATCH, waiting=100),
            ),
            tenants=(TenantLoad(tenant="us", unfinished=11), TenantLoad(tenant="anna@lab", unfinished=3)),
        )
        seen = look_at(status, now_s=50.0, model="m", lane=Lane.BATCH, ours="us")
        assert (set(seen.beats), seen.waiting, seen.others) == ({"gpu0@box", "gpu2@box"}, 7, 3)
        assert seen.all_watts == pytest.approx(200.0)

    def test_without_an_engines_count_a_step_is_counted_by_its_answers(self) -> None:
        """3 jobs a second of 40 tokens each."""
        looks = [look(0, beat(0, 0)), look(10, beat(10, 0), settled=30)]
        tokens = Tokens.of([Usage(prompt_tokens=100, output_tokens=40)])
        step = step_of([window(looks, ["gpu0@box"])], workers=1, cards=1, tokens=tokens)
        assert step.counted_by == "answers"
        assert step.output_tokens_per_s is not None
        assert step.output_tokens_per_s.median == pytest.approx(120.0)
        assert step.tokens_per_joule == pytest.approx(1.2)

    def test_what_people_had_is_taken_off_what_the_engines_wrote(self) -> None:
        looks = [look(0, beat(0, 100)), look(10, beat(10, 1100))]
        step = step_of([window(looks, ["gpu0@box"])], workers=1, cards=1, tokens=None, less=[25.0])
        assert step.output_tokens_per_s is not None
        assert step.output_tokens_per_s.median == pytest.approx(75.0)


class TestPlan:
    def test_steps_double_and_end_with_all_there_are(self) -> None:
        assert [doubling(most) for most in (0, 1, 6, 8)] == [(), (1,), (1, 2, 4, 6), (1, 2, 4, 8)]

    def test_what_was_measured_with_one_worker_is_not_measured_again(self) -> None:
        """16 in flight on one worker of 16 slots is one worker with all of its slots."""
        plan = planned(QUICK, workers=5, slots=16, most_in_flight=64, people=10)
        assert (plan.in_flight, plan.crews) == ((1, 2, 4, 8, 16), (2, 4, 5))
        assert planned(QUICK, workers=2, slots=80, most_in_flight=64, people=0).crews == (1, 2)

    def test_the_time_that_is_said_holds_every_window(self) -> None:
        """And grows with how long a job takes, up to what a step may wait for."""
        plan = Plan(USUAL, in_flight=(1, 2), crews=(2,), people=0)
        assert plan.seconds() > 3 * 3 * 20
        assert plan.seconds(job_s=5) > plan.seconds()
        assert plan.seconds(job_s=1e6) == plan.seconds(job_s=1e5)
        assert replace(plan, people=10).seconds() > plan.seconds() + 3 * 3 * 20

    def test_percentiles_are_the_nearest_rank_and_of_nothing_there_are_none(self) -> None:
        values = [float(value) for value in range(1, 101)]
        assert [percentile(values, each) for each in (50, 95, 99)] == [50.0, 95.0, 99.0]
        assert percentile([], 50) is None
        assert spread([None]) is None
        found = spread([3.0, None, 1.0, 2.0])
        assert found is not None
        assert (found.median, found.lowest, found.highest, found.rounds) == (2.0, 1.0, 3.0, 3)


class TestWording:
    def test_the_same_number_is_the_same_request_and_no_two_begin_alike(self) -> None:
        """An engine that keeps the beginnings of prompts must not get one for nothing."""
        wording = Wording(64, 16)
        assert wording.job(7) == wording.job(7)
        starts = {wording.job(number)["messages"][0]["content"].split()[0] for number in range(50)}
        assert len(starts) == 50

    def test_lengths_are_what_was_asked_for_on_average_once_the_model_has_counted(self) -> None:
        """A word that takes two tokens: half as many words. Lengths differ, or jobs would end in waves."""
        wording = Wording(200, 100).fitted(words=100, counted_tokens=200)
        assert wording.words == 100
        jobs = [wording.job(number) for number in range(200)]
        lengths = [len(job["messages"][0]["content"].split()) for job in jobs]
        assert sum(lengths) / len(lengths) == pytest.approx(113, rel=0.1)
        answers = [job["max_output_tokens"] for job in jobs]
        assert sum(answers) / len(answers) == pytest.approx(100, rel=0.1)
        assert min(answers) < 70 < 130 < max(answers)


class TestCrew:
    def test_the_only_model_is_measured_and_of_several_one_must_be_named(self) -> None:
        one = FleetStatus(fleet="f", workers=(worker("gpu1@box"), worker("gpu0@box")))
        assert crew_of(one, "").names == ("gpu0@box", "gpu1@box")
        two = FleetStatus(fleet="f", workers=(worker("gpu0@box"), worker("gpu1@box", model="n")))
        with pytest.raises(UsageError, match="m, n"):
            crew_of(two, "")
        with pytest.raises(ModelNotServed):
            crew_of(two, "x")
        with pytest.raises(Unavailable):
            crew_of(FleetStatus(fleet="f"), "")

    def test_who_takes_no_jobs_is_left_out_and_counted(self) -> None:
        """Hot or loading, in quarantine, or closed to a lane: it would be waited for."""
        hot, closed = worker("gpu1@box", limit=0), worker("gpu2@box", closed=(Lane.BATCH,))
        away = worker("gpu3@box").model_copy(update={"quarantine": "It died."})
        found = crew_of(FleetStatus(fleet="f", workers=(worker("gpu0@box", limit=16), hot, closed, away)), "m")
        assert (found.names, found.unable) == (("gpu0@box",), ("gpu1@box", "gpu2@box", "gpu3@box"))
        assert found.why == (
            "gpu1@box (it takes no jobs now)",
            "gpu2@box (batch paused)",
            "gpu3@box (quarantined: It died.)",
        )
        with pytest.raises(Unavailable):
            crew_of(FleetStatus(fleet="f", workers=(hot,)), "m")

    def test_who_is_loading_or_not_up_is_named_with_the_reason(self) -> None:
        """Also one whose process has just ended: its supervisor knows it. Others' models are nobody's business here."""
        first = worker("gpu0@box")
        loading = worker("gpu1@box", limit=0, engine_state="restarting (1 deaths)")
        cards = (
            HostCard(name="gpu0", worker="gpu0", model="m"),
            HostCard(name="gpu2", worker="gpu2+gpu3", model="m"),
            HostCard(name="gpu3", worker="gpu2+gpu3", model="m"),
            HostCard(name="gpu4", worker="gpu4", model="n"),
            HostCard(name="gpu5"),
        )
        status = FleetStatus(fleet="f", workers=(first, loading), hosts=(HostCards(host="box", cards=cards),))
        found = crew_of(status, "m")
        assert found.unable == ("gpu1@box", "gpu2+gpu3@box")
        assert found.why == ("gpu1@box (restarting (1 deaths))", "gpu2+gpu3@box (it is not up)")

    def test_it_refuses_while_others_have_jobs_and_not_for_its_own(self) -> None:
        own = FleetStatus(fleet="f", tenants=(TenantLoad(tenant="viiwork-bench", unfinished=9),))
        check_free(own)
        busy = own.model_copy(update={"tenants": (*own.tenants, TenantLoad(tenant="anna@lab", unfinished=1))})
        with pytest.raises(Busy, match="--anyway") as refused:
            check_free(busy)
        assert "anna" not in str(refused.value)

    def test_prompts_that_do_not_fit_are_refused_before_anything_begins(self) -> None:
        crew = Crew("m", (worker("gpu0@box", context_tokens=1000),))
        check_fits(crew, Wording(500, 100))
        with pytest.raises(UsageError, match="1,050"):
            check_fits(crew, Wording(600, 100))

    def test_cards_that_are_alike_are_counted_together(self) -> None:
        cards = [CardStatus(name="Radeon VII", id=f"GPU-{n}", cap_w=180.0, core_mhz=1000 + n) for n in range(3)]
        found = kinds_of([worker("gpu0@box", cards[0]), worker("gpu1+gpu2@box", *cards[1:])])
        assert [(kind.name, kind.count, kind.cap_w, kind.core_mhz) for kind in found] == [
            ("Radeon VII", 3, 180.0, 1002)
        ]

    def test_without_cards_it_says_what_is_left_out(self) -> None:
        crew = Crew("m", (worker("cpu0@box"),))
        plan = planned(QUICK, workers=1, slots=16, most_in_flight=64, people=0)
        said = left_out(crew, plan, [], None, most_in_flight=64)
        assert [sentence.split(":")[0] for sentence in said] == [
            "No worker was told of a card",
            "More than 16 in flight on one worker was not measured",
            "More than one worker was not measured",
            "People beside a batch were not measured",
        ]

    def test_a_simulated_card_makes_the_whole_run_a_simulated_one(self) -> None:
        simulated = CardStatus(name="simulated Radeon VII")
        assert Crew("m", (worker("gpu0@box"), worker("gpu1@box", simulated))).simulated
        assert not Crew("m", (worker("gpu0@box"),)).simulated


def test_every_published_row_names_a_source_that_is_there() -> None:
    """And every source is named by a row."""
    table = published()
    assert {row.source for row in table.row} == set(table.sources)
    assert table.dated
