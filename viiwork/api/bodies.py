"""What every request body has in common: unknown fields are refused, and what is wrong is named by its field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from viiwork.api.habits import MISTAKEN, body_at, instead

MISPLACED = "of_field"
MOST_FAULTS = 1000
"""A body that is wrong in more places is not told the first: to list 300,000 took 500 MB, and all requests waited."""
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def wrong(field: str, reason: str) -> PydanticCustomError:
    """What a validator raises that looks at several fields: which of them it is, and why."""
    # The text goes in as a value: what a sender wrote may hold braces, which a template would take for its own.
    return PydanticCustomError(MISPLACED, "{reason}", {"field": field, "reason": reason})


def one_line(text: str) -> str:
    """As it is. Raises PydanticCustomError."""
    if CONTROLS.search(text):
        raise wrong("", "must be one line, without line breaks, tabs and other control characters")
    return text


Line = Annotated[str, AfterValidator(one_line)]
"""Text that is shown in tables and written to logs."""


def listed(value: object) -> object:
    """One string where a list of them may stand."""
    return [value] if isinstance(value, str) else value


def faults_of(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    """What is wrong with a body, without what was sent; of one that is wrong in too many places only that it is."""
    if (count := error.error_count()) > MOST_FAULTS:
        return [{"type": "too_many_faults", "loc": (), "msg": f"it is wrong in {count:,} places"}]
    return error.errors(include_url=False, include_input=False)


def complaint(
    errors: Sequence[Mapping[str, Any]], *, within: str = "", of: type[BaseModel] | None = None
) -> tuple[str, str]:
    """The first thing that is wrong with a body: its field and the reason. What was sent is not repeated.

    `of` says which body: what may be meant by a field that it does not have is told then.
    """
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    inner = [first["ctx"]["field"]] if first["type"] == MISPLACED and first["ctx"]["field"] else []
    return ".".join(([within] if within else []) + parts + inner), _reason(first, of)


def _reason(first: Mapping[str, Any], of: type[BaseModel] | None) -> str:
    *place, name = first["loc"] or ("",)
    if first["type"] == "extra_forbidden":
        meant = instead(str(name), body_at(of, place))
        return f"there is no such field; {meant}" if meant else "there is no such field"
    if (mistaken := MISTAKEN.get((first["type"], str(name)))) is not None:
        return mistaken
    if first["type"] == "missing":
        return "this field is required"
    if first["type"] in ("too_short", "too_long"):  # pydantic speaks of a tuple "after validation"
        given = first["ctx"]
        bound = f"at least {given['min_length']}" if "min_length" in given else f"at most {given['max_length']}"
        return f"must have {bound} {'entry' if bound.endswith(' 1') else 'entries'}"
    return str(first["msg"]).rstrip(".")
