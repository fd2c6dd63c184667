"""What of an output is done, and which rows of it later ones do for."""

from __future__ import annotations

from viiwork.bigrun.done import Told, answered, surpassed

SENT = {"an_1": ("zip",), "an_2": ("zip",)}


def rows(analysis: str, *codes: str, index: int = 0) -> list[Told]:
    """One for each reason; an answer where there is none."""
    return [Told(analysis, index, not code, code) for code in codes]


class TestDone:
    def test_reasons_of_the_content_count_as_answers_do(self) -> None:
        assert answered(rows("an_1", "", "unsupported", "damaged", ""), SENT) == {"zip": 1}
        assert answered(rows("an_1", "no_text_layer"), SENT) == {"zip": 1}

    def test_other_reasons_do_not(self) -> None:
        for code in ("crash", "timeout", "dead", "cancelled", "invalid_output"):
            assert answered(rows("an_1", "", code), SENT) == {}

    def test_what_is_too_big_alone_is_tried_again_for_the_limit_may_have_been_raised(self) -> None:
        assert answered(rows("an_1", "too_big"), SENT) == {}
        assert answered(rows("an_1", "too_big", ""), SENT) == {"zip": 1}


class TestSurpassed:
    def test_rows_go_once_as_many_answers_have_come(self) -> None:
        old = rows("an_1", "", "crash", "")
        assert surpassed(old, SENT) == set()
        assert surpassed([*old, *rows("an_2", "", "", "")], SENT) == {("an_1", 0)}
        assert surpassed([*old, *rows("an_2", "", "crash", "")], SENT) == {("an_1", 0)}

    def test_rows_with_fewer_answers_go_themselves_unless_more_are_coming(self) -> None:
        both = [*rows("an_1", "", "crash", ""), *rows("an_2", "cancelled")]
        assert surpassed(both, SENT) == {("an_2", 0)}
        assert surpassed(both, SENT, running={"an_2"}) == set()

    def test_what_was_cut_off_does_not_look_whole(self) -> None:
        both = [*rows("an_1", "", "crash", ""), *rows("an_2", "")]
        assert surpassed(both, SENT) == {("an_1", 0)}
        assert surpassed(both, SENT, cut_off={"an_2"}) == {("an_2", 0)}

    def test_files_of_the_same_content_each_keep_a_row(self) -> None:
        sent = {"an_1": ("a", "a", "b"), "an_2": ("a",)}
        told = [*rows("an_1", ""), *rows("an_1", "crash", index=1), *rows("an_1", "crash", index=2), *rows("an_2", "")]
        assert surpassed(told, sent) == {("an_1", 1)}
        twice = [*rows("an_1", "crash"), *rows("an_1", "crash", index=1), *rows("an_2", "crash")]
        assert surpassed(twice, sent) == {("an_1", 0)}
