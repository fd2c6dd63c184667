"""Putting the answers of a document's parts together, and giving quotes their pages."""

from __future__ import annotations

import pytest

from viiwork.documents.merge import combine, fold, reduce_steps
from viiwork.documents.provenance import UNSUPPORTED
from viiwork.documents.tasks import NOT_ANSWERED
from viiwork.documents.tokens import load_counter
from viiwork.work import AnalysisTask, Answer, Evidence, Label, StepInput, TaskOptions, Usage

COUNT = load_counter("wordllama")
SUMMARIZE, CLASSIFY, ASK = AnalysisTask.SUMMARIZE, AnalysisTask.CLASSIFY, AnalysisTask.ASK
LABELS = TaskOptions(labels=(Label(name="a"), Label(name="b"), Label(name="c")))
QUESTION = TaskOptions(question="Why?")
ONE = Usage(prompt_tokens=10, output_tokens=1)


def said(text: str, **more: object) -> Answer:
    return Answer.model_validate({"text": text, "usage": ONE, "engine": "e", "model": "m", "notice": "n", **more})


def scored(**scores: float) -> Answer:
    label = max(scores, key=lambda name: scores[name])
    return said(label, label=label, scores=scores, evidence=(Evidence(quote=f"q{label}", page=1),))


class TestCombine:
    @pytest.mark.parametrize("task", [task for task in AnalysisTask if task is not AnalysisTask.EXTRACT])
    def test_the_answer_of_a_single_part_is_the_documents(self, task):
        assert combine(task, TaskOptions(), [said("x")]) == said("x")

    def test_nothing_to_combine_is_a_mistake(self):
        with pytest.raises(ValueError, match="no answers"):
            combine(SUMMARIZE, TaskOptions(), [])

    def test_what_parts_said_is_tidied_as_a_document_is(self):
        """An engine that answers with 20,000 blanks fills no prompt with them."""
        parts = [said("<" + " " * 20_000 + "x\r\n" + "\n" * 900 + "y\x00"), said("b")]
        step = combine(SUMMARIZE, TaskOptions(), parts)
        assert isinstance(step, StepInput)
        assert "\x00" not in step.text
        assert len(step.text) < 100
        assert step.text.endswith("y\n\nb")

    def test_scores_are_averaged_over_the_parts(self):
        answer = combine(CLASSIFY, LABELS, [scored(a=0.9, b=0.1), scored(a=0.3, b=0.7), scored(a=0.4, b=0.6)])
        assert isinstance(answer, Answer)
        assert (answer.label, answer.text) == ("a", "a")
        assert answer.scores == pytest.approx({"a": 1.6 / 3, "b": 1.4 / 3, "c": 0.0})
        assert answer.confidence == pytest.approx(1.6 / 3)
        assert answer.evidence == (Evidence(quote="qa", page=1),)
        assert (answer.usage, answer.parts) == (Usage(prompt_tokens=30, output_tokens=3), 3)
        assert (answer.engine, answer.model, answer.notice) == ("e", "m", "n")

    def test_a_label_that_no_part_puts_first_can_win_by_its_scores(self):
        answer = combine(CLASSIFY, LABELS, [scored(a=0.5, c=0.4, b=0.1), scored(b=0.5, c=0.4, a=0.1)])
        assert isinstance(answer, Answer)
        assert answer.label == "c"

    def test_without_scores_the_majority_decides_and_the_first_among_equals(self):
        answers = [said("b", label="b"), said("a", label="a"), said("hm"), said("a", label="a"), said("b", label="b")]
        answer = combine(CLASSIFY, LABELS, answers)
        assert isinstance(answer, Answer)
        assert (answer.label, answer.confidence, answer.parts) == ("b", 0.5, 5)

    def test_no_label_anywhere_is_no_label(self):
        answer = combine(CLASSIFY, LABELS, [said("hm"), said("oh")])
        assert isinstance(answer, Answer)
        assert (answer.label, answer.text, answer.parts) == (None, "hm", 2)

    def test_the_most_confident_answer_is_the_documents(self):
        sure = said("yes", confidence=0.8, evidence=(Evidence(quote="q", page=7),), notes=("n2",))
        answer = combine(ASK, QUESTION, [said("no", confidence=0.1, notes=("n1",)), sure])
        assert isinstance(answer, Answer)
        assert (answer.text, answer.confidence, answer.evidence) == ("yes", 0.8, sure.evidence)
        assert (answer.notes, answer.usage.prompt_tokens) == (("n1", "n2"), 20)

    def test_the_only_part_with_an_answer_needs_no_engine(self):
        answer = combine(ASK, QUESTION, [said(NOT_ANSWERED, confidence=0.0), said("yes"), said(NOT_ANSWERED)])
        assert isinstance(answer, Answer)
        assert (answer.text, answer.parts) == ("yes", 3)

    def test_several_answers_without_confidence_go_to_an_engine_with_their_quotes(self):
        step = combine(
            ASK,
            QUESTION,
            [said("yes", evidence=(Evidence(quote="q1", page=2),)), said(NOT_ANSWERED, confidence=0.0), said("no")],
            title="Lease",
        )
        assert step == StepInput(
            stage="reduce", task=ASK, options=QUESTION, title="Lease", text='yes\nQuote: "q1"\n\nno'
        )

    def test_summaries_go_to_an_engine(self):
        step = combine(SUMMARIZE, TaskOptions(), [said("One."), said(""), said("Two.")])
        assert isinstance(step, StepInput)
        assert (step.stage, step.text) == ("reduce", "One.\n\nTwo.")


