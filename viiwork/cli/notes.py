"""What is said of an analysis as a whole on a command line: for how long it is kept, and by what it is found again."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.errors import UsageError

Retention = Annotated[
    float | None,
    typer.Option(
        "--retention-hours",
        metavar="HOURS",
        min=0.001,
        help="Delete all of it so long after its end. Default: as long as the service keeps results.",
    ),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="To find it again by; may be given several times."),
]


def labels_of(metadata: list[str] | None) -> dict[str, str]:
    """`["year=2019"]` as keys and values. Raises UsageError."""
    labels: dict[str, str] = {}
    for said in metadata or ():
        key, equals, value = said.partition("=")
        if not key or not equals:
            raise UsageError(f"--metadata {said[:80]}: must be KEY=VALUE.", param="metadata")
        if key in labels:
            raise UsageError(f"--metadata {key[:64]}: is given twice.", param="metadata")
        labels[key] = value
    return labels
