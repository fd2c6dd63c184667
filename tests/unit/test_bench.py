"""What a benchmark reports, and how its figures and goals are reckoned."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import psutil
import pytest

from bench.__main__ import SCENARIOS, main, write
from bench.answering import TEXT, answering
from bench.measure import Sample, faster
from bench.report import Goal, Report, as_markdown
from bench.rounds import median, percentile, ratios
from bench.weight import memory_of

RATIO = Goal("ratio", at_least=1.3)


def report(**figures: float | str) -> Report:
    return Report("dispatch", {"ratio": 1.5, **figures}, (RATIO,))


def test_the_report_has_exactly_the_agreed_shape() -> None:
    """Programs read it: three keys, and four in each goal."""
    told = json.loads(report(server="Valkey 9.1.2").as_json())
    assert told == {
        "scenario": "dispatch",
        "figures": {"ratio": 1.5, "server": "Valkey 9.1.2"},
        "goals": [{"name": "ratio", "figure": 1.5, "goal": ">= 1.3", "reached": True}],
    }


@pytest.mark.parametrize(("figure", "reached"), [(1.29, False), (1.3, True), (1.31, True)])
def test_a_goal_is_reached_at_its_bound(figure: float, reached: bool) -> None:
    """And missed just below it."""
    assert RATIO.judge({"ratio": figure})["reached"] is reached


@pytest.mark.parametrize(("figure", "reached"), [(0.0, True), (5.0, True), (5.1, False)])
def test_a_goal_may_bound_a_figure_from_above_and_by_zero(figure: float, reached: bool) -> None:
    """A bound of zero is a bound."""
    told = Goal("wait_ms", at_least=0, at_most=5).judge({"wait_ms": figure})
    assert (told["goal"], told["reached"]) == (">= 0 and <= 5", reached)


def test_a_goal_is_judged_by_the_figure_that_is_shown() -> None:
    """Nobody should read 1.3, wanted >= 1.3, missed."""
    (goal,) = report(ratio=1.2999).as_dict()["goals"]
    assert (goal["figure"], goal["reached"]) == (1.3, True)


def test_figures_claim_no_more_places_than_they_have() -> None:
    """Three significant places below a hundred, whole numbers above; counts and words stay as they are."""
    figures = report(small=0.123456, speed=1234.56, count=7, word="x").as_dict()["figures"]
    assert figures == {"ratio": 1.5, "small": 0.123, "speed": 1235, "count": 7, "word": "x"}


def test_a_goal_without_its_figure_is_a_defect_of_the_scenario() -> None:
    """It must not pass as reached."""
    with pytest.raises(KeyError):
        RATIO.judge({})
    with pytest.raises(TypeError):
        RATIO.judge({"ratio": "fast"})


def test_rounds_are_compared_pair_by_pair() -> None:
    """A round in which the machine was busy slows both sides, and its ratio stays."""
    assert ratios([100, 20, 300], [50, 10, 100]) == [2, 2, 3]
    assert median(ratios([100, 20, 300], [50, 10, 100])) == 2


def test_the_other_side_is_given_its_better_way() -> None:
    """The one with the higher median; not the luckier of the two in every round, which nobody has."""
    quick, slow = (Sample(jobs=100, seconds=seconds, worker_cpu_s=0, server_cpu_s=0) for seconds in (1, 2))
    one, other = [quick, slow, slow], [slow, quick, quick]
    assert faster(one, other) is other
    assert faster(other, one) is other


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 5), (95, 10), (100, 10)])
def test_percentiles_are_values_that_occurred(percent: float, value: float) -> None:
    """By nearest rank."""
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_memory_is_told_in_three_ways_of_the_middle_and_of_the_largest() -> None:
    """And what is a process's own is the least of them."""
    told = memory_of("worker", [psutil.Process()])
    assert sorted(told) == sorted(
        f"worker_{kind}_mb_{how}" for kind in ("rss", "pss", "uss") for how in ("max", "median")
    )
    assert 0 < float(told["worker_uss_mb_max"]) <= float(told["worker_pss_mb_max"]) <= float(told["worker_rss_mb_max"])


def test_the_stand_in_engine_answers_whole_and_in_pieces() -> None:
    """With the same text, as its dialect says it."""
    asked = {"messages": [], "max_tokens": 8}
    with answering() as url:
        whole = httpx.post(f"{url}/v1/chat/completions", json=asked, trust_env=False).json()
        pieces = httpx.post(f"{url}/v1/chat/completions", json={**asked, "stream": True}, trust_env=False).text
    events = [json.loads(line[6:]) for line in pieces.splitlines() if line.startswith("data: {")]
    heard = "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])
    assert heard.strip() == whole["choices"][0]["message"]["content"] == TEXT
    assert pieces.endswith("data: [DONE]\n\n")


def test_an_unknown_scenario_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, nothing on standard output, and the names that there are."""
    assert main(["dispach"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"There is no scenario 'dispach': choose {', '.join(SCENARIOS)} or all.\n"
    assert "dispatch" in said.err


def test_all_results_are_written_as_json_and_as_a_page(tmp_path: Path) -> None:
    """One file a scenario, and a page that shows the goals first."""
    write([report()], tmp_path / "results")
    assert json.loads((tmp_path / "results" / "dispatch.json").read_text("utf-8")) == report().as_dict()
    page = (tmp_path / "results" / "README.md").read_text("utf-8")
    assert page == as_markdown([report()])
    assert "| dispatch | ratio | >= 1.3 | 1.5 | yes |" in page
