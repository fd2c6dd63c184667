"""Where quotes stand: found although they were copied with mistakes, and not found when they were made up."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from viiwork.documents.provenance import UNSUPPORTED, ground
from viiwork.documents.quotes import LONGEST_CHARACTERS, NEAR_CHARACTERS, Text
from viiwork.work import Answer, Evidence

TEXT = "The rent is\n900 euros.\n\nNotice: three months before the lease ends."
SAMPLES = Path(__file__).resolve().parents[2] / "docs"
INVENTED = (
    "The supplier shall indemnify the customer against every loss that arises from late delivery of the goods.",
    "Payment falls due thirty days after the invoice has been received by the accounts department.",
    "Both parties agreed to settle the dispute before a court in Zurich without further appeal.",
    "The patient reported mild headaches after the second dose and recovered within two days.",
    "Her grandmother had planted the apple trees long before the war reached the valley.",
    "The committee approved the budget for new laboratory equipment with nine votes to two.",
    "Rainfall in the northern districts exceeded the seasonal average by a wide margin.",
    "A deposit of three months of rent is to be paid before the keys are handed over.",
    "The vessel left the harbour at dawn and was never seen again by the coast guard.",
    "Employees may carry over at most five days of leave into the following calendar year.",
    "The museum closes on Mondays, except when a public holiday falls on that day.",
    "Interest accrues at four percent above the base rate from the date of default.",
    "The applicant holds a degree in mechanical engineering and speaks three languages.",
    "All samples were frozen within an hour and shipped on dry ice to the reference centre.",
    "He promised to repay the loan as soon as the harvest had been sold in autumn.",
    "The insurance does not cover damage caused by floods, earthquakes or civil unrest.",
    "Visitors must wear a badge at all times and be accompanied by a member of staff.",
    "The orchestra will perform two symphonies and a concerto for violin next spring.",
    "Tenants are not permitted to keep dogs, cats or reptiles in the apartment.",
    "The bridge was inspected in June and found to need repairs on its eastern pillar.",
    "Any notice under this agreement must be sent by registered mail to the address above.",
    "The children learned to swim in the cold lake behind the old sawmill.",
    "Turnover rose by a fifth while the costs of raw materials remained almost unchanged.",
    "The witness could not remember the colour of the car that had stopped at the corner.",
    "Please return the signed form to our office in Rotterdam no later than next Friday.",
)


def answer(*quotes: str) -> Answer:
    return Answer(text="x", evidence=tuple(Evidence(quote=quote) for quote in quotes))


def passages(length: int) -> Iterator[str]:
    """Real prose of about this length: this project's own pages."""
    whole = "\n\n".join(page.read_text("utf-8") for page in sorted(SAMPLES.glob("*.md")))
    for at in range(0, len(whole) - length, length):
        yield whole[at : at + length]


def noisy(quote: str, share: float, dice: random.Random) -> str:
    """The quote with so many of its characters replaced, left out or doubled."""
    made = ""
    for character in quote:
        if dice.random() >= share:
            made += character
        else:
            made += dice.choice((dice.choice(string.ascii_lowercase), "", character * 2))
    return made


def quoted(text: str, dice: random.Random, *, count: int) -> Iterator[tuple[int, str]]:
    """Places in the text, and what stands there as a model writes it: in one line."""
    for _ in range(count):
        start = dice.randrange(len(text) - 200)
        piece = text[start : start + dice.randint(40, 180)]
        if sum(map(str.isalpha, piece)) > len(piece) / 2:
            yield start, " ".join(piece.split())


@pytest.mark.parametrize("length", [4_000, NEAR_CHARACTERS * 5])
@pytest.mark.parametrize(("share", "least"), [(0.0, 1.0), (0.02, 1.0), (0.05, 0.99)])
def test_quotes_copied_with_mistakes_are_found_where_they_stand(length: int, share: float, least: float) -> None:
    """The gate: all at 0 to 5 % of wrong characters, at least 99 of 100; in a chunk, and in a very long one."""
    dice = random.Random(7)
    found = total = 0
    for text in list(passages(length))[:4]:
        place, in_one_line = Text(text), " ".join(text.split())
        for start, quote in quoted(text, dice, count=60):
            span = place.find(noisy(quote, share, dice))
            total += 1
            found += span is not None and (abs(span.start - start) < 40 or in_one_line.count(quote[:30]) > 1)
    assert total > 100
    assert found / total >= least, (found, total)


