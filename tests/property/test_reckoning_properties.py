"""What holds of every estimate: the merge tree is the one that is built, and the range has the truth in it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from viiwork.bigrun.hours import by_run
from viiwork.bigrun.workload import Frame, Span, Workload, tree, workload
from viiwork.documents.merge import reduce_steps
from viiwork.documents.tasktexts import MergeRule
from viiwork.runs import Run
from viiwork.work import AnalysisTask, Answer, TaskOptions

SLOTS = 8
prices = st.floats(0.0, 1.0)
parts = st.dictionaries(st.integers(1, 9), st.integers(1, 20), min_size=1)


@given(st.integers(2, 60), st.integers(2, 30), st.integers(40, 200))
def test_the_tree_has_the_calls_that_merging_makes(count: int, words: int, limit: int) -> None:
    """A word is a token here. Level after level, until one call is left."""
    answers = [Answer(text=" ".join(["word"] * words))] * count
    calls = 0
    while len(answers) > 1:
        steps = reduce_steps(
            AnalysisTask.SUMMARIZE, TaskOptions(), answers, limit_tokens=limit, count=lambda text: len(text.split())
        )
        calls += len(steps)
        answers = answers[: len(steps)]
    assert tree(count, answer_tokens=words, limit_tokens=limit).calls == calls


@given(parts, parts, prices, prices, prices, st.integers(1, 300), st.integers(1, 5))
def test_the_time_of_an_engine_of_any_price_lies_in_the_range(
    then: dict[int, int], now: dict[int, int], call: float, taken: float, written: float, answer: int, passes: int
) -> None:
    """Each call, token in and token out costs what it costs; all slots are busy all the time."""
    frame = Frame(tokens=100, passage_tokens=1000)

    def work_of(documents: dict[int, int], times: int) -> Workload:
        many = {of_each: count * times * SLOTS for of_each, count in documents.items()}
        maps = sum(of_each * count for of_each, count in many.items())
        spans = Span(answer, answer)
        return workload(many, map_tokens=maps * 700, frame=frame, rule="vote", answer_tokens=spans)

    def seconds(work: Workload) -> float:
        return (work.maps * call + work.prompt_tokens.high * taken + work.output_tokens.high * written) / SLOTS

    before, after = work_of(then, passes), work_of(now, 1)
    if seconds(before) <= 0:
        return
    run = Run(
        task="classify",
        model="m",
        finished_ms=1,
        calls=before.maps,
        prompt_tokens=round(before.prompt_tokens.high),
        output_tokens=round(before.output_tokens.high),
        seconds=seconds(before),
        slots=SLOTS,
    )
    found = by_run(after, run, SLOTS)
    assert found is not None
    assert found.seconds.low * 0.999 <= seconds(after) <= found.seconds.high * 1.001


@given(parts, st.integers(1, 400), st.sampled_from(["reduce", "best", "vote", "agree"]))
def test_longer_answers_are_never_less_work(documents: dict[int, int], answer: int, rule: MergeRule) -> None:
    """The low end of everything is not over the high one, and the calls on parts are the parts."""
    found = workload(
        Counter(documents),
        map_tokens=1000,
        frame=Frame(tokens=100, passage_tokens=500),
        rule=rule,
        answer_tokens=Span(1, answer),
    )
    assert found.maps == sum(of_each * count for of_each, count in documents.items())
    for span in (found.merges, found.prompt_tokens, found.output_tokens):
        assert 0 <= span.low <= span.high
    assert found.merges.high == 0 or rule in ("reduce", "best")