class TestTree:
    @pytest.mark.parametrize("limit", [64, 200, 3000])
    @pytest.mark.parametrize("words", [5, 40, 500])
    def test_a_tree_over_a_hundred_parts_ends_with_every_call_within_the_limit(self, limit, words):
        answers = [said("some summary words " * words) for _ in range(100)]
        levels = 0
        while len(answers) > 1:
            steps = reduce_steps(SUMMARIZE, TaskOptions(), answers, limit_tokens=limit, count=COUNT)
            assert all(COUNT(step.text) <= limit for step in steps)
            assert [step.part for step in steps] == list(range(len(steps)))
            assert {step.parts for step in steps} == {len(steps)}
            assert len(steps) <= (len(answers) + 1) // 2
            answers = [said("some summary words " * words) for _ in steps]
            levels += 1
        assert levels <= 7

    def test_neighbours_stay_together_and_in_order(self):
        answers = [said(f"part {number}") for number in range(6)]
        steps = reduce_steps(SUMMARIZE, TaskOptions(), answers, limit_tokens=16, count=COUNT, title="T")
        assert "\n\n".join(step.text for step in steps) == "\n\n".join(answer.text for answer in answers)
        assert {step.title for step in steps} == {"T"}

    def test_parts_without_an_answer_are_left_out_and_if_none_has_one_that_is_said(self):
        none = said(NOT_ANSWERED, confidence=0.0)
        (step,) = reduce_steps(ASK, QUESTION, [none, said("yes"), none, said("no")], limit_tokens=99, count=COUNT)
        assert step.text == "yes\n\nno"
        (step,) = reduce_steps(ASK, QUESTION, [none, none], limit_tokens=99, count=COUNT)
        assert step.text == NOT_ANSWERED

    def test_folding_adds_up_what_the_parts_cost_and_found(self):
        below = [said("x", evidence=(Evidence(quote="a  b", page=3),), notes=("n",)), said("y", parts=4)]
        whole = fold(said("z", evidence=(Evidence(quote="a b"),)), below)
        assert (whole.text, whole.parts, whole.usage.prompt_tokens) == ("z", 5, 30)
        assert whole.evidence == (Evidence(quote="a b", page=3),)
        assert whole.notes == ("n",)

    def test_a_quote_that_a_reduce_call_copied_with_mistakes_keeps_its_place(self):
        """It is aligned with what the parts had quoted, not with their answers."""
        lease = Evidence(quote="The tenant pays 900 euros on the first of each month.", page=3, start=40, end=93)
        below = [said("x", evidence=(Evidence(quote="Notice is three months.", page=9, start=4, end=27), lease))]
        (piece,) = fold(said("z", evidence=(Evidence(quote="the tenant pays 900 euro on the first"),)), below).evidence
        assert (piece.page, piece.start, piece.end, piece.unsupported) == (3, 40, 93, False)

    def test_a_quote_that_a_reduce_call_made_up_is_marked_and_those_below_stand_beside_it(self):
        below = [said("x", evidence=(Evidence(quote="Notice is three months.", page=9),))]
        whole = fold(said("z", evidence=(Evidence(quote="Nobody ever said so in here."),)), below)
        assert [(piece.unsupported, piece.page) for piece in whole.evidence] == [(True, None), (False, 9)]
        assert whole.notes == (UNSUPPORTED,)

    def test_a_quote_goes_through_two_reduce_calls(self):
        """Those of the calls between have no place of their own."""
        between = said("y", evidence=(Evidence(quote="a  b"),))
        whole = fold(
            said("z", evidence=(Evidence(quote="a b"),)),
            [said("x", evidence=(Evidence(quote="a b", page=3),)), between],
        )
        assert [piece.page for piece in whole.evidence] == [3]

    def test_an_answer_that_passes_no_quote_on_keeps_those_below(self):
        assert fold(said("z"), [said("x", evidence=(Evidence(quote="a", page=3),))]).evidence[0].page == 3
