"""Invoices and letters made from known fields, short ones and ones of many pages. Pure; the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NULLABLE = {"type": ["string", "null"]}
LINE = {
    "type": "object",
    "properties": {
        "position": {"type": "integer", "description": "the number at the start of the line"},
        "item": {"type": "string"},
        "cents": {"type": "integer", "description": "the line's amount in cents"},
    },
    "required": ["position", "item", "cents"],
    "x-identity": "position",
}
INVOICE: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "description": "of this invoice, as printed"},
        "seller": {"type": "string"},
        "buyer": {"type": "string"},
        "issued": {"type": "string", "description": "the invoice's date, as YYYY-MM-DD"},
        "order": NULLABLE | {"description": "the number of the order, as printed"},
        "due": NULLABLE | {"description": "the last day to pay, as YYYY-MM-DD"},
        "total_cents": {"type": "integer", "description": "what is to be paid, in cents"},
        "lines": {"type": "array", "items": LINE},
    },
    "required": ["number", "seller", "buyer", "issued", "order", "due", "total_cents", "lines"],
}
LETTER: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "sender": {"type": "string"},
        "recipient": {"type": "string"},
        "written": {"type": "string", "description": "the letter's date, as YYYY-MM-DD"},
        "subject": {"type": "string"},
        "reference": NULLABLE | {"description": "of the sender, as printed"},
        "answer_by": NULLABLE | {"description": "the day by which an answer is asked for, as YYYY-MM-DD"},
        "requests": {"type": "array", "items": {"type": "string"}, "description": "what is asked for, one by one"},
    },
    "required": ["sender", "recipient", "written", "subject", "reference", "answer_by", "requests"],
}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {"invoice": INVOICE, "letter": LETTER}
FIRMS = ("Harbour", "Kiln Street", "Northgate", "Willow", "Copper Lane", "Meridian", "Fenwick", "Old Mill")
TRADES = ("Printing", "Instruments", "Joinery", "Logistics", "Translations", "Catering", "Optics", "Heating")
FORMS = ("Ltd", "GmbH", "& Sons", "Cooperative", "plc")
THINGS = ("toner", "filter", "bracket", "lamp", "gasket", "cable", "survey", "repair", "delivery", "inspection")
KINDS = ("small", "large", "spare", "urgent", "yearly", "blue", "second", "heavy")
ACTIONS = ("send us", "return", "confirm", "replace", "store", "check", "invoice", "cancel")
AFFAIRS = ("Your delivery", "The lease", "Our complaint", "The maintenance contract", "An overdue answer")
FILLERS = (
    "The goods were packed with care and left our warehouse in good order.",
    "Our terms of business apply to every order and can be had on request.",
    "We have spoken about this on the telephone more than once, without an end in sight.",
    "The weather of the past weeks has made all work out of doors slow and dear.",
    "As you know, the premises were rebuilt, and nobody can yet say when they open again.",
    "None of this changes what was agreed between us, and we set it down for good order only.",
    "A former colleague of yours was most helpful, and we would not like to see that forgotten.",
)


@dataclass(frozen=True, slots=True)
class Paper:
    """A document and what is true of it."""

    kind: str
    name: str
    text: str
    fields: Mapping[str, Any]


def papers(count: int, *, seed: int) -> list[Paper]:
    """Half of them invoices, half letters; every third is long: some 40 lines or requests among pages of filling."""
    chance = random.Random(seed)
    made = list[Paper]()
    for at in range(count):
        long, kind = at % 3 == 2, ("invoice", "letter")[at % 2]
        fields, text = (_invoice if kind == "invoice" else _letter)(chance, long=long)
        made.append(Paper(kind, f"{kind}-{at:03}", text, fields))
    return made


def _invoice(chance: random.Random, *, long: bool) -> tuple[dict[str, Any], str]:
    many = chance.randint(30, 50) if long else chance.randint(1, 6)
    lines = [_line(chance, at + 1) for at in range(many)]
    fields = {
        "number": f"R-{chance.randint(1000, 9999)}/{chance.randint(20, 29)}",
        "seller": _firm(chance),
        "buyer": _firm(chance),
        "issued": _day(chance),
        "order": _maybe(chance, f"PO {chance.randint(10000, 99999)}"),
        "due": _maybe(chance, _day(chance)),
        "total_cents": sum(line["cents"] for line in lines),
        "lines": lines,
    }
    return fields, "\n".join(_invoice_lines(fields, chance, long=long))


def _invoice_lines(fields: Mapping[str, Any], chance: random.Random, *, long: bool) -> Iterator[str]:
    yield from (f"{fields['seller']}", "", f"INVOICE No. {fields['number']}", f"Date: {fields['issued']}")
    yield from (f"Billed to: {fields['buyer']}", "")
    if fields["order"]:
        yield f"Your order: {fields['order']}"
    for at, line in enumerate(fields["lines"]):
        if long and at % 4 == 3:
            yield from ("", *_filling(chance, 3), "")
        if long and at and at % 20 == 0:  # a new page says again what it belongs to
            yield from ("", f"Page {at // 20 + 1} of invoice No. {fields['number']}, {fields['seller']}", "")
        yield f"{line['position']}. {line['item']}: EUR {_euros(line['cents'])}"
    yield from ("", f"Total to pay: EUR {_euros(fields['total_cents'])}")
    if fields["due"]:
        yield f"Please pay by {fields['due']}."
    yield from ("", "An earlier invoice, No. R-0000/19, has been settled; thank you.", "", *_filling(chance, 2))


def _letter(chance: random.Random, *, long: bool) -> tuple[dict[str, Any], str]:
    many = chance.randint(12, 24) if long else chance.randint(1, 4)
    fields = {
        "sender": _firm(chance),
        "recipient": _firm(chance),
        "written": _day(chance),
        "subject": f"{chance.choice(AFFAIRS)} of {_day(chance)}",
        "reference": _maybe(chance, f"{chance.choice('ABCDEF')}{chance.randint(100, 999)}-{chance.randint(10, 99)}"),
        "answer_by": _maybe(chance, _day(chance)),
        "requests": _requests(chance, many),
    }
    return fields, "\n".join(_letter_lines(fields, chance, long=long))


def _letter_lines(fields: Mapping[str, Any], chance: random.Random, *, long: bool) -> Iterator[str]:
    yield from (f"From: {fields['sender']}", f"To: {fields['recipient']}", f"{fields['written']}", "")
    if fields["reference"]:
        yield f"Our reference: {fields['reference']}"
    yield from (f"Subject: {fields['subject']}", "", "Dear Sir or Madam,", "")
    for at, request in enumerate(fields["requests"]):
        yield from (*_filling(chance, 4 if long else 1), f"Please {request}.")
        if long and at % 3 == 2:
            yield ""
    if fields["answer_by"]:
        yield from ("", f"We ask for your answer by {fields['answer_by']}.")
    yield from ("", "Yours faithfully,", fields["sender"])


def _line(chance: random.Random, position: int) -> dict[str, Any]:
    item = f"{chance.choice(KINDS)} {chance.choice(THINGS)} {chance.choice('ABCDEFGH')}{chance.randint(1, 99)}"
    return {"position": position, "item": item, "cents": chance.randint(150, 250_000)}


def _requests(chance: random.Random, count: int) -> list[str]:
    made = dict[str, None]()
    while len(made) < count:
        made[f"{chance.choice(ACTIONS)} the {chance.choice(KINDS)} {chance.choice(THINGS)} {chance.randint(1, 99)}"] = (
            None
        )
    return list(made)


def _firm(chance: random.Random) -> str:
    return f"{chance.choice(FIRMS)} {chance.choice(TRADES)} {chance.choice(FORMS)}"


def _day(chance: random.Random) -> str:
    return f"20{chance.randint(19, 29)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _maybe(chance: random.Random, text: str) -> str | None:
    return text if chance.random() < 0.7 else None


def _filling(chance: random.Random, count: int) -> Sequence[str]:
    return [chance.choice(FILLERS) for _ in range(count)]


def _euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
