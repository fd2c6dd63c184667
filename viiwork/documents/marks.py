"""Marks in a document's text that would end the passage it stands in, or its turn of the chat. Pure.

What templates write between turns becomes the same tokens when it stands in a text, and a model that reads something
like the end of the passage may take what follows for its instructions. So such marks are broken by a blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

UNSEEN = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
"""Characters that take no room: some tokenizers drop them, and then what they part is one."""
ANGLES = (
    *("s", "bos", "eos", "pad", "unk", "mask", "sep", "cls", "sop", "eop", "eod", "eoh", "eoa", "eot"),
    *("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),  # Command R
    *("start_of_turn", "end_of_turn", "start_of_image", "end_of_image", "image_soft_token"),  # Gemma
    *("start_of_audio", "end_of_audio", "audio_soft_token", "end_of_utterance"),
    *("think", "tool_call", "tool_response", "tools", "tool_calls"),  # Qwen, DeepSeek
    *("fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "file_sep", "repo_name", "endoftext"),  # StarCoder
)
"""Between `<` and `>`, also with a `/`."""
NUMBERED = ("unused", "unused_", "reserved_", "extra_id_")
"""The same, with a number behind."""
BRACKETS = (
    *("INST", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT"),  # Mistral
    *("ARGS", "CALL_ID", "THINK", "MODEL_SETTINGS", "IMG", "IMG_BREAK", "IMG_END", "AUDIO", "BEGIN_AUDIO"),
    *("PREFIX", "MIDDLE", "SUFFIX"),
    *("gMASK", "sMASK", "MASK", "CLS", "SEP", "PAD", "UNK", "BOS", "EOS"),  # GLM, BERT
)
"""Between `[` and `]`, also with a `/`."""
_BETWEEN = f"[{UNSEEN}]*+"
_BLANKS = rf"[\s{UNSEEN}]*+"


def _loosely(name: str) -> str:
    """The name, also with characters in it that nobody sees."""
    return _BETWEEN.join(map(re.escape, name))


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(_loosely, names))


_ANGLED = (
    rf"{_BLANKS}(?:[/／]{_BLANKS})?{_loosely('document')}(?:[\s>＞﹥/{UNSEEN}]|$)|{_BETWEEN}[|｜]"
    rf"|{_BETWEEN}[/／]?{_BETWEEN}(?:{_any_of(ANGLES)}|(?:{_any_of(NUMBERED)})\d+){_BETWEEN}[>＞﹥]"
    rf"|{_BETWEEN}[<＜]?{_BETWEEN}[/／]?{_BETWEEN}{_loosely('SYS')}{_BETWEEN}[>＞﹥]"
)
_BRACKETED = rf"{_BETWEEN}[/／]?{_BETWEEN}(?:{_any_of(BRACKETS)}){_BETWEEN}[\]］]|{_BETWEEN}[|｜]"
_MARK = re.compile(
    rf"[<＜﹤\[［](?:(?<=[<＜﹤])(?={_ANGLED})|(?<=[\[［])(?={_BRACKETED}))",
    re.IGNORECASE,
)
"""Blanks and unseen characters are taken for good: tried in every cut, 20,000 of them took 9 s. One set of signs is
searched for: with a branch for each kind of bracket prose took three times as long."""


def harmless(text: str, marks: Sequence[str] = ()) -> str:
    """The text with its own marks of where something ends broken, as in `< document>`, so that it ends nothing.

    `marks` are those of the model besides the usual ones.
    """
    broken = _MARK.sub(lambda found: f"{found[0]} ", text)
    for mark in marks:
        broken = broken.replace(mark, f"{mark[0]} {mark[1:]}")
    return broken


def unusual(specials: Iterable[str]) -> tuple[str, ...]:
    """Of a model's special tokens those that are marks and no family writes: `harmless` breaks them where it is told.

    A word or a sign that stands for itself is none: a tokenizer may call a blank or a letter special, and text is full
    of them. The longest comes first, since one may hold another.
    """
    marks = {mark for mark in specials if len(mark) > 1 and not mark.isalnum() and mark.strip() == mark}
    return tuple(sorted((mark for mark in marks if mark in harmless(mark)), key=lambda mark: (-len(mark), mark)))