@pytest.mark.parametrize("length", [4_000, NEAR_CHARACTERS * 5])
def test_none_of_fifty_invented_quotes_is_found(length: int) -> None:
    """The gate's other half: sentences that stand nowhere, whole and halved."""
    halves = [" ".join(sentence.split()[: len(sentence.split()) // 2]) for sentence in INVENTED]
    invented = (*INVENTED, *halves)
    assert len(invented) == 50
    for text in list(passages(length))[:12]:
        place = Text(text)
        assert [quote for quote in invented if place.find(quote)] == []


class TestGround:
    def test_a_quote_gets_the_page_that_it_starts_on_and_its_span_in_the_document(self) -> None:
        starts = ((0, 4), (24, 5))
        found = ground(answer("rent is 900 EUROS", "Notice: three months"), TEXT, starts, start=1_000).evidence
        assert [piece.page for piece in found] == [4, 5]
        spans = [TEXT[(piece.start or 0) - 1_000 : (piece.end or 0) - 1_000] for piece in found]
        assert spans == ["rent is\n900 euros", "Notice: three months"]
        assert not any(piece.unsupported for piece in found)

    def test_an_invented_quote_is_kept_and_marked_with_a_note(self) -> None:
        marked = ground(answer("The landlord lives in Paris."), TEXT, ((0, 1),))
        assert marked.evidence == (Evidence(quote="The landlord lives in Paris.", unsupported=True),)
        assert marked.notes == (UNSUPPORTED,)

    @pytest.mark.parametrize(
        ("quote", "found"),
        [
            ("6 documents and 8,240 ords for yur manual", "6 documents and 8,240 words for your manual"),
            ("words for yourr mmanuall of 12", "words for your manual of 12"),
            ("metre. Graain yieeld did nnot diffeer", "Grain yield did not differ"),
        ],
    )
    def test_lost_and_doubled_letters_do_not_cut_a_figure_off_or_take_a_neighbour_in(
        self, quote: str, found: str
    ) -> None:
        """The aligner's span is as long as the quote, so its ends are off by what the copyist lost or doubled."""
        text = "In 2021 0.09 grams per cubic centimetre. Grain yield did not differ 386 times. "
        text += "EUR 73 6 documents and 8,240 words for your manual of 12 pages."
        span = Text(text).find(quote)
        assert span is not None
        assert found in text[span.start : span.end]
        assert span.agrees

    @pytest.mark.parametrize(
        ("text", "quote"),
        [
            (
                "They agreed that the rent is 900 euros a month, payable on the 3 first days.",
                "800 euros a month, payabl on the 3",
            ),
            ("It was let for 900. The rent is 800 euros.", "The rent is 900"),
            ("900 deposit 800 euros, as was agreed", "deposit 900 euros"),
            ("In 2020 they paid 900 euros for 2 rooms.", "they payd 2 euros for 900 rooms"),
        ],
    )
    def test_another_figure_nearby_does_not_make_a_wrong_one_good(self, text: str, quote: str) -> None:
        """The ends move only to where all figures of the quote stand, no others, and its words no less than before."""
        span = Text(text).find(quote)
        assert span is None or not span.agrees

    @pytest.mark.parametrize(
        ("text", "quote"),
        [
            ("The tenant shall not pay the deposit before May.", "shall pay the deposit"),
            ("The tenant shall pay the deposit before May.", "shall not pay the deposit"),
            ("The landlord does not allow pets in the flat.", "does allow pets"),
            ("The landlord doesn't allow pets in the flat.", "The landlord does allow pets"),
            ("The landlord does not allow pets in the flat.", "The landlord does now allow pets"),
            ("Staff who leave are not entitled to a bonus.", "entitled to a bonus"),
            ("Er hat keinen Anspruch auf eine Abfindung.", "Er hat einen Anspruch auf eine Abfindung"),
            ("Der Mieter zahlt die Kaution nicht.", "Der Mieter zahlt die Kaution"),
            ("Le locataire ne doit pas payer la caution.", "Le locataire doit payer la caution"),
            ("Le locataire n'est pas tenu de payer.", "Le locataire est tenu de payer"),
            ("El inquilino no debe pagar la fianza.", "El inquilino debe pagar la fianza"),
            ("L'inquilino non deve pagare la cauzione.", "L'inquilino deve pagare la cauzione"),
            ("Der Mieter hat keine Haustiere im Haus.", "Der Mieter hat seine Haustiere im Haus"),
            ("Nothing was paid to the landlord in May.", "Anything was paid to the landlord in May"),
            ("De huurder hoeft geen borg te betalen.", "De huurder hoeft een borg te betalen"),
            ("It is to be paid within 30 days of delivery.", "to be paid within 30 months of delivery"),
            ("Turnover rose to 40 million in the year.", "Turnover rose to 40 billion"),
            ("It was -5 degrees in the morning.", "5 degrees"),
            ("It was −5 degrees in the morning.", "It was 5 degrees in the morning"),
            ("Take 5 mg with water each morning.", "Take 5 kg with water each morning"),
            ("It is due after 130 days of notice.", "30 days of notice"),
        ],
    )
    def test_a_quote_that_says_the_opposite_or_counts_something_else_is_marked(self, text: str, quote: str) -> None:
        (piece,) = ground(answer(quote), text, ((0, 1),)).evidence
        assert piece.unsupported

    @pytest.mark.parametrize(
        ("text", "quote"),
        [
            ("The tenant shall not pay the deposit.", "the tenant shal nott pay the depositt"),
            ("They do not pay the deposit for it.", "they don't pay the deposit for it"),
            ("It cannot be paid back in any year.", "It can not be paid back in any year"),
            ("Not so. It is so when paid in full.", "so when paid in full"),
            ("It was -5 and then 5 degrees.", "5 degrees"),
            ("It is not entitled. Who stays is entitled to a bonus.", "entitled to a bonus"),
            ("It is to be paid within 30 days of delivery.", "to be payd within 30 dayss of delivery"),
            ("It rose by 40 % in a year, they say.", "It rose by 40 percent in a year"),
            ("The years 2020-2021 were good for them.", "The years 2020–2021 were good"),
        ],
    )
    def test_slips_and_other_ways_to_write_the_same_are_not_marked(self, text: str, quote: str) -> None:
        (piece,) = ground(answer(quote), text, ((0, 1),)).evidence
        assert not piece.unsupported

    def test_a_quote_with_other_figures_is_shown_where_it_should_be_and_marked(self) -> None:
        """800 euros in the answer are not supported by 900 in the document, however alike the sentences are."""
        (piece,) = ground(answer("The rent is 800 euros."), TEXT, ((0, 1),)).evidence
        assert (piece.unsupported, piece.page, piece.start) == (True, 1, 0)

    def test_an_answer_without_quotes_stays_as_it_is(self) -> None:
        assert ground(answer(), TEXT, ((0, 1),)) == answer()

    @pytest.mark.parametrize("quote", ["", " ", "…", "nowhere", "the … x", "now", "ren", "euros 900"])
    def test_next_to_nothing_is_found_nowhere(self, quote: str) -> None:
        """Short ones must stand there as whole words."""
        (piece,) = ground(answer(quote), TEXT, ((0, 1),)).evidence
        assert (piece.unsupported, piece.start, piece.page) == (True, None, None)


class TestFind:
    def test_a_quote_with_an_ellipsis_is_found_by_its_longest_piece(self) -> None:
        span = Text(TEXT).find("Notice … before the lease ends.")
        assert span is not None
        assert TEXT[span.start : span.end].endswith("before the lease ends.")

    @pytest.mark.parametrize("quote", ["rent", "900 euros"])
    def test_a_short_quote_is_found_letter_for_letter(self, quote: str) -> None:
        span = Text(TEXT).find(quote)
        assert span is not None
        assert TEXT[span.start : span.end].split() == quote.split()

    def test_marks_blanks_and_capitals_do_not_matter_and_spans_count_the_text_as_it_is(self) -> None:
        """İ becomes two characters in small letters; spans must not slip by that."""
        text = "İ\t \n “Straße”   —  GROẞ\nund   klein’s Ende hier."
        span = Text(text).find('"straße" - groß und klein\'s ende')
        assert span is not None
        assert text[span.start : span.end] == "“Straße”   —  GROẞ\nund   klein’s Ende"

    def test_a_place_ends_with_its_words(self) -> None:
        span = Text(TEXT).find("Notise: three months before the leese")
        assert span is not None
        assert TEXT[span.start : span.end] == "Notice: three months before the lease"

    def test_a_long_quote_must_agree_in_the_middle_too(self) -> None:
        """Its two ends lead to the place."""
        text = next(passages(20_000))
        quote = text[5_000:7_000]
        worn = quote[:50] + "xx" + quote[52:]
        span = Text(text).find(worn)
        assert span is not None
        assert abs(span.start - 5_000) < 40
        other = quote[:250] + "".join(reversed(quote[250:1_750])) + quote[1_750:]
        assert Text(text).find(other) is None

    def test_what_no_model_would_quote_is_not_looked_for(self) -> None:
        text = "word " * 2_000
        assert Text(text).find("wort " * LONGEST_CHARACTERS) is None

    def test_a_text_that_repeats_itself_without_end_costs_little(self) -> None:
        """Every run of the quote is found everywhere, so none says where: bounded, whatever the answer."""
        Text("the same words again and " * 20_000).find("the same words egain end " * 10)
