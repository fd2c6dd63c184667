"""The compose file of a fleet, from its containers. Pure: a template of this package is filled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from viiwork.deploy.containers import DRAIN_S, NAMED_GROUPS, Container, stop_s

TEMPLATE = "compose.yaml.j2"
STATE = "state:/var/lib/viiwork"


def compose_file(
    containers: Sequence[Container],
    *,
    command: str,
    title: str = "",
    mounts: Sequence[str] = (),
    groups: Sequence[str] = NAMED_GROUPS,
    cpu_engine: str = "extractive",
) -> str:
    """The whole text. Without containers of engines the fleet has one worker on the CPU.

    `command` is how it is written again, `title` what it was made for.
    """
    recipes = sorted({each.environment["VIIWORK_ENGINE_KIND"] for each in containers if each.image})
    text: str = _template(TEMPLATE).render(
        containers=containers,
        command=command,
        title=title,
        volumes=[STATE, *mounts],
        groups=list(groups),
        cpu_engine=cpu_engine,
        drain_s=DRAIN_S,
        stop_s=stop_s(recipes),
    )
    return text


def as_yaml(value: Any) -> str:
    """On one line: JSON is YAML. A dollar begins a variable only where a brace follows, which is meant."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def as_remark(text: str) -> str:
    """What may follow a `#`: on one line, and nothing that steers a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _template(name: str) -> Any:
    made = Environment(  # noqa: S701 - no HTML: the filter quotes
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    made.filters.update(yaml=as_yaml, remark=as_remark)
    return made.from_string(files(__package__).joinpath(name).read_text(encoding="utf-8"))
