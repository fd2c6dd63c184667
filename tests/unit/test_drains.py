"""Cards that a person leaves out: over HTTP, on the command line, in `status`, and what a host makes of them."""

from __future__ import annotations

import json

import httpx
import pytest
from rich.console import Console

from commands import Cli
from service import Service
from viiwork.api.drains import known_names
from viiwork.cli.tables import fleet_view
from viiwork.errors import NotFound, UsageError
from viiwork.fleet.hostboard import host_cards, names_of, with_identity
from viiwork.hosts import Drained, HostCard, HostCards
from viiwork.placement.cards import PlanCard
from viiwork.roster import FleetStatus
from viiwork.store import drains

IDLE = True
BOX = HostCards(host="box", cards=tuple(HostCard(name=f"gpu{number}", id=f"id-{number}") for number in range(4)))
RIG = HostCards(host="rig", cards=(HostCard(name="gpu2"), HostCard(name="gpu7")))


@pytest.fixture(autouse=True)
def hosts(service: Service) -> None:
    for host in (BOX, RIG):
        service.run(drains.tell_host(service.store, host))


def card(number: int, *, identity: str = "") -> PlanCard:
    return PlanCard(id=identity or f"id-{number}", index=number, kind="card", arch="gfx906", vram_bytes=1)


def test_a_card_is_drained_with_a_reason_and_taken_back(service: Service) -> None:
    url = f"{service.url}/v1/fleet/drains"
    assert httpx.get(url).json() == {"drained": []}
    told = httpx.post(url, json={"workers": ["gpu1+gpu3"], "reason": "fan"}).json()["drained"]
    assert [(each["worker"], each["reason"]) for each in told] == [("gpu1@box", "fan"), ("gpu3@box", "fan")]
    fleet = httpx.get(f"{service.url}/v1/fleet").json()
    assert [each["worker"] for each in fleet["drained"]] == ["gpu1@box", "gpu3@box"]
    assert [each["host"] for each in fleet["hosts"]] == ["box", "rig"]
    lifted = httpx.post(f"{url}/lift", json={"workers": ["gpu1", "gpu9"]}).json()
    assert lifted == {"undrained": ["gpu1@box"], "unknown": ["gpu9"]}
    assert [each["worker"] for each in httpx.get(url).json()["drained"]] == ["gpu3@box"]


def test_a_request_that_is_sent_again_says_the_same(service: Service) -> None:
    url, key = f"{service.url}/v1/fleet/drains", {"idempotency-key": "k1"}
    httpx.post(url, json={"workers": ["gpu1"]})
    answers = [httpx.post(f"{url}/lift", json={"workers": ["gpu1@box"]}, headers=key).json() for _ in range(2)]
    assert answers == [{"undrained": ["gpu1@box"], "unknown": []}] * 2


def test_a_card_that_no_host_has_or_that_several_have_is_an_error_that_names_them() -> None:
    assert known_names(["gpu2@rig", "gpu0+gpu1"], [BOX, RIG]) == ["gpu2@rig", "gpu0@box", "gpu1@box"]
    with pytest.raises(NotFound, match=r"there is no card 'gpu9'\. There are gpu0@box"):
        known_names(["gpu9"], [BOX])
    with pytest.raises(UsageError, match=r"several hosts have a gpu2\. Say which: gpu2@box, gpu2@rig"):
        known_names(["gpu2"], [BOX, RIG])
    with pytest.raises(NotFound, match=r"No `viiwork up` tells of its cards"):
        known_names(["gpu0"], [])


def test_on_the_command_line(service: Service, cli: Cli) -> None:
    assert cli("drain")[:2] == (0, "No card is drained.\n")
    code, out, err = cli("drain", "gpu1", "--reason", "fan")
    assert (code, "gpu1@box" in out, "fan" in out, "viiwork undrain" in err) == (0, True, True, True)
    assert json.loads(cli("drain", "--json")[1])["worker"] == "gpu1@box"
    assert "gpu1@box is drained: fan" in cli("status")[1]
    assert cli("drain", "gpu2")[0] == 2
    assert cli("undrain", "gpu3")[0] == 1
    assert cli("undrain", "--all")[:2] == (0, "In the plan again: gpu1@box.\n")
    assert cli("undrain")[0] == 2
    assert service.run(drains.drained(service.store)) == ()


def test_a_reason_of_two_lines_is_refused_in_plain_words(service: Service, cli: Cli) -> None:
    code, _, err = cli("drain", "gpu1@box", "--reason", "fan\nrattles")
    assert (code, "reason: must be one line" in err, "pattern" in err) == (2, True, False)
    assert service.run(drains.drained(service.store)) == ()


def test_status_tells_what_cannot_be_served() -> None:
    lacking = HostCards(host="box", not_served=("llama-2-70b does not fit: needs 136.5 GiB.",))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(fleet_view(FleetStatus(fleet="lab", hosts=(lacking,), drained=(Drained(worker="gpu1@box"),))))
    assert "box: llama-2-70b does not fit" in shown.get()
    assert "gpu1@box is drained: no reason was given" in shown.get()


def test_a_drained_card_is_known_by_who_it_is() -> None:
    """Its number may be another after the next start."""
    mine = [Drained(worker="gpu2@box", reason="fan"), Drained(worker="gpu3@box", card="id-8")]
    assert with_identity(mine, [card(2), card(8)]) == [Drained(worker="gpu2@box", reason="fan", card="id-2")]
    cards = {"id-2": card(1, identity="id-2"), "id-3": card(2, identity="id-3")}
    known = [Drained(worker="gpu2@box", reason="fan", card="id-2")]
    assert names_of(known, cards) == {"gpu1": "fan"}
    assert names_of(mine[:1], {}) == {"gpu2": "fan"}


def test_a_host_tells_each_card_also_those_that_nobody_has() -> None:
    told = host_cards("box", (), (), {"id-1": card(1), "id-0": card(0)}, ["x does not fit."])
    assert [(each.name, each.id, each.worker) for each in told.cards] == [("gpu0", "id-0", ""), ("gpu1", "id-1", "")]
    assert told.not_served == ("x does not fit.",)
