"""No command takes a secret as an argument: `ps` shows them to everybody. Files and the environment are for that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from viiwork.cli.commands import PLACES, app_of
from viiwork.settings import Settings

SECRET = re.compile(r"password|secret|token|credential|(?<!idempotency-)(?<!api-)key\b")
HARMLESS = {
    "--key": "an Idempotency-Key, which the sender makes up",
    "--key-file": "names a file",
    "--token-file": "names a file",
    "--max-tokens": "counts",
    "--tokens": "counts",
    "--prompt-tokens": "counts",
    "--output-tokens": "counts",
    "--context-tokens": "counts",
    "--page-tokens": "counts",
}


def options(command: Any, path: str = "viiwork") -> Iterator[tuple[str, str]]:
    """Every option of every command, with the command's words."""
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield from ((path, name) for name in parameter.opts)
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{path} {name}")


def test_no_option_takes_one() -> None:
    found = list(options(typer.main.get_command(app_of(*PLACES))))
    assert len(found) > 100
    assert [each for each in found if SECRET.search(each[1]) and each[1] not in HARMLESS] == []


@pytest.mark.parametrize("setting", ["blobs.token", "callbacks.key", "redis.url"])
def test_every_secret_setting_may_come_from_a_file(setting: str) -> None:
    """And does not show where settings are printed."""
    table, _, name = setting.partition(".")
    fields = Settings.tables()[table].model_fields
    assert f"{name}_file" in fields
