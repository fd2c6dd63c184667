"""Cutting to sentences: what must stay whole, what must come apart, and what is no sentence at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork_workers.engines.extractive.sentences import Kind, sentences

WHOLE = [
    "Brandt & Sons Inc. delivers the valves to Lakeside Ltd. on Mondays.",
    "See No. 5 of the list and sections 2.1 and 4.2 of the policy.",
    "It costs $1,412.50 or 3.5 percent more, e.g. for small orders.",
    "Dr. J. P. Merrick met Mr. Dale at 7.30 p.m. in the village hall.",
    "The U.S. Government and St. Mary's Hospital agreed (cf. Fig. 3, pp. 12 ff.) on Art. 5.",
    "Prices rose by approx. 20 percent vs. 2024.",
    'He asked "Is it ready?" and left.',
]
APART = [
    ("It ends in May. The rest follows.", ["It ends in May.", "The rest follows."]),
    ("We deal with Acme Inc. The price is fixed.", ["We deal with Acme Inc.", "The price is fixed."]),
    ("It opens at 7 a.m. There is no charge.", ["It opens at 7 a.m.", "There is no charge."]),
    ("Really? Yes! It is “done.” They left.", ["Really?", "Yes!", "It is “done.”", "They left."]),
    ("The rate is 4.5. Next year it is 5.", ["The rate is 4.5.", "Next year it is 5."]),
    ("Wait… Then it starts.", ["Wait…", "Then it starts."]),
]
SHAPES = [
    ("From: Lena <lena@x.example>", Kind.BOILERPLATE),
    ("Page 3 of 12", Kind.BOILERPLATE),
    ("- 7 -", Kind.BOILERPLATE),
    ("Dear Mrs. Okafor,", Kind.BOILERPLATE),
    ("Kind regards", Kind.BOILERPLATE),
    ("© 2026 Acme", Kind.BOILERPLATE),
    ("| Warehouse | 5.9 | 7.1 |", Kind.ROW),
    ("Bolts M8     12,400      3,100", Kind.ROW),
    ("Total due: $653.40", Kind.ROW),
    ("## Findings", Kind.HEADING),
    ("2. Price and payment", Kind.HEADING),
    ("SUPPLY AGREEMENT No. 5/2026", Kind.HEADING),
    ("What a year costs", Kind.HEADING),
    ("- The hall seats 80 guests.", Kind.BULLET),
    ("The hall seats 80 guests.", Kind.PROSE),
]


@pytest.mark.parametrize("text", WHOLE)
def test_abbreviations_and_numbers_do_not_end_a_sentence(text: str) -> None:
    """One sentence in, one sentence out."""
    assert [piece.text for piece in sentences(text)] == [text]


@pytest.mark.parametrize(("text", "parts"), APART)
def test_a_sentence_ends_where_a_reader_sees_its_end(text: str, parts: list[str]) -> None:
    """Also after an abbreviation, when a new sentence clearly begins."""
    assert [piece.text for piece in sentences(text)] == parts


@pytest.mark.parametrize(("line", "kind"), SHAPES)
def test_a_line_is_known_by_its_shape(line: str, kind: Kind) -> None:
    """So that summaries leave out what only frames the text."""
    assert [piece.kind for piece in sentences(line)] == [kind]


def test_wrapped_lines_are_one_sentence_and_hyphens_at_their_ends_go() -> None:
    """As they come out of a PDF."""
    text = (
        "The supplier shall deliver the valves in the quanti-\nties that the buyer orders each\n"
        "quarter. It bears the cost."
    )
    assert [piece.text for piece in sentences(text)] == [
        "The supplier shall deliver the valves in the quantities that the buyer orders each quarter.",
        "It bears the cost.",
    ]


def test_numbering_and_markup_are_taken_off_what_people_read() -> None:
    """The verbatim quote keeps what stands between its ends."""
    text = "1.1 The **Supplier** shall deliver.\n1.2 See [the list](https://x.example/a).\n(a) It pays `now`."
    assert [piece.text for piece in sentences(text)] == [
        "The Supplier shall deliver.",
        "See the list.",
        "It pays now.",
    ]


def test_a_row_is_told_as_name_and_value() -> None:
    """Cells of a longer row are kept apart."""
    rows = sentences("| Salary | GBP 58,500 a year |\n| A | 1 | 2 |")
    assert [row.text for row in rows] == ["Salary: GBP 58,500 a year", "A | 1 | 2"]


@given(st.text(alphabet=st.sampled_from("aB1 .!?\n|-:#•(“”\t\u00a0Inc"), max_size=300))
def test_every_piece_is_a_verbatim_span_and_none_overlap(text: str) -> None:
    """Whatever comes in: quotes must be found again in their source."""
    end = 0
    for piece in sentences(text):
        assert end <= piece.start < piece.end <= len(text)
        assert piece.text.strip()
        end = piece.end
