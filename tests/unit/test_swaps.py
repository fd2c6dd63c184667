"""Swapping a model over HTTP and on the command line: asked for, answered by the host's supervisor, listed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service import Service
from viiwork.api.swaps import check_answers, silence_told
from viiwork.cli.main import run
from viiwork.errors import Conflict
from viiwork.hosts import HostCard, HostCards, Swap
from viiwork.store import drains
from viiwork.store.swaps import EXPIRES_MS, as_of, swaps, tell_swaps

PLAN = "large goes on gpu0, small leaves gpu0."
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        serve(running, "small")
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@contextmanager
def host(service: Service, **told: str) -> Iterator[None]:
    """A supervisor that looks at what it is asked, then answers so."""
    over = threading.Event()

    async def look() -> None:
        asked = [each for each in await swaps(service.store) if each.state == "asked"]
        said = ({"state": "planned", "plan": PLAN} if each.dry_run else {"plan": PLAN, **told} for each in asked)
        await tell_swaps(service.store, [each.model_copy(update=one) for each, one in zip(asked, said, strict=True)])

    def work() -> None:
        while not over.wait(0.02):
            service.run(look())

    with ThreadPoolExecutor() as others:
        working = others.submit(work)
        try:
            yield
        finally:
            over.set()
            working.result()


def serve(service: Service, *models: str) -> None:
    cards = tuple(HostCard(name=f"gpu{n}", worker=f"gpu{n}", model=model) for n, model in enumerate(models))
    service.run(drains.tell_host(service.store, HostCards(host="box", cards=cards)))


def test_what_a_swap_takes_is_said_before_it_begins(service: Service, cli: Cli) -> None:
    assert cli("swap")[:2] == (0, "No model was swapped.\n")
    with host(service, state="under way"):
        code, out, err = cli("swap", "small", "--to", "large")
    assert (code, "under way" in out, "viiwork swap" in err) == (0, True, True)
    assert err.startswith(f"box: {PLAN}\n")
    (told,) = httpx.get(f"{service.url}/v1/fleet/swaps").json()["swaps"]
    assert (told["model"], told["to"], told["host"], told["state"]) == ("small", "large", "box", "under way")


def test_a_dry_run_begins_nothing_and_is_not_listed(service: Service, cli: Cli) -> None:
    with host(service, state="under way"):
        code, out, _ = cli("swap", "small", "--to", "large", "--dry-run")
    assert (code, "planned" in out, PLAN in out) == (0, True, True)
    assert cli("swap")[:2] == (0, "No model was swapped.\n")


def test_one_that_cannot_be_is_an_error_with_the_hosts_reason(service: Service, cli: Cli) -> None:
    refused = Swap(model="small", to="large", host="box", id="a", state="refused", why="large does not fit.")
    with pytest.raises(Conflict, match=r"box: large does not fit\. It has begun on rig: `viiwork swap` shows"):
        check_answers([refused, Swap(model="small", to="large", host="rig", id="b", state="under way")], 2)
    with host(service, state="refused", why="large does not fit: needs 99 GiB."):
        response = httpx.post(f"{service.url}/v1/fleet/swaps", json={"model": "small", "to": "large"}, timeout=30)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "swap_refused")


def test_one_that_is_asked_for_while_another_is_under_way_or_at_the_same_time_is_told_so(
    service: Service, cli: Cli
) -> None:
    with host(service, state="under way"):
        assert cli("swap", "small", "--to", "large")[0] == 0
        code, out, err = cli("swap", "small", "--to", "other")
    assert (code, out, "small is swapped for large just now. Ask again" in err) == (2, "", True)
    with pytest.raises(Conflict, match="another swap of the same model was asked for meanwhile"):
        check_answers([], 1)


def test_a_request_that_is_sent_again_has_the_answer_of_the_first_and_asks_for_nothing_new(service: Service) -> None:
    """Also where the model is served no more by then; what was done before for others is none of its business."""
    body, key = {"model": "small", "to": "large"}, {"idempotency-key": "k1"}
    with host(service, state="done"):
        first = httpx.post(f"{service.url}/v1/fleet/swaps", json=body, headers=key, timeout=30).json()
        serve(service, "third")
        assert httpx.post(f"{service.url}/v1/fleet/swaps", json=body, headers=key, timeout=30).json() == first
        assert httpx.post(f"{service.url}/v1/fleet/swaps", json=body, timeout=30).status_code == 404


def test_of_a_host_that_is_silent_nobody_says_more_than_is_known() -> None:
    begun = Swap(model="small", to="large", host="box", state="under way")
    assert "nothing is heard of this host" in silence_told(begun, ["rig"]).why
    assert silence_told(begun, ["box"]) == begun


def test_one_that_was_done_already_says_so_and_begins_nothing(service: Service, cli: Cli) -> None:
    with host(service, state="done", served_as="large"):
        assert cli("swap", "small", "--to", "large")[0] == 0
    serve(service, "large")
    code, out, _ = cli("swap", "small", "--to", "large")
    assert (code, "this was done already" in out) == (0, True)
    code, out, err = cli("swap", "small", "--to", "other")
    assert (code, out, "no host serves the model 'small'. Served are large." in err) == (2, "", True)
    serve(service, "third")
    code, out, err = cli("swap", "small", "--to", "large")
    assert (code, out, "Served are third." in err) == (2, "", True), "it is served no more"


def test_one_that_no_host_took_up_in_time_is_done_no_more() -> None:
    asked = Swap(model="small", to="large", host="box", asked_ms=1000)
    assert as_of(asked, 1000 + EXPIRES_MS - 1) == asked
    late = as_of(asked, 1000 + EXPIRES_MS)
    assert (late.state, "Ask again" in late.why) == ("expired", True)
    begun = asked.model_copy(update={"state": "under way"})
    assert as_of(begun, 10 * EXPIRES_MS) == begun


def test_what_nobody_serves_and_half_a_command_are_errors(service: Service, cli: Cli) -> None:
    code, _, err = cli("swap", "nobody", "--to", "large")
    assert (code, "Served are small." in err) == (2, True)
    assert cli("swap", "small")[0] == 2
    assert cli("swap", "--dry-run")[0] == 2
    assert "to: must be one line" in cli("swap", "small", "--to", "a\nb")[2]
    assert service.run(swaps(service.store)) == ()


def test_one_that_failed_ends_the_command_that_shows_it_with_code_1(service: Service, cli: Cli) -> None:
    with host(service, state="failed", why="gpu0 cannot be started"):
        assert cli("swap", "small", "--to", "large")[0] == 1
    assert "gpu0 cannot be started" in cli("swap")[1]
