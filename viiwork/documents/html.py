"""HTML: selectolax reads it as a browser would, inscriptis lays its text out, tables as columns."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Sequence

from inscriptis import get_text
from selectolax.lexbor import LexborHTMLParser

from viiwork.documents.document import Document, find_headings, tidy, title_of
from viiwork.documents.htmltables import write_tables
from viiwork.documents.htmlunseen import unseen_on
from viiwork.documents.origin import author_of, day_of
from viiwork.documents.unseen import notes_for

MAX_SLOPPY_DEPTH = 400
"""Of elements inside each other as written: lexbor takes 94 s for 200,000 `div`, 3 s for 20,000 `ul` and `li`."""
MAX_DEPTH = 200
"""Of elements as parsed: libxml2, below the layout, drops all text under 254 of them without a word."""
MAX_RUN_CHARACTERS = 2_000_000
"""Of text without markup: libxml2 drops one of more than 10 MB in the same way."""
MAX_METAS = 1_000
NOT_READ = ["script", "style", "noscript", "template", "svg", "iframe", "object", "head"]

# Elements that a browser closes by itself (p, li, td, …) would count as nested in sloppy but shallow pages.
_NESTING = re.compile(
    r"<(/?)(div|span|table|tbody|ul|ol|dl|section|article|main|aside|nav|header|footer|blockquote|center|fieldset|form"
    r"|figure|details|b|i|u|em|strong|font|small|big|tt|code|pre|a|sub|sup|s|q|label|button|select|object|svg|g)\b",
    re.IGNORECASE,
)
# As lexbor writes it: every element but these void ones has its closing tag.
_ELEMENT = re.compile(
    r"<(/?)(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|param|keygen|frame|bgsound|basefont)\b)"
    r"[a-zA-Z]"
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
    if sloppy_depth(text) > MAX_SLOPPY_DEPTH:
        return _without_layout(text, notes)
    tree = LexborHTMLParser(text)
    title = title_of(node.text() if (node := tree.css_first("title")) else "")
    author = author_of(_meta(tree, ("author", "dc.creator", "article:author")))
    created = day_of(_meta(tree, ("date", "dc.date", "dcterms.created", "article:published_time")))
    tree.strip_tags(NOT_READ)
    markup = tree.html or ""
    if _depth(_ELEMENT, markup) > MAX_DEPTH or max(map(len, markup.split("<"))) > MAX_RUN_CHARACTERS:
        return _without_layout(text, notes)
    for node in tree.css("[hidden]"):
        node.attrs["style"] = "display:none"
    unseen = unseen_on(tree)
    write_tables(tree)
    page = tidy(get_text(tree.html or ""))
    found = [(int((node.tag or "h1")[1]), node.text()) for node in tree.css("h1, h2, h3, h4, h5, h6")]
    headings = find_headings(page, found)
    title = title or (headings[0].text if headings else "")
    return Document(
        media_type="text/html",
        pages=(page,),
        title=title,
        headings=headings,
        notes=(*notes, *notes_for(unseen)),
        author=author,
        created=created,
    )


def _meta(tree: LexborHTMLParser, names: Sequence[str]) -> str:
    """What the page says of itself under the first of these names that it has."""
    told: dict[str, str] = {}
    for node in tree.css("meta[content]")[:MAX_METAS]:
        name = node.attributes.get("name") or node.attributes.get("property") or ""
        told.setdefault(name.lower(), node.attributes.get("content") or "")
    return next((told[name] for name in names if told.get(name)), "")


def sloppy_depth(text: str) -> int:
    """How deep elements that must be closed stand inside each other, without parsing."""
    return _depth(_NESTING, text)


def _depth(tag: re.Pattern[str], text: str) -> int:
    """One linear pass; the tag's first group is the slash of a closing one."""
    depth = deepest = 0
    for match in tag.finditer(text):
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _without_layout(text: str, notes: tuple[str, ...]) -> Document:
    note = "Its markup is too deep or too long to lay out; it was read as plain text."
    return Document(media_type="text/html", pages=(_bare_text(text),), notes=(*notes, note))


def _bare_text(text: str) -> str:
    text = _BLOCK_TAG.sub("\n", _UNSEEN.sub(" ", text))
    return tidy(entities.unescape(_TAG.sub("", text)))
