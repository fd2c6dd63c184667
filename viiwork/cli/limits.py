"""`viiwork keys limits`: how much the holder of a key may ask for, said and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Table

from viiwork.allowance import LaneUse, LimitsInUse, Use, lasting
from viiwork.cli.screen import plain
from viiwork.errors import UsageError
from viiwork.limits import NO_LIMITS, LimitFields, changed, parse_limit

Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=MOST",
        help="Such as monthly_tokens=5M; `none` lifts one, `default` is the fleet's own. May be repeated.",
    ),
]
IN_WORDS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "in_flight": "requests under way",
    "backlog": "unfinished jobs of analyses, files and batches",
    "documents": "documents of one analysis",
    "monthly_tokens": "tokens in a calendar month (UTC)",
    "stored_files": "files that are kept",
    "stored_bytes": "bytes of these",
    "open_batches": "batches that have not ended",
}


def limits_from(said: list[str] | None) -> Mapping[str, int | str | None]:
    """What `--limit` says, by name. Raises UsageError."""
    found: dict[str, int | str | None] = {}
    for one in said or ():
        try:
            name, value = parse_limit(one)
            given = getattr(changed(NO_LIMITS, {name: value}), name)
        except ValidationError as error:
            message = f"--limit {one}: must be a whole number of at least 1, `none` or `default`."
            raise UsageError(message, param="limits") from error
        except KeyError as error:
            hint = f"There are {', '.join(LimitFields.model_fields)}."
            raise UsageError(f"--limit {one}: there is no such limit, or nothing after `=`.", hint=hint) from error
        found[name] = given
    return found


def limits_table(told: LimitsInUse) -> Table:
    """One limit a row; those that there are."""
    table = Table("Lane", "Limit", "Most", "Left", "Counted for")
    for lane, use in (("interactive", told.interactive), ("batch", told.batch)):
        for row in _rows(lane, use):
            table.add_row(*(plain(cell) for cell in row))
    if told.monthly_tokens is not None:
        cells = _row("both", "monthly_tokens", told.monthly_tokens, told.tenant)
        table.add_row(*(plain(cell) for cell in cells))
    for name in ("stored_files", "stored_bytes", "open_batches"):
        if (use := getattr(told, name)) is not None:
            table.add_row(*(plain(cell) for cell in _row("", name, use, told.tenant)))
    return table


def _rows(lane: str, use: LaneUse) -> list[tuple[str, ...]]:
    found = {name: getattr(use, name) for name in ("requests_per_minute", "tokens_per_minute", "in_flight", "backlog")}
    rows = [_row(lane, name, one) for name, one in found.items() if one is not None]
    documents = [(lane, IN_WORDS["documents"], f"{use.documents:,}", "", "each")] if use.documents else []
    return [*rows, *documents]


def _row(lane: str, name: str, use: Use, tenant: str = "") -> tuple[str, ...]:
    back = f", all in {lasting(use.full_in_ms)}" if use.full_in_ms else ""
    whose = "this key" if use.of == "key" else f"the tenant {tenant}".strip()
    return (lane, IN_WORDS[name], f"{use.most:,}", f"{use.left:,}{back}", whose)
