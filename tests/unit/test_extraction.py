"""What a model is asked to write for a schema, what is read of it, and how a document's parts agree on it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from rapidfuzz import fuzz

from viiwork.documents import Document
from viiwork.documents.chunk import Chunk, chunk
from viiwork.documents.extraction import asked_schema, taken
from viiwork.documents.merge import combine
from viiwork.documents.provenance import ground
from viiwork.documents.shapes import validator_of
from viiwork.documents.tasks import messages_for
from viiwork.errors import DocumentError
from viiwork.work import AnalysisTask, Answer, Evidence, StepInput, TaskOptions

EXTRACT = AnalysisTask.EXTRACT
LINE = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "cents": {"type": "integer"}},
    "required": ["item", "cents"],
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "total": {"type": "integer"},
        "due": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "seller": {"$ref": "#/$defs/seller"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    },
    "required": ["number", "due", "lines"],
    "additionalProperties": False,
    "$defs": {
        "line": LINE,
        "seller": {"type": "object", "properties": {"name": {"type": "string"}, "vat": {"type": "string"}}},
    },
}
OPTIONS = TaskOptions(json_schema=SCHEMA)
BARE = TaskOptions(json_schema=SCHEMA, quotes=False)


def piece(quote: str, value: Any) -> dict[str, Any]:
    return {"quote": quote, "value": value}


def part(start: int | None = 0, **values: Any) -> Answer:
    """A part's answer, whose quotes stand one after the other from `start` on; None: nowhere."""
    told = {
        name: [piece(f"{one}", one) for one in v] if isinstance(v, list) else piece(name, v)
        for name, v in values.items()
    }
    answer = taken(OPTIONS, told)
    placed = []
    for at, one in enumerate(answer.evidence):
        where = {"unsupported": True} if start is None else {"start": start + 100 * at, "end": start + 100 * at + 90}
        placed.append(one.model_copy(update=where))
    return answer.model_copy(update={"evidence": tuple(placed)})


def agreed(*parts: Answer, options: TaskOptions = OPTIONS) -> Answer:
    answer = combine(EXTRACT, options, parts)
    assert isinstance(answer, Answer)
    return answer


class TestAsked:
    def test_each_field_is_a_quote_and_then_a_value_or_null(self) -> None:
        asked = asked_schema(OPTIONS)
        assert list(asked["properties"]) == asked["required"] == list(SCHEMA["properties"])
        field = asked["properties"]["total"]["anyOf"][0]
        assert list(field["properties"]) == field["required"] == ["quote", "value"]
        items = asked["properties"]["lines"]["anyOf"][0]["items"]
        assert items["properties"]["value"] == {"$ref": "#/$defs/line"}
        assert asked["properties"]["tags"]["anyOf"][0]["items"]["properties"]["value"] == {"type": "string"}

    @pytest.mark.parametrize("options", [OPTIONS, BARE])
    def test_what_is_asked_is_a_schema_of_its_own(self, options: TaskOptions) -> None:
        """With the definitions that its references lead to."""
        nothing = dict.fromkeys(SCHEMA["properties"])
        validator = validator_of(asked_schema(options))
        assert validator.is_valid(nothing)
        line = {"item": "ink", "cents": 3}
        said = nothing | {"lines": [piece("ink 0.03", line)] if options.quotes else [line]}
        assert validator.is_valid(said)
        assert not validator.is_valid(nothing | {"lines": [{"item": "ink"}]})

    def test_the_schema_stands_in_the_prompt_before_the_document(self) -> None:
        said = messages_for(StepInput(task=EXTRACT, options=OPTIONS, text="Invoice 7"))[1].content
        assert said.index('"number":{"type":"string"}') < said.index("Invoice 7")
        assert "null" in said


class TestTaken:
    def test_values_and_their_quotes_are_told_apart(self) -> None:
        told = dict.fromkeys(SCHEMA["properties"]) | {
            "number": piece("No. 7", "7"),
            "due": piece("", None),
            "lines": [piece("ink 3", {"item": "ink", "cents": 3})],
        }
        answer = taken(OPTIONS, told)
        assert answer.value == {"number": "7", "lines": [{"item": "ink", "cents": 3}]}
        assert json.loads(answer.text) == answer.value
        assert answer.evidence == (Evidence(quote="No. 7", field="/number"), Evidence(quote="ink 3", field="/lines/0"))

    def test_without_quotes_values_are_taken_as_they_are(self) -> None:
        answer = taken(BARE, {"number": "7", "total": None, "lines": []})
        assert (answer.value, answer.evidence) == ({"number": "7", "lines": []}, ())


