"""`viiwork drain` and `undrain`: cards that take nothing more, until a person takes that back."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.putaside import PutAside
from viiwork.errors import UsageError
from viiwork.hosts import Undrained

Names = Annotated[list[str] | None, typer.Argument(metavar="CARD…", help="Such as gpu2, gpu2@host, gpu2+gpu3.")]
DRAINED = PutAside(
    heading="Card",
    none="No card is drained.",
    again="Have them in the plan again: viiwork undrain CARD…",
    back="In the plan again",
    nothing_back="No drain was taken back.",
    not_there="it is not drained",
    shown_by="viiwork drain",
)


def drain(
    names: Names = None,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever wonders later.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Let the workers of cards finish what they have and end; the cards are left out of the plan, restarts included.

    Without a card, show those that are drained.
    """
    if reason and not names:
        raise UsageError("--reason: which cards? Name them.", hint="viiwork drain gpu2 --reason fan", param="workers")
    with connect(server) as client:
        found = client.drain(names, reason=reason) if names else client.drained()
    why = {each.worker: each.reason or "drained" for each in found}
    DRAINED.show(why, found, flag=server_flag(server), as_json=as_json)


def undrain(
    names: Names = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All cards that are drained.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Have drained cards in the plan again.

    Exit code: 0 all that were named are back, 1 some were not drained.
    """
    DRAINED.check_named(names, every=every)
    with connect(server) as client:
        wanted = names or [each.worker for each in client.drained()]
        came = client.undrain(wanted) if wanted else Undrained()
    DRAINED.report(came.undrained, came.unknown, came, as_json=as_json)
