"""Which text of a web page nobody sees, by what its elements say themselves: style sheets are not looked into."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from viiwork.documents.unseen import INVISIBLE, TINY, WHITE, count, telling

MAX_ELEMENTS = 2_000
"""With a style of their own that are looked at."""
MAX_CHARACTERS = 1_000

_INVISIBLE = re.compile(r"(?:^|;)(?:visibility:hidden|opacity:0(?:\.0*)?(?:;|$|!)|(?:text-indent|left|top):-\d{3,})")
_TINY = re.compile(r"(?:^|;)font-size:(?:0|[01]?(?:\.\d+)?(?:px|pt)|0?\.0\d*r?em|\d%)(?:;|$|!)")
_WHITE_VALUE = r"(?:#fff(?:fff)?|white|rgb\(255,255,255\))(?:;|$|!)"
_WHITE = re.compile(rf"(?:^|;)color:{_WHITE_VALUE}")
_GROUND = re.compile(rf"(?:^|;)background(?:-color|-image)?:(?!{_WHITE_VALUE}|none|transparent)")


def unseen_on(tree: LexborHTMLParser) -> tuple[str, ...]:
    """The kinds of such text on the page."""
    return telling(count(_found(tree)))


def _found(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    for node in tree.css("[style], font[color]")[:MAX_ELEMENTS]:
        if kind := _kind(node):
            yield kind, node.text(separator=" ")[:MAX_CHARACTERS]


def _kind(node: LexborNode) -> str:
    style = _style(node)
    if "display:none" in style:
        return ""  # it is not read
    if _INVISIBLE.search(style):
        return INVISIBLE
    if _TINY.search(style):
        return TINY
    colour = (node.attributes.get("color") or "").strip().lower()
    return WHITE if (_WHITE.search(style) or re.match(_WHITE_VALUE, colour)) and not _on_colour(node) else ""


def _style(node: LexborNode) -> str:
    return "".join((node.attributes.get("style") or "").lower().split())


def _on_colour(node: LexborNode) -> bool:
    """Whether it, or something that it stands in, has a ground that white can be read on."""
    at: LexborNode | None = node
    while at is not None and at.tag not in ("html", "-document"):
        ground = (at.attributes.get("bgcolor") or "").strip().lower()
        if _GROUND.search(_style(at)) or (ground and not re.match(_WHITE_VALUE, ground)):
            return True
        at = at.parent
    return False