class TestAgree:
    def test_keys_come_in_the_schemas_order_and_what_may_be_null_is(self) -> None:
        answer = agreed(part(total=3, number="7"))
        assert list(answer.value) == ["number", "total", "due", "lines"]
        assert (answer.value["due"], answer.value["lines"]) == (None, [])

    def test_a_value_that_the_document_supports_goes_before_those_that_it_does_not(self) -> None:
        answer = agreed(part(None, number="8"), part(None, number="8"), part(number="7"))
        assert answer.value["number"] == "7"
        (other,) = answer.alternatives
        assert (other.field, other.value, other.evidence and other.evidence.unsupported) == ("/number", "8", True)

    def test_among_those_the_one_that_most_parts_give_and_then_the_first(self) -> None:
        assert agreed(part(number="1"), part(number="A 2"), part(number="a  2")).value["number"] == "A 2"
        assert agreed(part(number="1"), part(number="2")).value["number"] == "1"

    def test_conflicts_keep_their_sources(self) -> None:
        answer = agreed(part(number="1", total=5), part(500, number="1", total=6))
        (other,) = answer.alternatives
        assert (other.field, other.value) == ("/total", 6)
        assert other.evidence is not None
        assert (other.evidence.start, other.evidence.field) == (600, "/total")

    def test_objects_that_say_nothing_different_fill_each_other_up(self) -> None:
        answer = agreed(part(number="1", seller={"name": "Ink AG"}), part(seller={"vat": "CHE-1"}))
        assert answer.value["seller"] == {"name": "Ink AG", "vat": "CHE-1"}
        assert answer.alternatives == ()

    def test_lists_are_joined_without_doubles_and_their_quotes_follow(self) -> None:
        ink, pen, nib = ({"item": name, "cents": 3} for name in ("ink", "pen", "nib"))
        answer = agreed(part(number="1", lines=[ink, pen]), part(5_000, lines=[pen, nib]))
        assert answer.value["lines"] == [ink, pen, nib]
        assert [one.field for one in answer.evidence] == ["/number", "/lines/0", "/lines/1", "/lines/2"]
        assert [one.start for one in answer.evidence] == [0, 100, 200, 5_100]

    def test_a_bill_may_have_the_same_line_twice(self) -> None:
        """In one part, at two places; quoted twice from one place it is one."""
        ink = {"item": "ink", "cents": 3}
        assert agreed(part(number="1", lines=[ink, ink])).value["lines"] == [ink, ink]
        twice = part(lines=[ink, ink])
        one_place = tuple(piece.model_copy(update={"start": 0, "end": 9}) for piece in twice.evidence)
        answer = agreed(part(number="1"), twice.model_copy(update={"evidence": one_place}))
        assert answer.value["lines"] == [ink]

    def test_items_of_two_parts_from_the_same_words_are_one(self) -> None:
        one, other = {"item": "ink", "cents": 3}, {"item": "ink, black", "cents": 3}
        answer = agreed(part(number="1", lines=[one]), part(110, lines=[other]))
        assert answer.value["lines"] == [one]

    def test_long_lists_of_many_parts_are_joined_in_bounded_work(self) -> None:
        """10,000 items at 10,000 places: held against each other one by one they took most of a minute."""
        parts = [
            part(10_000 * at, number="1", lines=[{"item": f"{at} {line}", "cents": 1} for line in range(99)])
            for at in range(100)
        ]
        assert len(agreed(*parts).value["lines"]) == 9_900

    def test_the_schema_may_say_what_tells_items_apart(self) -> None:
        items = LINE | {"x-identity": "item", "required": ["item"]}
        options = TaskOptions(json_schema=SCHEMA | {"$defs": SCHEMA["$defs"] | {"line": items}})
        answer = agreed(
            part(number="1", lines=[{"item": "ink"}]), part(900, lines=[{"item": "Ink", "cents": 3}]), options=options
        )
        assert answer.value["lines"] == [{"item": "ink", "cents": 3}]

    def test_what_is_required_and_not_there_fails_the_document_by_name(self) -> None:
        with pytest.raises(DocumentError, match="does not give what the schema requires: /number") as failed:
            agreed(part(total=3))
        assert failed.value.code == "incomplete"

    def test_what_does_not_match_in_the_end_fails_with_its_place_and_without_a_value(self) -> None:
        """Only together are there too many."""
        tight = SCHEMA | {
            "properties": SCHEMA["properties"] | {"lines": {"type": "array", "items": LINE, "maxItems": 1}}
        }
        lines = [part(at, number="1", lines=[{"item": f"secret {at}", "cents": 3}]) for at in (0, 5_000)]
        with pytest.raises(DocumentError, match="/properties/lines/maxItems") as failed:
            agreed(*lines, options=TaskOptions(json_schema=tight))
        assert (failed.value.code, "secret" in str(failed.value)) == ("invalid_output", False)


