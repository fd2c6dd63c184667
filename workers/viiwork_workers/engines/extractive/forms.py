"""How a kind of document looks: greetings, clauses, sums due. Topic words alone take a lease with prices for a bill."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viiwork.work import Label
from viiwork_workers.engines.extractive.ranking import Scores, content_words

MANY = 3
"""A cue that stands this often counts in full."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of document: what labels call it, and the marks of it."""

    names: frozenset[str]
    cues: tuple[re.Pattern[str], ...]


def _form(names: str, *cues: str) -> Form:
    return Form(frozenset(content_words(names)), tuple(re.compile(cue, re.I | re.M) for cue in cues))


FORMS = (
    _form(
        "contract agreement lease nda",
        r"\b(?:this|the) (?:agreement|contract|lease)\b",
        r"\bshall\b",
        r"\b(?:clause|§|article) ?\d|^\s*\d{1,2}\.\d{1,2}\s+\S|\bschedule \d",
        r"\bthe (?:parties|party|tenant|landlord|lessee|contractor|provider|supplier|client|licensee)\b",
        r"governing law|jurisdiction|confidential information|in witness|terminat",
    ),
    _form(
        "letter correspondence complaint",
        r"^\s*dear (?:mr|ms|mrs|dr|sir|madam)",
        r"^\s*yours (?:sincerely|faithfully|truly)|^\s*(?:kind|best|warm) regards",
        r"^\s*(?:re|our ref|your ref)\b[.:]|\bregistered (?:post|mail|letter)\b|^\s*by (?:post|courier)\b",
        r"\b(?:we|i) (?:hereby|are writing|am writing|would like|look forward|shall be glad)\b|\bplease\b",
        r"\byour (?:letter|order|application|lease|company)\b|\b(?:enclosed|enclosure)",
    ),
    _form(
        "email e-mail mail message",
        r"^\s*(?:from|to|cc|sent): ?\S",
        r"^\s*(?:from|to|cc): .*\S@\S",
        r"^\s*subject:",
        r"\bthis e-?mail|\banswer this\b|\breply\b|\bforwarded\b",
        r"^\s*(?:hi|hello)\b|^\s*(?:kind |best )?regards|^\s*thanks\b",
    ),
    _form(
        "report study paper analysis research abstract",
        r"\b(?:report|study|survey|analysis|investigation|trial)\b",
        r"^\W*[\d.]*\s*(?:(?:executive )?summary|introduction|background|methods?|results?|findings|discussion|"
        r"conclusions?|recommendations?|root cause|timeline|impact|abstract)\b.{0,30}$",
        r"\bwe (?:measured|found|surveyed|recommend|observed|compared)\b|\bresults?\b",
        r"\b(?:figure|fig\.|table) \d|\bper cent\b|\d ?%",
        r"\b(?:increase|decrease|fell|rose|compared (?:with|to)|average|median|mean)\w*\b",
    ),
    _form(
        "invoice bill receipt",
        r"\binvoice (?:no|number|date|\d)|^\W*invoice\b|\breceipt\b",
        r"\b(?:amount|total|balance) (?:due|payable)|\bsub-?total\b|^\W*total\b",
        r"\b(?:vat|sales tax|tax)\b",
        r"\b(?:iban|bic|account number|payment terms|bank details|payable within)\b",
        r"\b(?:qty|quantity|unit price|item|hours)\b.*\b(?:price|amount|total|rate)\b",
    ),
    _form(
        "minutes meeting protocol",
        r"\bminutes\b",
        r"^\W*(?:present|attendees|attending|apologies|absent|chair|in the chair)\b",
        r"\b(?:resolved|seconded|motion|unanimous\w*|in favour|adjourned|any other business)\b",
        r"\b(?:action items?|actions|next meeting)\b",
        r"\bthe (?:board|committee|council|chair|meeting) (?:agreed|decided|asked|noted|approved|discussed)\b",
    ),
    _form(
        "form questionnaire application",
        r"_{4,}|\[ ?x? ?\]|☐|☒",
        r"\bquestionnaire\b|\bplease (?:tick|complete|fill)\b|\bapplication form\b",
        r"^\s*\W*[\w ,'/-]{3,60}\?",
        r"\byes\b.{0,8}\bno\b|^\s*(?:yes|no)\b",
        r"^\s*(?:name|address|date of birth|signature)\b",
    ),
    _form(
        "resume cv curriculum vitae",
        r"\bcurriculum vitae\b|\br[ée]sum[ée]\b",
        r"^\W*(?:work |professional )?experience\b",
        r"^\W*(?:education|qualifications)\b",
        r"^\W*(?:skills|languages|references)\b",
        r"\b(?:19|20)\d\d\s*[-–—]\s*(?:(?:19|20)\d\d|present|today)\b",
    ),
    _form(
        "manual instructions guide",
        r"\b(?:manual|instructions|user guide)\b",
        r"^\W*(?:step )?\d+[.)]? +(?:press|turn|remove|open|insert|connect|check|clean|place|switch)\b",
        r"^\W*(?:warning|caution|note)\b",
        r"\b(?:troubleshooting|maintenance|installation|before use)\b",
        r"\b(?:press|insert|connect|unplug|tighten|switch (?:on|off))\b",
    ),
)


def looks(passage: str, *, title: str, labels: Sequence[Label]) -> Scores:
    """For each label that names a known form, how much the passage looks like it (0 to 1); 0 for other labels."""
    text = f"{title}\n{passage}"
    return np.array([max((_share(form, text) for form in _named(label)), default=0.0) for label in labels])


def _named(label: Label) -> list[Form]:
    """The forms that the label's name calls by name."""
    words = set(content_words(label.name))
    return [form for form in FORMS if form.names & words]


def _share(form: Form, text: str) -> float:
    """The share of the form's cues that the text has."""
    return sum(_met(cue, text) for cue in form.cues) / len(form.cues)


def _met(cue: re.Pattern[str], text: str) -> float:
    """1 for a cue of layout that stands once ("Dear Ms …"), or for a turn of phrase that stands MANY times."""
    found = len(cue.findall(text))
    needed = 1 if cue.pattern.startswith("^") else MANY
    return min(1.0, (1 + found) / (1 + needed)) if found else 0.0
