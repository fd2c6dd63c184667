"""How much a regular expression is once its counted repetitions are written out. Pure.

`(a{1000}){1000}` takes a matcher 0.4 s to compile, and one more such level all the memory there is. So nothing is let
through that this module cannot read: in `(?#[)((a{3000}){1000})]` a comment passed for a class, and hid 3 million.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<group> \((?![?*]) | \(\?(?:[:=!>|] | <[=!] | P?<\w+> | [aimsu]*(?:-[imsu]+)?:) )
    | (?P<end> \) )
    | \{(?=[0-9,]) (?P<least>[0-9]*) (?:,(?P<most>[0-9]*))? \}
    | (?P<loose> [?*+] )
    | (?P<one>
        \\[pPN]\{\^?[A-Za-z][\w &:=.'-]*\} | \\[pPN](?!\{) | \\[^pPN]   # an escape
        | \[\^?(?!\])(?:\\.|[^\[\]\\])+\]   # a class, in which matchers disagree on a bare [ and on ] as the first
        | \(\?(?:P=\w+|[aimsu]+(?:-[imsu]+)?)\)   # a group again, or flags; x and V1 change what all else means
        | \{(?!\s*[0-9,eids}])   # a brace that counts nothing, and is no fuzzy match
        | [^\\\[(){]
      )
    """,
    re.DOTALL | re.VERBOSE,
)


class Unweighed(ValueError):
    """Raised for a pattern that cannot be read here, from character `at` on."""

    def __init__(self, at: int) -> None:
        super().__init__(f"not read from character {at} on")
        self.at = at


def weight(pattern: str) -> int:
    """Characters of the pattern with `{n,m}` multiplied out, nested ones by each other. Raises Unweighed."""
    sums, last, at = [0], 0, 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None or (token["end"] and len(sums) == 1):
            raise Unweighed(at)
        if token["group"]:
            sums.append(0)
        elif token["end"]:
            last = sums.pop()
            sums[-1] += last
        elif token["one"]:
            last = 1
            sums[-1] += 1
        elif not token["loose"]:
            more = last * (max(int(token["least"] or 0), int(token["most"] or 0), 1) - 1)
            sums[-1] += more
            last += more
        at = token.end()
    if len(sums) > 1:
        raise Unweighed(at)
    return sums[0]
