"""A plan gives each model its cards, says why so, and what would help where they do not suffice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from viiwork.placement.cards import PlanCard, cards_named
from viiwork.placement.plan import Plan, plan
from viiwork.placement.shape import ModelShape
from viiwork.placement.split import Server
from viiwork.placement.support import Answer, Support
from viiwork.placement.wish import read_wish


def planned(cards: str | tuple[PlanCard, ...], *models: str, engine: Server = "vllm") -> Plan:
    found = cards_named(cards) if isinstance(cards, str) else cards
    return plan([read_wish(model, engine=engine) for model in models], found, engine=engine)


def laid(made: Plan) -> list[tuple[str, int, str]]:
    """Model, number of cards and split of each replica."""
    return [(each.model, len(each.cards), each.split) for each in made.placements]


def replicas(made: Plan, model: str) -> int:
    return sum(each.model == model for each in made.placements)


def test_a_model_that_fits_on_one_card_gets_one_a_replica() -> None:
    """No group, and no card is spare."""
    made = planned("4xRadeonVII", "mistral-7b:int4")
    assert laid(made) == [("mistral-7b:int4", 1, "one card")] * 4
    assert [each.name for each in made.placements] == ["gpu0", "gpu1", "gpu2", "gpu3"]
    assert made.spare == made.refusals == ()


def test_three_cards_hold_in_a_pipeline_what_they_cannot_divide() -> None:
    """40 heads over 3 cards: the reason names them."""
    made = planned("3xRadeonVII", "qwen2.5-14b")
    assert laid(made) == [("qwen2.5-14b", 3, "pipeline parallel")]
    assert "40 attention heads: tensor parallel 3 does not divide" in made.placements[0].why


def test_a_fourth_card_that_nobody_wants_turns_a_pipeline_into_tensor_parallel() -> None:
    """Rather than lie idle."""
    made = planned("4xRadeonVII", "qwen2.5-14b")
    assert laid(made) == [("qwen2.5-14b", 4, "tensor parallel")]
    tied = planned("4xMI250X", "llama-2-70b,context=512")
    assert [(len(each.cards), each.tp) for each in tied.placements] == [(4, 4), (4, 4)]
    assert "3 cards hold it in a pipeline of 3, 4 need none." in tied.placements[0].why


def test_a_fourth_card_goes_to_another_model_before_that() -> None:
    """Every model is served once first."""
    made = planned("4xRadeonVII", "qwen2.5-14b", "mistral-7b:int4")
    assert laid(made) == [("qwen2.5-14b", 3, "pipeline parallel"), ("mistral-7b:int4", 1, "one card")]


def test_five_cards_serve_two_models_and_the_rest_goes_by_demand() -> None:
    """A pair for the larger one, a card for the other, and the spare pair where more of it is wanted."""
    equal = planned("5xRadeonVII", "qwen3-30b-a3b:int4", "qwen2.5-14b:int4")
    assert (replicas(equal, "qwen3-30b-a3b:int4"), replicas(equal, "qwen2.5-14b:int4")) == (2, 1)
    other = planned("5xRadeonVII", "qwen3-30b-a3b:int4", "qwen2.5-14b:int4,share=4")
    assert (replicas(other, "qwen3-30b-a3b:int4"), replicas(other, "qwen2.5-14b:int4")) == (1, 3)


def test_cards_that_nobody_wants_make_a_tensor_parallel_group_rather_than_a_longer_pipeline() -> None:
    """Five hold it in a pipeline; of eight all are used, not seven."""
    made = planned("8xRadeonVII", "qwen3-30b-a3b")
    assert laid(made) == [("qwen3-30b-a3b", 8, "tensor parallel")]


def test_one_document_at_a_time_is_warned_of_with_what_would_be_more() -> None:
    """Narrower weights on the same card."""
    made = planned("1xMI50-32GB", "llama-2-13b")
    assert made.warnings == (
        "llama-2-13b on gpu0: one document of 4,096 tokens at a time; 4 as --model llama-2-13b:int8.",
    )


def test_eight_cards_are_one_group_for_a_model_of_87_gib() -> None:
    """As wide as its heads allow."""
    made = planned("8xRadeonVII", "mixtral-8x7b")
    assert laid(made) == [("mixtral-8x7b", 8, "tensor parallel")]
    assert made.placements[0].tp == 8


def test_ten_cards_hold_two_large_groups_and_two_small_models() -> None:
    """Three cards would hold the large one with two documents in flight for three stages: it gets four."""
    made = planned("10xRadeonVII", "llama-2-70b:int4", "mistral-7b:int4")
    assert laid(made) == [("llama-2-70b:int4", 4, "tensor parallel")] * 2 + [("mistral-7b:int4", 1, "one card")] * 2
    assert "3 cards hold it with 2 documents in flight, 4 with 13" in made.placements[0].why


def test_three_cards_that_are_all_there_is_hold_it_with_a_warning() -> None:
    """A pipeline that stands still in turn is better than none."""
    made = planned("3xRadeonVII", "llama-2-70b:int4")
    assert laid(made) == [("llama-2-70b:int4", 3, "pipeline parallel")]
    assert any("2 in flight for 3 stages" in warning for warning in made.warnings)


def test_two_models_and_three_cards_are_served_once_each() -> None:
    """A second replica of one does not come before the first of another, whoever is named first."""
    for models in (("mistral-7b:int4,share=50", "mistral-7b"), ("mistral-7b", "mistral-7b:int4,share=50")):
        made = planned("3xRadeonVII", *models)
        assert replicas(made, "mistral-7b") == replicas(made, "mistral-7b:int4") == 1


def test_the_replicas_that_were_asked_for_come_before_demand() -> None:
    """Two of the small share first, then the rest by share."""
    made = planned("4xRadeonVII", "mistral-7b:int4,share=100", "qwen2.5-14b:int4,replicas=2")
    assert replicas(made, "mistral-7b:int4") == replicas(made, "qwen2.5-14b:int4") == 2


def named(made: Plan) -> dict[str, list[str]]:
    """Workers by model."""
    found: dict[str, list[str]] = {}
    for each in made.placements:
        found.setdefault(each.model, []).append(each.name)
    return found


def test_where_all_links_are_alike_a_group_has_neighbours_and_single_cards_the_rest() -> None:
    """Whoever is named first, and though groups are made one after the other and widened at the end."""
    assert named(planned("8xRadeonVII", "mistral-7b:int4,replicas=2", "qwen2.5-14b")) == {
        "mistral-7b:int4": ["gpu6", "gpu7"],
        "qwen2.5-14b": ["gpu0+gpu1+gpu2", "gpu3+gpu4+gpu5"],
    }
    assert named(planned("10xRadeonVII", "mistral-7b:int4", "llama-2-70b:int4")) == {
        "mistral-7b:int4": ["gpu8", "gpu9"],
        "llama-2-70b:int4": ["gpu0+gpu1+gpu2+gpu3", "gpu4+gpu5+gpu6+gpu7"],
    }


def test_a_single_card_is_taken_where_it_breaks_no_row() -> None:
    """Of those with equal links the one beside the lost card, and the group keeps its neighbours."""
    cards = tuple(
        replace(card, trouble="it has left the bus") if card.index == 1 else card for card in cards_named("5xRadeonVII")
    )
    assert named(planned(cards, "mistral-7b:int4,replicas=1,share=0.1", "qwen2.5-14b")) == {
        "mistral-7b:int4": ["gpu0"],
        "qwen2.5-14b": ["gpu2+gpu3+gpu4"],
    }


def test_over_x1_risers_layers_are_split_and_the_reason_names_the_link() -> None:
    """A pair that would be tensor parallel over 16 lanes."""
    assert laid(planned("2xRadeonVII", "mistral-7b")) == [("mistral-7b", 2, "tensor parallel")]
    made = planned("2xRadeonVII@x1", "mistral-7b")
    assert laid(made) == [("mistral-7b", 2, "pipeline parallel")]
    assert "The slowest link, 0.8 GB/s, lets tensor parallel pass 1,564 tokens/s at most" in made.placements[0].why


def test_groups_get_the_good_links_and_single_cards_the_others() -> None:
    """Two of four cards sit on risers."""
    made = planned("2xRadeonVII@x1+2xRadeonVII", "mistral-7b:int4", "mistral-7b")
    where = {each.model: each.name for each in made.placements if len(each.cards) > 1}
    assert where == {"mistral-7b": "gpu2+gpu3"}
    assert replicas(made, "mistral-7b:int4") == 2


def test_a_link_that_nobody_tells_of_is_said_to_be_unknown() -> None:
    """It is taken to be good, in so many words."""
    cards = tuple(replace(card, link=None) for card in cards_named("2xRadeonVII"))
    assert "nobody tells of them" in planned(cards, "mistral-7b").placements[0].why


def test_llama_cpp_splits_by_layers() -> None:
    """It knows no tensor parallelism here."""
    made = planned("2xRadeonVII", "qwen2.5-14b:int8", engine="llama.cpp")
    assert laid(made) == [("qwen2.5-14b:int8", 2, "layer split")]
    assert "llama.cpp splits by layers" in made.placements[0].why


def test_a_small_model_leaves_the_large_card_to_who_needs_it() -> None:
    """One card of 32 GB among small ones."""
    made = planned("1xMI50-32GB+1xRadeonVII", "qwen2.5-14b:int4", "qwen2.5-14b:int8")
    assert {each.model: each.cards[0].kind for each in made.placements} == {
        "qwen2.5-14b:int4": "Radeon VII",
        "qwen2.5-14b:int8": "Instinct MI50 32GB",
    }


def test_in_a_mixed_group_the_smallest_card_counts_and_it_is_said() -> None:
    """Alike cards come first; only where there are too few are they mixed."""
    alike = planned("2xRadeonVII+2xMI50-32GB", "qwen2.5-14b")
    assert [card.kind for card in alike.placements[0].cards] == ["Instinct MI50 32GB"] * 2
    mixed = planned("1xRadeonVII+1xMI50-32GB", "mistral-7b:int8,context=32768,replicas=1", "qwen2.5-14b:int8")
    assert mixed.placements
    pair = planned("2xRadeonVII+1xMI50-32GB", "qwen2.5-14b")
    assert laid(pair) == [("qwen2.5-14b", 3, "pipeline parallel")]
    assert "Of gpu2 no more is used than the smallest card has, 16.0 GiB." in pair.placements[0].why


def test_chips_are_never_mixed_in_a_group() -> None:
    """One engine runs on one sort of chip."""
    made = planned("1xRadeonVII+1xMI100", "qwen2.5-14b,context=32768")
    assert made.placements == ()
    assert made.refusals[0].model == "qwen2.5-14b"


def test_a_card_in_reset_is_left_out_with_the_reason() -> None:
    """The others are planned for."""
    first, *others = cards_named("3xRadeonVII")
    made = planned((replace(first, trouble="its driver starts it again"), *others), "mistral-7b:int4")
    assert [each.name for each in made.placements] == ["gpu1", "gpu2"]
    assert made.warnings == ("gpu0 is left out: its driver starts it again.",)


def test_without_cards_every_model_is_refused() -> None:
    """And nothing is suggested."""
    made = planned((), "mistral-7b:int4")
    assert [(each.model, each.why, each.would_fit) for each in made.refusals] == [
        ("mistral-7b:int4", "There is no card to use.", ())
    ]


def test_what_does_not_fit_is_refused_with_figures_and_with_what_would() -> None:
    """Each suggestion comes true when it is followed."""
    made = planned("4xRadeonVII", "mistral-7b", "llama-2-13b")
    (refusal,) = made.refusals
    assert refusal.model == "llama-2-13b"
    assert refusal.needs_bytes > refusal.largest_bytes > 0
    assert refusal.would_fit == (
        "as --model llama-2-13b:int8 (2 cards)",
        "as --model llama-2-13b:int4 (1 card)",
        "on 5 cards (1 more Radeon VII)",
        "with context=1280",
        "without mistral-7b",
    )
    assert not planned("4xRadeonVII", "mistral-7b", "llama-2-13b:int8").refusals
    assert not planned("4xRadeonVII", "mistral-7b", "llama-2-13b:int4").refusals
    assert not planned("5xRadeonVII", "mistral-7b", "llama-2-13b").refusals
    assert not planned("4xRadeonVII", "mistral-7b", "llama-2-13b,context=1280").refusals
    assert not planned("4xRadeonVII", "llama-2-13b").refusals


def test_what_would_not_fit_even_alone_is_measured_against_all_cards() -> None:
    """And what only the others are in the way of, against what they leave."""
    made = planned("4xRadeonVII", "llama-3-70b:int4", "mixtral-8x7b")
    (refusal,) = made.refusals
    assert refusal.model == "mixtral-8x7b"
    assert refusal.largest_bytes == pytest.approx(4 * 14.39 * 2**30, rel=0.01)
    (crowded,) = planned("2xRadeonVII", "mistral-7b", "qwen2.5-14b:int4,replicas=2").refusals
    assert (crowded.largest_bytes, crowded.why) == (0, "The others take all cards that it could use.")


def test_a_request_longer_than_the_model_can_is_refused_with_its_own_length() -> None:
    """More cards would not help, and are not suggested."""
    made = planned("4xRadeonVII", "llama-2-7b:int4,context=8192")
    assert made.refusals[0].would_fit == ("with context=4096",)
    assert "takes 4,096 tokens at most" in made.refusals[0].why
    assert made.refusals[0].needs_bytes == 0


def test_where_neither_narrower_weights_nor_a_shorter_request_is_enough_both_are_suggested_together() -> None:
    """On ten cards a request longer than the model can hid that it fits in 4 bits."""
    (refusal,) = planned("10xRadeonVII", "llama-2-70b,context=8192").refusals
    assert refusal.would_fit == (
        "as --model llama-2-70b:int8,context=4096 (8 cards)",
        "as --model llama-2-70b:int4,context=4096 (4 cards)",
    )
    for hint in refusal.would_fit:
        assert not planned("10xRadeonVII", hint.removeprefix("as --model ").partition(" ")[0]).refusals


def test_where_there_is_no_room_beside_all_others_one_of_them_is_named() -> None:
    """Beside two large models even 4 bits do not fit: without which they would is said all the same."""
    made = planned("10xRadeonVII", "llama-2-70b", "mixtral-8x7b", "qwen3-32b", "llama-3-70b")
    told = {refusal.model: refusal.would_fit for refusal in made.refusals}
    assert "as --model llama-3-70b:int4 without mixtral-8x7b" in told["llama-3-70b"]
    assert not planned("10xRadeonVII", "llama-3-70b:int4", "qwen3-32b").refusals


def test_what_is_wanted_as_well_is_not_suggested_in_its_place() -> None:
    """Named twice it would be refused."""
    (refusal,) = planned("2xRadeonVII", "mistral-7b:int4", "mistral-7b").refusals
    assert [hint for hint in refusal.would_fit if hint.startswith("as")] == ["as --model mistral-7b:int8 (1 card)"]


def test_a_model_of_ones_own_needs_other_files_for_narrower_weights() -> None:
    """No name of the catalogue is suggested for it."""
    wish = replace(read_wish("llama-2-13b"), catalogued=False)
    (refusal,) = plan([wish], cards_named("1xRadeonVII")).refusals
    assert refusal.would_fit[0] == "with int4 weights (1 card)"
    both = replace(wish, context_tokens=8192)
    (refusal,) = plan([both], cards_named("1xRadeonVII")).refusals
    assert refusal.would_fit == ("with int4 weights and context=4096 (1 card)",)


def test_what_the_others_leave_is_what_the_plan_shows() -> None:
    """Two cards that another model's second replica took are not said to be left."""
    (crowded,) = planned("4xRadeonVII", "mistral-7b", "llama-2-13b").refusals
    assert crowded.why.startswith(
        "What the others need at least leaves 2 cards that it could use, too few for it: they have them as well."
    )
    made = planned("3xRadeonVII", "qwen3-30b-a3b:int4", "llama-2-13b")
    assert [card.label for card in made.spare] == ["gpu2"]
    assert made.refusals[0].why.startswith("The others leave 1 card that it could use.")


