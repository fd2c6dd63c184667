"""Cards and workers that somebody or something has put aside, each with its reason: shown, and taken back by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import typer
from pydantic import BaseModel
from rich.table import Table

from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.errors import UsageError
from viiwork.wire import public


@dataclass(frozen=True, slots=True)
class PutAside:
    """How one kind of it is spoken of."""

    heading: str
    """`Card`."""
    none: str
    """`No card is drained.`"""
    again: str
    """`Have them in the plan again: viiwork undrain CARD…`."""
    back: str
    """`In the plan again`."""
    nothing_back: str
    not_there: str
    """`it is not drained`."""
    shown_by: str
    """The command that shows them."""

    def show(self, found: Mapping[str, str], records: Iterable[BaseModel], *, flag: str, as_json: bool) -> None:
        """Names and reasons; the records for a program."""
        if as_json:
            for each in records:
                print_json(public(each))
        elif not found:
            out().print(plain(self.none))
        else:
            out().print(self.table(found))
            say(f"{self.again}{flag}")

    def table(self, found: Mapping[str, str]) -> Table:
        """A name a row."""
        table = Table(self.heading, show_lines=True)
        table.add_column("Why", overflow="fold")
        for name, why in found.items():
            table.add_row(plain(one_line(name)), plain(one_line(why)))
        return table

    def check_named(self, names: Sequence[str] | None, *, every: bool) -> None:
        """Raises UsageError where neither or both were given."""
        named = f"Name {self.heading.lower()}s, or take --all"
        if every and names:
            raise UsageError(f"{named}, not both.")
        if not every and not names:
            raise UsageError(f"{named}.", hint=f"`{self.shown_by}` shows them.")

    def report(self, back: Sequence[str], unknown: Sequence[str], record: BaseModel, *, as_json: bool) -> None:
        """Who was taken back, and who was not put aside. Raises Exit: 1 where there are some of those."""
        if as_json:
            print_json(public(record))
        else:
            names = ", ".join(one_line(name) for name in back)
            out().print(plain(f"{self.back}: {names}." if names else self.nothing_back))
        for name in unknown:
            say(f"{one_line(name)}: {self.not_there}.")
        raise typer.Exit(1 if unknown else 0)
