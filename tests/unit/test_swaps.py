"""Swapping a model over HTTP and on the command line: asked for, answered by the host's supervisor, listed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service import Service
from viiwork.cli.main import run
from viiwork.hosts import HostCard, HostCards, SwapState
from viiwork.store import drains
from viiwork.store.swaps import swaps, tell_swaps

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    host = HostCards(host="box", cards=(HostCard(name="gpu0", worker="gpu0", model="small"),))
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        running.run(drains.tell_host(running.store, host))
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def answer(service: Service, state: SwapState, why: str = "") -> None:
    """As the supervisor does, once it is asked."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        asked = [each for each in service.run(swaps(service.store)) if each.state == "asked"]
        if asked:
            told = [each.model_copy(update={"state": state, "why": why}) for each in asked]
            service.run(tell_swaps(service.store, told))
            return
        time.sleep(0.02)
    raise AssertionError("nobody asked")


def test_a_swap_is_answered_once_its_host_has_begun(service: Service, cli: Cli) -> None:
    assert cli("swap")[:2] == (0, "No model was swapped.\n")
    with ThreadPoolExecutor() as others:
        heard = others.submit(answer, service, "under way")
        code, out, err = cli("swap", "small", "--to", "large")
        heard.result()
    assert (code, "under way" in out, "viiwork swap" in err) == (0, True, True)
    told = {"model": "small", "to": "large", "host": "box", "state": "under way", "why": ""}
    assert httpx.get(f"{service.url}/v1/fleet/swaps").json() == {"swaps": [told]}


def test_one_that_cannot_be_is_an_error_with_the_hosts_reason(service: Service, cli: Cli) -> None:
    with ThreadPoolExecutor() as others:
        heard = others.submit(answer, service, "refused", "large does not fit: needs 99 GiB.")
        code, _, err = cli("swap", "small", "--to", "large")
        heard.result()
    assert (code, "box: large does not fit: needs 99 GiB." in err) == (2, True)


def test_what_nobody_serves_and_half_a_command_are_errors(service: Service, cli: Cli) -> None:
    code, _, err = cli("swap", "nobody", "--to", "large")
    assert (code, "Served are small." in err) == (2, True)
    assert cli("swap", "small")[0] == 2
    assert service.run(swaps(service.store)) == ()


def test_one_that_failed_ends_the_command_that_shows_it_with_code_1(service: Service, cli: Cli) -> None:
    with ThreadPoolExecutor() as others:
        heard = others.submit(answer, service, "failed", "gpu0 cannot be started")
        assert cli("swap", "small", "--to", "large")[0] == 1
        heard.result()
    assert "gpu0 cannot be started" in cli("swap")[1]