def test_a_group_says_on_how_many_cards_narrower_weights_would_be() -> None:
    """In the words that ask for them."""
    why = planned("8xRadeonVII", "mixtral-8x7b").placements[0].why
    assert "It would take 4 cards as --model mixtral-8x7b:int8, 2 cards as --model mixtral-8x7b:int4." in why
    assert "would take" not in planned("2xRadeonVII", "qwen3-30b-a3b:int4").placements[0].why


def test_too_few_replicas_are_a_refusal_that_says_how_many_there_are() -> None:
    """The one that fits is placed all the same."""
    made = planned("3xRadeonVII", "mistral-7b,replicas=2")
    assert replicas(made, "mistral-7b") == 1
    assert made.refusals[0].why == "2 replicas are wanted, and there is room for 1."
    assert "on 4 cards (1 more Radeon VII)" in made.refusals[0].would_fit


def answering(answer: Answer, why: str) -> Support:
    return Support(answer, why, date(2026, 11, 1))


@pytest.mark.parametrize(("answer", "placed"), [("works", 2), ("unknown", 2), ("no", 0)])
def test_what_is_known_not_to_work_is_refused_and_what_is_unknown_is_warned_of(answer: Answer, placed: int) -> None:
    """With the reason of the table."""
    wish = read_wish("mistral-7b:int4")
    made = plan([wish], cards_named("2xRadeonVII"), known=lambda _shape, _arch: answering(answer, "of the moon"))
    assert len(made.placements) == placed
    said = [*made.warnings, *(refusal.why for refusal in made.refusals)]
    assert [("of the moon" in each) for each in said] == ([] if answer == "works" else [True])


def test_a_chip_that_a_model_does_not_run_on_is_left_to_others() -> None:
    """The plan keeps to the chips on which it may work."""

    def known(_shape: ModelShape, arch: str) -> Support:
        return answering("no" if arch == "gfx906" else "works", "no kernels")

    made = plan([read_wish("mistral-7b:int4")], cards_named("1xRadeonVII+1xMI100"), known=known)
    assert [each.cards[0].arch for each in made.placements] == ["gfx908"]
    assert [card.arch for card in made.spare] == ["gfx906"]
