"""A server that somebody else runs is asked what it serves, and refused in one line when that will not do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from viiwork.errors import SettingsError, StartupError
from viiwork.recipes.check import Checked, check_engine, check_fleet, check_server
from viiwork.recipes.served import Told, ask_served
from viiwork.settings import EngineSection, Settings

ROOT = Path(__file__).resolve().parents[2]
KEY = "of-the-server"
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A fake vLLM with a key, that nobody of ours started."""
    port = free_port()
    fake = [sys.executable, "-m", "tests.fakes.openai_server", "--port", str(port)]
    told = [*fake, "--dialect", "vllm", "--model", "Org/Its-Model", "--context", "1234"]
    server = subprocess.Popen(told, cwd=ROOT, env={**os.environ, "VLLM_API_KEY": KEY})
    try:
        deadline = time.monotonic() + WITHIN_S
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def settings(url: str, tmp_path: Path, **more: object) -> Settings:
    (tmp_path / "key").write_text(f"{KEY}\n")
    engine = EngineSection.model_validate({"kind": "url", "url": url, "key_file": tmp_path / "key", **more})
    return Settings(engine=engine)


def checked(url: str, tmp_path: Path, **more: object) -> Checked:
    return check_engine(settings(url, tmp_path, **more), worker="cpu0", environ={})


def test_its_only_model_is_taken_with_its_own_name_and_context(url: str, tmp_path: Path) -> None:
    """Requests use its name; jobs one that can stand in a queue's."""
    found = checked(url, tmp_path)
    assert (found.name, found.alias, found.model.context_tokens) == ("Org/Its-Model", "its-model", 1234)
    assert checked(url, tmp_path, alias="mine", model="Org/Its-Model").alias == "mine"


def test_the_name_that_is_shown_is_taken_as_well_as_its_own(url: str, tmp_path: Path) -> None:
    """`up` showed one that it then refused."""
    shown = checked(url, tmp_path).alias
    found = checked(url, tmp_path, model=shown)
    assert (found.name, found.alias, found.model.context_tokens) == ("Org/Its-Model", shown, 1234)


def test_a_model_that_it_does_not_serve_is_refused_with_those_that_it_does(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not serve 'other'\. It serves Org/Its-Model\."):
        check_server(settings(url, tmp_path, model="other"), checked(url, tmp_path, model="other"))


def test_without_its_key_it_tells_nothing(url: str) -> None:
    assert ask_served(url, key="wrong") == Told(refuses_key=True)
    assert ask_served(url, key=KEY).models[0].name == "Org/Its-Model"


@pytest.mark.parametrize("model", [None, "Org/Its-Model"])
def test_who_has_no_key_or_a_wrong_one_is_told_so_and_not_that_nobody_answers(
    url: str, tmp_path: Path, model: str | None
) -> None:
    """With its model named, `up` waited for the engine and named a log file that is never written."""
    (tmp_path / "wrong").write_text("another")
    for file, told in (
        (None, r"answers, but wants a key\. .*--key-file FILE"),
        (tmp_path / "wrong", "refuses the key"),
    ):
        engine = EngineSection(kind="url", url=url, key_file=file, model=model)
        with pytest.raises(StartupError, match=told):
            check_fleet(Settings(engine=engine), ("cpu0",), environ={})


def test_a_running_worker_is_not_ended_over_a_key_that_is_refused(url: str) -> None:
    """Its guard tells of it, and a person puts it right and says so."""
    engine = EngineSection(kind="url", url=url, model="Org/Its-Model")
    assert check_engine(Settings(engine=engine), worker="cpu0", environ={}).refuses_key
