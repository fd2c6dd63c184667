"""Whatever becomes of the pieces on their way, a listener ends with the answer's text, and has none of it twice."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from viiwork.telling import Broken, Delta, Restart, Said, Telling, Told

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def pieces_of(attempt: int, text: str, cuts: Sequence[int]) -> list[Said]:
    """An attempt's text as a worker says it."""
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    begins = [0, *ends[:-1]]
    return [
        Said(f"{attempt}-{begin}", attempt, len(text[:begin].encode()), text[begin:end])
        for begin, end in zip(begins, ends, strict=True)
    ]


@st.composite
def spoken(draw: st.DrawFn) -> tuple[list[Said], str, int]:
    """What several attempts said, any of it lost, doubled or out of order, and the answer of the last of them."""
    texts = draw(st.lists(TEXT, min_size=1, max_size=4))
    cuts = st.lists(st.integers(0, 40), max_size=6)
    pieces = [piece for at, text in enumerate(texts, 1) for piece in pieces_of(at, text, draw(cuts))]
    some = draw(st.lists(st.sampled_from(pieces), max_size=30))
    return draw(st.sampled_from([pieces, some, [*pieces, *some]])), texts[-1], len(texts)


def taken(told: Sequence[Told]) -> str:
    """What a listener has that takes each delta and begins again at each restart."""
    text = ""
    for event in told:
        assert not isinstance(event, Broken)
        text = text + event.text if isinstance(event, Delta) else ""
    return text


@given(spoken(), st.booleans())
def test_any_interleaving_ends_with_the_exact_text(case: tuple[list[Said], str, int], anew: bool) -> None:
    """Losses, duplicates, overlaps and late pieces of earlier attempts make no difference in the end."""
    pieces, answer, attempt = case
    telling = Telling(anew=anew)
    told = [event for piece in pieces for event in telling.hear([piece])]
    told += telling.end(answer, attempt=attempt)
    assert taken(told) == answer
    assert telling.end(answer, attempt=attempt) == []


@given(spoken())
def test_what_a_listener_has_is_always_the_beginning_of_the_attempt_that_speaks(
    case: tuple[list[Said], str, int],
) -> None:
    """Never a piece without those before it, and no attempt's text after a later one's."""
    pieces, _, _ = case
    whole = {piece.attempt: "" for piece in pieces}
    for attempt, begins, text in sorted({(piece.attempt, piece.at, piece.text) for piece in pieces}):
        whole[attempt] += text if len(whole[attempt].encode()) == begins else ""
    telling, told = Telling(), list[Told]()
    for piece in pieces:
        told += telling.hear([piece])
        speaks = max((event.attempt for event in told), default=0)
        assert [event.attempt for event in told] == sorted(event.attempt for event in told)
        assert whole.get(speaks, "").startswith(taken(told)) or piece.attempt > speaks


@given(spoken())
def test_a_listener_that_cannot_begin_again_is_told_so_once_and_nothing_after(
    case: tuple[list[Said], str, int],
) -> None:
    """It is never told `restart`; either it gets the exact text, or it is broken off."""
    pieces, answer, attempt = case
    telling = Telling(can_restart=False)
    told = [*telling.hear(pieces), *telling.end(answer, attempt=attempt)]
    assert not any(isinstance(event, Restart) for event in told)
    broken = [at for at, event in enumerate(told) if isinstance(event, Broken)]
    assert telling.broken == bool(broken)
    if broken:
        assert broken == [len(told) - 1]
        assert any(isinstance(event, Delta) for event in told[: broken[0]])
    else:
        assert taken(told) == answer


def test_a_later_attempt_that_speaks_first_needs_no_restart() -> None:
    """Nothing was told yet, so nothing is void."""
    telling = Telling(can_restart=False)
    assert telling.hear([Said("1", 2, 0, "two")]) == [Delta(attempt=2, text="two")]
    assert telling.hear([Said("0", 1, 0, "one")]) == []


def test_a_later_attempt_begins_again_once() -> None:
    """`restart`, then its text alone."""
    telling = Telling()
    pieces = [Said("1", 1, 0, "one "), Said("2", 2, 0, "tw"), Said("3", 1, 4, "more"), Said("4", 2, 2, "o")]
    assert telling.hear(pieces) == [
        Delta(attempt=1, text="one "),
        Restart(attempt=2),
        Delta(attempt=2, text="tw"),
        Delta(attempt=2, text="o"),
    ]


def test_whoever_comes_back_is_told_to_begin_again_even_if_the_answer_is_empty() -> None:
    """It may hold text from before."""
    assert Telling(anew=True).end("", attempt=3) == [Restart(attempt=3)]
    assert Telling(anew=True).end("all", attempt=3) == [Restart(attempt=3), Delta(attempt=3, text="all")]


def test_what_is_missing_at_the_end_comes_without_a_restart() -> None:
    """The last pieces need not have been said."""
    telling = Telling()
    telling.hear([Said("1", 1, 0, "né")])
    assert telling.end("née", attempt=1) == [Delta(attempt=1, text="e")]
