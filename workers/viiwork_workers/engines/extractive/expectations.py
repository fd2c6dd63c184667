"""What a question asks for (a date, a sum, a name), and which sentences show one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from viiwork_workers.engines.extractive.ranking import Scores, content_words
from viiwork_workers.engines.extractive.sentences import Sentence

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = (
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{MONTH}|{MONTH}\.?\s+\d{{1,2}}|\d{{4}}-\d\d-\d\d|"
    r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|(?:19|20)\d\d)\b"
)
MONEY = (
    r"[$€£¥]\s?\d|\b(?:usd|eur|gbp|chf)\s?\d|"
    r"\b\d[\d.,]*\s*(?:usd|eur|gbp|chf|dollars?|euros?|pounds?|percent|per cent|%)"
)
TIME = r"\b\d{1,2}[:.]\d\d\b|\b\d{1,2}\s*(?:am|pm|a\.m|p\.m)\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
SPAN = (
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|thirty|sixty|ninety)\b[\s()\d-]*"
    r"(?:calendar |business |working )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b"
)
NUMBER = (
    r"(?<![\w-])\d|"
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million)\b"
)
NAME = (
    r"\b(?:Mr|Mrs|Ms|Dr|Prof)\b\.? [A-Z]|\b[A-Z][a-z]+ (?:& )?(?:[A-Z]\. )?[A-Z][a-z]+|"
    r"\b(?:Ltd|LLP|GmbH|Inc|AG|plc)\b"
)
EXPECTED: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(asked, re.I), re.compile(told, flags))
    for asked, told, flags in (
        (r"\bhow (?:long|soon|quickly)\b|\bnotice period\b|\bwhat (?:period|term)\b", SPAN, re.I),
        (r"\bhow much\b|\b(?:price|cost|fee|salary|rent|amount|budget|revenue|total)\b", MONEY, re.I),
        (r"\bhow (?:many|often|old|big|large|far|high)\b|\b(?:number|percentage|rate) of\b", NUMBER, re.I),
        (r"\bwhat time\b", TIME, re.I),
        (
            r"\bwhen\b|\b(?:what|which) (?:date|day|year|month)\b|\bdeadline\b|\bby what date\b|\bdue\b",
            f"{DATE}|{TIME}|{SPAN}",
            re.I,
        ),
        (r"\bwho(?:se|m)?\b", NAME, 0),
        (
            r"\bwhere\b|\bwhich (?:city|country|place)\b|\baddress\b",
            rf"\b(?:in|at|near|from|to)\s+(?:the\s+)?[A-Z]|{NAME}",
            0,
        ),
        (
            r"\bwhy\b|\bwhat caused\b|\breason\b",
            r"\b(?:because|due to|since|caused|reason|as a result|owing to|so that|in order to)\b",
            re.I,
        ),
    )
)
"""What a question asks for, and what an answer to it must show."""
MEASURE = re.compile(r"\bhow (?:much|many|long|often|old|big|large|far|high|soon|quickly|fast)\b", re.I)
ITSELF = re.compile(r"\b(?:the|this) (?:report|document|letter|text|e-?mail|message|study|paper|article)\b", re.I)
WHO_IS = re.compile(r"\s*(?:who|what) (?:is|are|was|were) (?:the |this |our )?([\w -]{2,40}?)\s*\?*\s*$", re.I)


def subject_words(question: str) -> list[str]:
    """The words of the question that carry meaning: without "how much", and "the report" if others are left."""
    measured = MEASURE.sub(" ", question)
    return content_words(ITSELF.sub(" ", measured)) or content_words(measured)


def shows_what_is_asked(question: str, pieces: Sequence[Sentence]) -> Scores:
    """1 for each sentence that has a date where a date is asked for, and so on; zeros for other questions."""
    for told in [*_defining(question), *(told for asked, told in EXPECTED if asked.search(question))]:
        shown = np.array([float(bool(told.search(piece.text))) for piece in pieces])
        if shown.any():
            return shown
    return np.zeros(len(pieces))


def _defining(question: str) -> list[re.Pattern[str]]:
    """Where "Who is the landlord?" is answered: by `Landlord:`, or by `(the "Landlord")` in a contract."""
    role = WHO_IS.match(question)
    if role is None:
        return []
    name = re.escape(role.group(1).strip())
    return [re.compile(rf"[\"“'‘]{name}[\"”'’]|^{name}\b[^.:]{{0,20}}:", re.I)]
