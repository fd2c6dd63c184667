"""Workers that are put away until a person lets them work again: over HTTP, on the command line, in the fleet."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from rich.console import Console

from commands import Cli
from service import Service
from tests.hands import Hands
from viiwork.cli.tables import fleet_view, missing
from viiwork.client import Client
from viiwork.jobs import READER_MODEL
from viiwork.roster import FleetStatus, WorkerCard, WorkerStatus

WHY = "Its model was not found. Look at engine.model."
IDLE = True


def put_away(service: Service, *names: str) -> None:
    for name in names:
        service.run(service.store.quarantine(name, WHY))


def worker(name: str, *, model: str = "m", why: str = "") -> WorkerStatus:
    engine = "reader" if model == READER_MODEL else "vLLM"
    card = WorkerCard(name=name, incarnation=name, host="h", pid=1, engine=engine, model=model, slots=1)
    return WorkerStatus(card=card, quarantine=why)


class TestHttp:
    def test_nobody_is_quarantined_at_first(self, service: Service) -> None:
        assert httpx.get(f"{service.url}/v1/fleet/quarantine").json() == {"workers": []}
        assert httpx.post(f"{service.url}/v1/fleet/quarantine/lift").json() == {"lifted": [], "unknown": []}

    def test_it_names_each_with_its_reason_and_lifts_those_named(self, service: Service) -> None:
        """And says of the others that there was nothing to lift."""
        put_away(service, "gpu1@box", "gpu0@box")
        url = f"{service.url}/v1/fleet/quarantine"
        listed = httpx.get(url).json()["workers"]
        assert listed == [{"worker": "gpu0@box", "why": WHY}, {"worker": "gpu1@box", "why": WHY}]
        answer = httpx.post(f"{url}/lift", json={"workers": ["gpu1@box", "gpu9@box", "gpu1@box"]})
        assert answer.json() == {"lifted": ["gpu1@box"], "unknown": ["gpu9@box"]}
        assert httpx.post(f"{url}/lift", json={}).json() == {"lifted": ["gpu0@box"], "unknown": []}
        assert httpx.get(url).json() == {"workers": []}

    def test_a_request_that_is_sent_again_after_its_answer_was_lost_says_the_same(self, service: Service) -> None:
        put_away(service, "gpu0@box")
        told = {"json": {"workers": ["gpu0@box"]}, "headers": {"idempotency-key": "k1"}}
        url = f"{service.url}/v1/fleet/quarantine/lift"
        answers = [httpx.post(url, **told).json() for _ in range(2)]  # type: ignore[arg-type] # a dict of many types
        assert answers == [{"lifted": ["gpu0@box"], "unknown": []}] * 2

    @pytest.mark.parametrize(
        ("body", "field"),
        [({"workers": []}, "workers"), ({"workers": "gpu0"}, "workers"), ({"worker": ["a"]}, "worker"), ([], "body")],
    )
    def test_what_makes_no_sense_is_refused_by_field_and_lifts_nothing(
        self, service: Service, body: Any, field: str
    ) -> None:
        """A misspelt name must not come to mean all of them."""
        put_away(service, "gpu0@box")
        answer = httpx.post(f"{service.url}/v1/fleet/quarantine/lift", json=body)
        assert answer.status_code == 400
        assert field in answer.json()["error"]["message"]
        assert service.run(service.store.quarantined()) == {"gpu0@box": WHY}

    def test_the_fleet_and_the_client_tell_who_and_why(self, service: Service) -> None:
        hands = Hands(service.store)
        service.run(hands.beat())
        put_away(service, hands.card.name)
        told = {found["card"]["name"]: found for found in httpx.get(f"{service.url}/v1/fleet").json()["workers"]}
        assert [name for name, found in told.items() if found["quarantine"] == WHY] == [hands.card.name]
        with Client(service.url) as client:
            assert [(found.worker, found.why) for found in client.quarantined()] == [(hands.card.name, WHY)]
            assert client.lift_quarantine([hands.card.name]).lifted == (hands.card.name,)
            assert client.lift_quarantine().lifted == ()
            assert not any(found.quarantine for found in client.fleet().workers)

    def test_an_earlier_reason_stays(self, service: Service) -> None:
        put_away(service, "gpu0@box")
        service.run(service.store.quarantine("gpu0@box", "Another one."))
        assert service.run(service.store.quarantined()) == {"gpu0@box": WHY}


class TestCommand:
    def test_without_any_it_says_so(self, service: Service, cli: Cli) -> None:
        assert cli("quarantine", "list") == (0, "No worker is quarantined.\n", "")
        assert cli("quarantine", "list", "--json")[:2] == (0, "")
        assert cli("quarantine", "lift", "--all") == (0, "No quarantine was lifted.\n", "")

    def test_the_list_shows_why_and_what_to_do(self, service: Service, cli: Cli) -> None:
        put_away(service, "gpu0@box")
        _, out, err = cli("quarantine", "list")
        assert "gpu0@box" in out
        assert WHY in out
        assert "viiwork quarantine lift WORKER…" in err
        assert json.loads(cli("quarantine", "list", "--json")[1]) == {"worker": "gpu0@box", "why": WHY}

    def test_some_are_lifted_and_the_others_named(self, service: Service, cli: Cli) -> None:
        """Exit code 1 when one of them was not quarantined."""
        put_away(service, "gpu0@box", "gpu1@box", "gpu2@box")
        assert cli("quarantine", "lift", "gpu0@box") == (0, "May take jobs again: gpu0@box.\n", "")
        said = cli("quarantine", "lift", "gpu0@box", "gpu1@box")
        assert said == (1, "May take jobs again: gpu1@box.\n", "gpu0@box: it is not quarantined.\n")
        code, out, _ = cli("quarantine", "lift", "--all", "--json")
        assert (code, json.loads(out)) == (0, {"lifted": ["gpu2@box"], "unknown": []})

    @pytest.mark.parametrize("arguments", [(), ("--all", "gpu0@box")])
    def test_it_wants_names_or_all(self, service: Service, cli: Cli, arguments: tuple[str, ...]) -> None:
        code, out, err = cli("quarantine", "lift", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1)

    def test_without_a_service_it_says_so(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
        monkeypatch.setenv("VIIWORK_URL", "http://127.0.0.1:9")
        assert cli("quarantine", "list")[0] == 3

    def test_status_tells_why_and_that_nobody_serves(self, service: Service, cli: Cli) -> None:
        serving = [worker.card.name for worker in service.run(service.store.fleet()).workers]
        put_away(service, *serving)
        _, out, _ = cli("status")
        assert f"{serving[0]} is quarantined: {WHY}" in out
        assert "Nobody serves the model" in out
        assert "viiwork quarantine lift" in out
        assert json.loads(cli("status", "--json")[1])["workers"][0]["quarantine"] == WHY


class TestFleetView:
    READER = worker("reader0@h", model=READER_MODEL)

    def test_a_model_is_served_as_long_as_one_of_its_workers_may_take_jobs(self) -> None:
        some = FleetStatus(fleet="f", workers=(worker("gpu0@h", why=WHY), worker("gpu1@h"), self.READER))
        assert missing(some) == []
        none = FleetStatus(fleet="f", workers=(worker("gpu0@h", why=WHY), worker("gpu1@h", why=WHY), self.READER))
        assert missing(none) == ["Nobody serves the model m: every worker of it is quarantined, and its jobs wait."]

    def test_what_a_reason_holds_cannot_write_on_the_screen(self) -> None:
        """A reason is one line, whatever wrote it."""
        console = Console(width=200)
        with console.capture() as text:
            console.print(fleet_view(FleetStatus(fleet="f", workers=(worker("gpu0@h", why="a\x1b[2Jb\nc"),))))
        assert "gpu0@h is quarantined: a" in text.get()
        assert "\x1b[2J" not in text.get()
