"""What turns the sense of a quote round though it stays alike: figures, their signs and units, negations. Pure.

Each is compared with what stands at the quote's place. Words may have a slip of the copyist in them, figures may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rapidfuzz.distance import Levenshtein

NEGATIONS = {
    *("not", "no", "never", "none", "nor", "neither", "nothing", "nobody", "nowhere", "without", "cannot"),
    *("nicht", "kein", "keine", "keinen", "keinem", "keiner", "keines", "nie", "niemals", "ohne", "nichts"),
    *("niemand", "weder", "nein", "ne", "n'", "pas", "jamais", "aucun", "aucune", "sans", "ni", "non", "rien"),
    *("nunca", "jamás", "sin", "ningún", "ninguno", "ninguna", "nada", "nadie", "tampoco"),
    *("mai", "senza", "nessun", "nessuno", "nessuna", "né", "niente", "nulla"),
    *("niet", "geen", "nooit", "zonder", "niets", "noch"),
}
"""Of English, German, French, Spanish, Italian and Dutch; and whatever ends with `n't`."""
BEHIND = {"nicht", "nie", "niemals", "niet", "nooit", "pas", "jamais"}
"""Those that stand after what they deny."""
NO_SLIPS = {
    *("now", "note", "noted", "got", "so", "to", "do", "go", "on", "or", "one", "ever", "either", "own", "in", "is"),
    *("it", "over", "within", "anything", "something", "anybody", "somebody", "anywhere", "somewhere"),
    *(start + end for start in ("", "m", "d", "s") for end in ("ein", "eine", "einen", "einem", "einer", "eines")),
    *("die", "sie", "wie", "jemand", "jemals", "wieder", "jeder", "leder", "licht", "sicht", "nacht", "macht", "recht"),
    *("leicht", "un", "dans", "chacun", "chacune", "bien", "mais", "par", "les", "se", "si", "son", "las", "con"),
    *("ma", "nella", "della", "sulla", "een", "ooit", "iets", "onder", "iemand"),
}
"""Words of their own that are a slip away from a negation."""
NEAR_UNITS = {
    *("k", "m", "b", "bn", "mn", "mio", "mrd", "million", "billion", "trillion", "mm", "cm", "dm", "km", "g", "kg"),
    *("mg", "µg", "t", "l", "ml", "cl", "s", "ms", "sec", "min", "h", "d", "day", "tag", "dag", "an", "ans", "mes"),
    *("w", "kw", "mw", "gw", "wh", "kwh", "mwh", "gwh", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib", "ha"),
    *("eur", "usd", "gbp", "chf", "oz", "lb", "ft"),
}
"""Units that are a letter or two away from each other."""
SPOKEN = {
    "%": ("per", "pro", "por", "pour"),
    "€": ("eur",),
    "$": ("usd", "dol"),
    "£": ("gbp", "pou"),
    "°": ("deg", "gra"),
}
"""Signs, and how the words for them begin."""
SHORTEST, LONG_WORD, LONGER_WORD = 4, 5, 8
"""Letters of what counts as a word behind a figure, and from where on a word may have two slips, and three."""
_FIGURE = re.compile(r"\d+")
_UNIT = re.compile(r" ?([^\W\d_]+|[%€$£°])")
_WORD = re.compile(r"\bn'|\w+'t\b|\w+")
_BEFORE = re.compile(r"(?:(\w+'t|\w+) |\b(n'))$")
_MORE = re.compile(r"[.!?;] ")
_AFTER = re.compile(r" (\w+)")
_REACH = 32
"""Characters around a place that are looked at."""


def agrees(quote: str, text: str, start: int, end: int) -> bool:
    """Whether the place has the quote's figures, all and no others, with their signs and units, and its negations.

    Nor may it have been cut out behind a `not`, or within a number. Both are evened out.
    """
    return (
        figures(quote, 0, len(quote)) == figures(text, start, end)
        and not _cut(text, start, end)
        and _same_units(quote, text, start, end)
        and _same_negations(quote, text[start:end])
    )


def figures(text: str, start: int, end: int) -> list[str]:
    """The runs of digits, each with its minus, also where that stands just before the place."""
    return [_minus(text, found.start()) + found[0] for found in _FIGURE.finditer(text, start, end)]


def _minus(text: str, at: int) -> str:
    """Not a hyphen or a dash between two things."""
    own = at > 0 and text[at - 1] == "-" and (at == 1 or not (text[at - 2].isalnum() or text[at - 2] in "-.,)]%"))
    return "-" if own else ""


def _cut(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _REACH) : start], text[end : end + _REACH]
    if text[start : start + 1].isdigit() and re.search(r"\d[.,']?$", before):
        return True
    if text[end - 1 : end].isdigit() and re.match(r"[.,']?\d", after):
        return True
    if _MORE.search(text, start, end - 1):  # then what follows stands by itself
        return False
    left, right = _BEFORE.search(before), _AFTER.match(after)
    return bool((left and _denies(left[1] or left[2])) or (right and right[1] in BEHIND))


def _same_units(quote: str, text: str, start: int, end: int) -> bool:
    """Where the quote ends with a figure, any unit is its own."""
    ours = _units(quote, 0, len(quote), len(quote))
    theirs = _units(text, start, end, end + _REACH)
    return all(not one or _same_unit(one, other) for one, other in zip(ours, theirs, strict=True))


def _units(text: str, start: int, end: int, reach: int) -> Iterator[str]:
    for figure in _FIGURE.finditer(text, start, end):
        found = _UNIT.match(text, figure.end(), reach)
        yield found[1] if found else ""


def _same_unit(one: str, other: str) -> bool:
    if one in SPOKEN or other in SPOKEN:
        sign, word = (one, other) if one in SPOKEN else (other, one)
        return sign == word or word.startswith(SPOKEN[sign])
    both = {_singular(one), _singular(other)}
    if len(both) == 1 or both <= NEAR_UNITS:
        return len(both) == 1
    neither = not both & NEAR_UNITS and max(len(one), len(other)) < SHORTEST  # `of`, `and`, `per`
    return neither or _slipped(one, other)


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) >= LONG_WORD else word


def _slipped(one: str, other: str) -> bool:
    """Whether the second may be the first, written carelessly."""
    return Levenshtein.distance(one, other) <= 1 + (len(other) >= LONG_WORD) + (len(other) >= LONGER_WORD)


def _same_negations(quote: str, place: str) -> bool:
    if quote == place or not (_negations(quote) or _negations(place)):
        return True
    return _kept(quote, place) and _kept(place, quote)


def _negations(text: str) -> list[re.Match[str]]:
    return [word for word in _WORD.finditer(text) if _denies(word[0])]


def _denies(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")


def _kept(one: str, other: str) -> bool:
    """Whether each negation of the first has one, or what may be one, where the second is aligned with it."""
    steps = Levenshtein.opcodes(one, other)

    def across(at: int) -> int:
        step = next(step for step in steps if at < step.src_end or step is steps[-1])
        return min(step.dest_end, step.dest_start + max(0, at - step.src_start))

    def counterpart(word: re.Match[str]) -> str:
        start, end = across(word.start()), across(word.end() - 1) + 1
        return " ".join(found[0] for found in _WORD.finditer(other) if found.start() < end and found.end() > start)

    return all(_same_negation(word[0], counterpart(word)) for word in _negations(one))


def _same_negation(word: str, there: str) -> bool:
    if any(_denies(found[0]) for found in _WORD.finditer(there)):
        return True
    return there not in NO_SLIPS and there != "" and _slipped(word, there)
