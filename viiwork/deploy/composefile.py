"""The compose file of a fleet, from its containers. Pure: a template of this package is filled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from viiwork.deploy.containers import DRAIN_S, NAMED_GROUPS, Container, must_set, stop_s
from viiwork.deploy.template import fill

TEMPLATE = "compose.yaml.j2"
STATE = "state:/var/lib/viiwork"


def compose_file(
    containers: Sequence[Container],
    *,
    command: str,
    title: str = "",
    mounts: Sequence[str] = (),
    groups: Sequence[str] = NAMED_GROUPS,
    unkept: Sequence[str] = (),
    cpu_engine: str = "extractive",
) -> str:
    """The whole text. Without containers of engines the fleet has one worker on the CPU.

    `command` is how it is written again, `title` what it was made for, `unkept` what it does not keep to.
    """
    recipes = sorted({each.environment["VIIWORK_ENGINE_KIND"] for each in containers if each.image})
    return fill(
        TEMPLATE,
        filters={"yaml": as_yaml, "remark": as_remark},
        containers=containers,
        command=command,
        title=title,
        volumes=[STATE, *mounts],
        groups=list(groups),
        unkept=unkept,
        cpu_engine=cpu_engine,
        must_set=must_set(containers),
        drain_s=DRAIN_S,
        stop_s=stop_s(recipes),
    )


def as_yaml(value: Any) -> str:
    """On one line: JSON is YAML. A dollar begins a variable only where a brace follows, which is meant."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def as_remark(text: str) -> str:
    """What may follow a `#`: on one line, and nothing that steers a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
