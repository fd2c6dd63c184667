"""How much a regular expression is once its counted repetitions are written out. Pure.

`(a{1000}){1000}` takes a matcher 0.4 s to compile, and one more such level all the memory there is.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!>|]|<[=!]|P?<\w+>))?|\)|\{(\d*)(?:,(\d*))?\}|[?*+]|.", re.DOTALL
)


def weight(pattern: str) -> int:
    """Characters of the pattern with `{n,m}` multiplied out, nested ones by each other."""
    sums, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        said = token[0]
        if said.startswith("("):
            sums.append(0)
            last = 0
        elif said == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        elif token[1] or token[2]:
            more = last * (max(int(token[1] or 0), int(token[2] or 0), 1) - 1)
            sums[-1] += more
            last += more
        elif said not in "?*+":
            last = 1
            sums[-1] += 1
    return sum(sums)
