"""What holds of every run that is taken up again, and of every sample."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from viiwork.bigrun.done import Told, answered, pending
from viiwork.bigrun.sample import sampled
from viiwork.bigrun.setup import NAMES, TOLD_BY_WORKERS, Setup, changed
from viiwork.work import AnalysisTask

contents = st.sampled_from("abcde")


@given(st.lists(contents, max_size=30), st.dictionaries(contents, st.integers(0, 9)))
def test_each_answer_does_for_one_file_of_its_content(files: list[str], done: dict[str, int]) -> None:
    """No file is left out that has no answer, and none is done again that has one."""
    places = pending(files, done)
    assert places == sorted(set(places))
    assert Counter(files[place] for place in places) == Counter(files) - Counter(done)


@given(st.lists(st.tuples(contents, st.lists(st.booleans(), max_size=3)), max_size=20))
def test_a_file_is_done_where_all_that_came_of_it_has_an_answer(sent: list[tuple[str, list[bool]]]) -> None:
    """An archive's members share its place; a file without a row is not done."""
    rows = [Told("an_1", place, said) for place, (_, told) in enumerate(sent) for said in told]
    done = answered(rows, {"an_1": [content for content, _ in sent]})
    assert done == Counter(content for content, told in sent if told and all(told))


@given(st.lists(st.text(max_size=5), min_size=1, max_size=40), st.integers(1, 50), st.integers())
def test_a_sample_is_the_same_in_whatever_order_files_are_found(names: list[str], count: int, seed: int) -> None:
    """As many as were asked for, each once, in their order."""
    places = sampled(names, count, seed=seed)
    backwards = names[::-1]
    assert places == sorted(set(places))
    assert len(places) == min(count, len(names))
    again = [backwards[place] for place in sampled(backwards, count, seed=seed)]
    assert Counter(names[place] for place in places) == Counter(again)


@given(st.sampled_from(sorted(NAMES)), st.text(min_size=1, max_size=5))
def test_each_part_that_differs_is_named(part: str, value: str) -> None:
    """One by one, and nothing else."""
    told = dict.fromkeys(TOLD_BY_WORKERS, "m")  # of what nobody told before, nobody can say that it is another
    plain = Setup(task=AnalysisTask.SUMMARIZE, model="m", **told)
    if part == "task":
        other = plain.model_copy(update={"task": AnalysisTask.CLASSIFY})
    elif part in ("options", "sampling"):
        other = plain.model_copy(update={part: {"x": value}})
    else:
        other = plain.model_copy(update={part: f"m{value}"})
    (said,) = changed(plain, other)
    assert said.startswith("the x (none, now " if part == "options" else NAMES[part])
    assert changed(plain, plain) == ()
