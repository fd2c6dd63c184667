"""HTML: selectolax reads it as a browser would, inscriptis lays its text out, tables as columns."""

from __future__ import annotations

import html as entities
import re

from inscriptis import get_text
from selectolax.lexbor import LexborHTMLParser

from viiwork.documents.document import Document, find_headings, tidy, title_of

MAX_DEPTH = 400
"""Elements inside each other. The layout recurses, and 200,000 of them burn minutes of CPU in any parser."""
NOT_READ = ["script", "style", "noscript", "template", "svg", "iframe", "object", "head"]

# Elements that a browser closes by itself (p, li, td, …) would count as nested in sloppy but shallow pages.
_NESTING = re.compile(
    r"<(/?)(div|span|table|tbody|ul|ol|dl|section|article|main|aside|nav|header|footer|blockquote|center|fieldset|form"
    r"|figure|details|b|i|u|em|strong|font|small|big|tt|code|pre|a|sub|sup|s|q|label|button|select|object|svg|g)\b",
    re.IGNORECASE,
)
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_BLOCK_TAG = re.compile(r"</?(?:p|div|br|tr|li|h[1-6]|table|ul|ol|section|article)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*>")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]{2,40})", re.IGNORECASE)


def declared_charset(data: bytes) -> str:
    """The encoding that the page names in a meta element, or an empty string."""
    match = _CHARSET.search(data[:4096])
    return match[1].decode("ascii") if match else ""


def read_html(text: str, notes: tuple[str, ...]) -> Document:
    """The visible text of the page, with its title and headings."""
    if nesting_depth(text) > MAX_DEPTH:
        note = "Its markup is nested far too deep; it was read without its layout."
        return Document(media_type="text/html", pages=(_bare_text(text),), notes=(*notes, note))
    tree = LexborHTMLParser(text)
    title = title_of(node.text() if (node := tree.css_first("title")) else "")
    tree.strip_tags(NOT_READ)
    page = tidy(get_text(tree.html or ""))
    found = [(int((node.tag or "h1")[1]), node.text()) for node in tree.css("h1, h2, h3, h4, h5, h6")]
    headings = find_headings(page, found)
    title = title or (headings[0].text if headings else "")
    return Document(media_type="text/html", pages=(page,), title=title, headings=headings, notes=notes)


def nesting_depth(text: str) -> int:
    """How deep elements that must be closed stand inside each other, counted in one linear pass."""
    depth = deepest = 0
    for match in _NESTING.finditer(text):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _bare_text(text: str) -> str:
    text = _BLOCK_TAG.sub("\n", _UNSEEN.sub(" ", text))
    return tidy(entities.unescape(_TAG.sub("", text)))