ITEMS = ("paper A4", "black ink", "stapler", "desk lamp", "envelopes", "toner", "binder", "glue", "scissors", "ruler")
FILLER = "Delivery is made to the address that was agreed on, and the goods remain ours until they are paid for. "


def invoice(dice: random.Random) -> tuple[dict[str, Any], Document]:
    """Known fields, and pages that say them, over several of which its lines go."""
    lines = [
        {"item": f"{name} {n}", "cents": dice.randrange(100, 90_000)}
        for n, name in enumerate(ITEMS * dice.randint(1, 4))
    ]
    fields = {
        "number": f"R-{dice.randrange(10_000, 99_999)}",
        "total": sum(line["cents"] for line in lines),
        "due": f"2026-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}",
        "seller": {"name": f"{dice.choice(ITEMS)} {dice.randrange(99)} Ltd"},
        "lines": lines,
    }
    head = f"Invoice {fields['number']}\nSold by {fields['seller']['name']}\n\n{FILLER * 3}"
    rows = [f"{line['item']} ....... {line['cents']} cents" for line in lines]
    tail = f"Invoice {fields['number']}\nTotal {fields['total']} cents\nTo be paid by {fields['due']}."
    pages = (head, *("\n".join(rows[at : at + 12]) + "\n\n" + FILLER * 2 for at in range(0, len(rows), 12)), tail)
    return fields, Document(media_type="text/plain", pages=pages)


def scripted(truth: dict[str, Any], passage: Chunk, dice: random.Random) -> dict[str, Any]:
    """What a fair model writes of a passage: what stands there, with slips in its quotes, and now and then a guess."""
    told: dict[str, Any] = dict.fromkeys(SCHEMA["properties"])
    words = {"number": "Invoice {}", "total": "Total {} cents", "due": "To be paid by {}"}
    for name, form in words.items():
        if (quote := form.format(truth[name])) in passage.text:
            told[name] = piece(slip(quote, dice), truth[name])
        elif dice.random() < 0.2:  # it guesses, and quotes what stands nowhere
            guess = dice.randrange(1_000) if name == "total" else f"guess {dice.randrange(1_000)}"
            told[name] = piece(f"according to the order it is {guess}", guess)
    if truth["seller"]["name"] in passage.text:
        told["seller"] = piece(f"Sold by {truth['seller']['name']}", truth["seller"])
    rows = [line for line in truth["lines"] if f"{line['item']} ...." in passage.text]
    told["lines"] = [piece(slip(f"{line['item']} ....... {line['cents']} cents", dice), line) for line in rows]
    return told


def slip(quote: str, dice: random.Random) -> str:
    at = dice.randrange(len(quote))
    return quote if quote[at].isdigit() or dice.random() < 0.7 else quote[:at] + quote[at + 1 :]


def leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, dict):
        return {leaf for name, below in value.items() for leaf in leaves(below, f"{path}/{name}")}
    if isinstance(value, list):
        return {(path, json.dumps(one, sort_keys=True)) for one in value}
    return {(path, json.dumps(value))}


def f1(pairs: Sequence[tuple[set[Any], set[Any]]]) -> float:
    hits = sum(len(told & true) for told, true in pairs)
    return 2 * hits / sum(len(told) + len(true) for told, true in pairs)


@pytest.mark.parametrize("limit_tokens", [60, 200, 5_000])
def test_extractions_of_generated_invoices_are_put_together_right(limit_tokens: int) -> None:
    """The gate: F1 of all fields at least .98, over documents of one part and of many."""
    dice, pairs, parts = random.Random(11), [], 0
    for _ in range(40):
        truth, document = invoice(dice)
        answers = []
        for passage in chunk(document, limit_tokens=limit_tokens, count=lambda text: len(text.split())):
            told = scripted(truth, passage, dice)
            assert validator_of(asked_schema(OPTIONS)).is_valid(told)
            answers.append(ground(taken(OPTIONS, told), passage.text, passage.page_starts, start=passage.start))
        parts += len(answers)
        answer = agreed(*answers)
        pairs.append((leaves(answer.value), leaves(truth)))
        for one in answer.evidence:
            there = " ".join(document.text[one.start or 0 : one.end].split())
            assert one.unsupported or fuzz.ratio(there, one.quote) > 80
    assert f1(pairs) >= 0.98, (f1(pairs), parts)
