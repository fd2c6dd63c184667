"""A real API process that calls real receivers: down, failing, redirecting, dripping; killed in the middle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from tests.door import Door
from tests.hands import Hands
from tests.ports import kept_port
from tests.receiver import Receiver
from tests.workers import ROOT, eventually
from viiwork.callbacks.vault import new_secret
from viiwork.jobs import Lane
from viiwork.settings import Settings
from viiwork.store import Store

QUICK = {
    "VIIWORK_CALLBACKS_ALLOW": '["127.0.0.0/8"]',
    "VIIWORK_CALLBACKS_RETRY_BASE_S": "0.05",
    "VIIWORK_CALLBACKS_RETRY_CAP_S": "0.2",
    "VIIWORK_CALLBACKS_TIMEOUT_S": "60",
}
HURRIED = {**QUICK, "VIIWORK_CALLBACKS_TIMEOUT_S": "0.5"}
"""For receivers that never answer. Others have all the time that this machine may take to answer in."""
WHO = {"x-viiwork-submitter": "anna@lab"}


class Desk:
    """What a submitter does over HTTP, and the hands that do the work."""

    def __init__(self, url: str, hands: Hands) -> None:
        self.http = httpx.Client(base_url=url, headers=WHO, timeout=60)
        self.hands = hands

    def post(self, path: str, **body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def secret(self) -> str:
        return str(self.post("/v1/callbacks/secret")["secret"])

    def add(self, url: str) -> tuple[str, str]:
        """An endpoint: its id and its secret."""
        shown = self.post("/v1/callbacks/endpoints", url=url)
        return shown["endpoint"]["id"], shown["secret"]

    async def job(self, url: str) -> str:
        """A job that is done, and whose end is told to `url`."""
        status = self.post("/v1/jobs", messages=[{"role": "user", "content": "private words"}], callback_url=url)
        await self.hands.do_all(Lane(status["lane"]))
        return str(status["id"])

    async def batch(self) -> str:
        """A file of one job that is done; endpoints are told."""
        line = b'{"messages": [{"role": "user", "content": "private words"}]}\n'
        answer = self.http.post("/v1/jobs", content=line, headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 202, answer.text
        await self.hands.do_all()
        return str(answer.json()["id"])

    def listed(self, state: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/v1/callbacks", params={"state": state}).json()["callbacks"]
        return found


@pytest.fixture
async def hands(real_store: Store) -> Hands:
    made = Hands(real_store)
    await made.beat()
    return made


@pytest.fixture
def desk(settings: Settings, hands: Hands) -> Iterator[Desk]:
    """Beside a door whose pauses are short, and which may call this computer."""
    with Door(settings, **QUICK) as door:
        made = Desk(door.url, hands)
        yield made
        made.http.close()


async def test_a_receiver_that_is_down_and_fails_gets_each_callback_once_it_is_well(desk: Desk) -> None:
    """Down, then 500, 429 and 404, then well: the same id and body at each try, verifiable by the official library."""
    secret = desk.secret()

    async def tried() -> bool:
        return any(each.get("fault") for each in desk.listed("pending"))

    with kept_port() as port:
        jobs = [await desk.job(f"http://127.0.0.1:{port}/hook?token=t") for _ in range(2)]
        await eventually(tried, what="a try at a receiver that is down")
        assert {each["url"] for each in desk.listed("pending")} == {f"http://127.0.0.1:{port}/hook"}
        with Receiver(500, 429, 404, 200, port=port) as receiver:
            heard = receiver.until(lambda got: len({each.id for each in got[3:]}) == 2)
    assert len({(each.id, each.body) for each in heard}) == 2
    told = [each.verified(secret) for each in heard]
    assert {each["data"]["id"] for each in told} == set(jobs)
    assert {each["type"] for each in told} == {"job.completed"}
    assert all(b"private" not in each.body for each in heard)
    assert heard[-1].path == "/hook?token=t"
    with pytest.raises(WebhookVerificationError):
        heard[0].verified(new_secret())


async def test_redirects_lead_nowhere_and_a_dripping_receiver_holds_up_nobody(settings: Settings, hands: Hands) -> None:
    """A redirect is a failure like others; a slow one is left after its time, and others are told meanwhile."""
    with Door(settings, **HURRIED) as door, Receiver() as inner, Receiver("drip") as slow, Receiver() as well:
        desk = Desk(door.url, hands)
        desk.secret()
        with Receiver(inner.url, f"http://169.254.169.254:{inner.port}/", 200) as moved:
            for receiver in (slow, moved, well):
                await desk.job(receiver.url)

            async def told() -> bool:
                return len(desk.listed("delivered")) == 2

            await eventually(told, what="all but the slow one were told")
        assert inner.heard == []
        assert len(moved.heard) >= 3
        slow.wait(2)
        (left,) = desk.listed("pending")
        assert left["url"] == slow.url
        assert left["fault"] in {"No answer within 0.5 s.", "No answer in time."}
        desk.http.close()


async def test_a_callback_that_is_given_up_is_sent_once_more_by_a_person(settings: Settings, hands: Hands) -> None:
    """Dead after its time, replayed under its id, and then delivered."""
    with Door(settings, **QUICK, VIIWORK_CALLBACKS_GIVE_UP_S="0.3") as door, Receiver(500) as ill:
        desk = Desk(door.url, hands)
        secret = desk.secret()
        await desk.job(ill.url)

        async def dead() -> bool:
            return bool(desk.listed("dead"))

        await eventually(dead, what="a callback that is given up")
        (letter,) = desk.listed("dead")
        assert (letter["status"], letter["fault"]) == (500, "It answered (500).")
        ill._answers = (200,)
        before = len(ill.heard)
        assert desk.post("/v1/callbacks/replay") == {"done": 1, "refused": []}
        last = ill.wait(before + 1)[-1]
        assert last.id == letter["id"] == ill.heard[0].id
        last.verified(secret)
        assert desk.post("/v1/callbacks/replay", ids=["msg_1_1"])["refused"][0]["code"] == "not_found"
        desk.http.close()


async def test_private_addresses_are_refused_at_submit_and_when_a_name_stands_for_one(
    settings: Settings, hands: Hands
) -> None:
    """Without an allow-list. 2130706433 is a name to us, and this computer's address to whoever looks it up."""
    with Door(settings, **{**QUICK, "VIIWORK_CALLBACKS_ALLOW": "[]"}) as door, Receiver() as receiver:
        desk = Desk(door.url, hands)
        desk.secret()
        for url in (receiver.url, "https://127.0.0.1/", "https://localhost/", "https://169.254.169.254/"):
            body = {"messages": [{"role": "user", "content": "x"}], "callback_url": url}
            refusal = desk.http.post("/v1/jobs", json=body)
            assert refusal.status_code == 400, url
            assert refusal.json()["error"]["param"] == "callback_url"
        await desk.job(f"https://2130706433:{receiver.port}/")

        async def refused() -> bool:
            return any("not public" in each.get("fault", "") for each in desk.listed("pending"))

        await eventually(refused, what="a name that stands for a private address")
        assert receiver.heard == []
        desk.http.close()


async def test_a_sender_that_is_killed_in_the_middle_loses_nothing(settings: Settings, hands: Hands) -> None:
    """One callback is in its hands when it dies, two wait; the next process sends each, the first under the same id."""
    with Receiver("drip") as stuck, Receiver() as well:
        with Door(settings, **HURRIED) as door:
            desk = Desk(door.url, hands)
            secret = desk.secret()
            jobs = [await desk.job(stuck.url) for _ in range(3)]
            stuck.wait(1)
            door.process.kill()
            door.process.wait()
            desk.http.close()
        stuck._answers = (200,)
        with Door(settings, **QUICK) as door:
            desk = Desk(door.url, hands)
            jobs.append(await desk.job(well.url))
            heard = stuck.until(lambda got: len({each.id for each in got}) == 3 and len(got) >= 4)
            well.wait(1)
            desk.http.close()
        assert heard[0].id in {each.id for each in heard[1:]}
        told = {each.verified(secret)["data"]["id"] for each in [*heard, *well.heard]}
        assert told == set(jobs)


async def test_two_api_processes_send_each_callback_once(settings: Settings, hands: Hands) -> None:
    """Redis hands a receiver to one of them at a time."""
    with Door(settings, **QUICK) as one, Door(settings, **QUICK) as two, Receiver() as receiver:
        desks = [Desk(door.url, hands) for door in (one, two)]
        desks[0].secret()
        jobs = [await desks[n % 2].job(f"{receiver.url}?n={n}") for n in range(8)]
        receiver.wait(8)

        async def all_delivered() -> bool:
            return len(desks[0].listed("delivered")) == 8

        await eventually(all_delivered, what="eight callbacks that were delivered")
        assert sorted(each.path for each in receiver.heard) == [f"/hook?n={n}" for n in range(8)]
        assert len(set(jobs)) == 8
        for desk in desks:
            desk.http.close()


async def test_an_answer_that_was_lost_is_given_again_under_its_key(desk: Desk) -> None:
    """The secret with it: whoever asks once more has no other way to know it, and no second endpoint is made."""
    key = {"idempotency-key": "once"}
    path, body = "/v1/callbacks/endpoints", {"url": "https://a.example/"}
    first, again = (desk.http.post(path, json=body, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.headers["cache-control"] == "no-store"
    rotate = f"{path}/{first.json()['endpoint']['id']}/rotate"
    turned, heard = (desk.http.post(rotate, headers={"idempotency-key": "turn"}).json() for _ in range(2))
    assert turned == heard
    assert turned["secret"] != first.json()["secret"]
    other = desk.http.post(rotate, headers={"x-viiwork-submitter": "ben@lab"})
    assert other.status_code == 404


async def test_an_endpoint_is_told_and_both_secrets_sign_during_a_rotation(desk: Desk) -> None:
    """Added, tried out, rotated, removed; a secret is shown in the answer that makes it alone."""
    with Receiver() as receiver:
        endpoint, old = desk.add(receiver.url)
        trial = desk.post(f"/v1/callbacks/endpoints/{endpoint}/test")
        assert (trial["delivered"], trial["status"]) == (True, 200)
        assert receiver.heard[0].verified(old)["type"] == "endpoint.test"
        new = desk.post(f"/v1/callbacks/endpoints/{endpoint}/rotate")["secret"]
        analysis = await desk.batch()
        event = receiver.wait(2)[1]
        assert event.verified(old) == event.verified(new)
        assert event.verified(new)["data"]["id"] == analysis
        newest = desk.post(f"/v1/callbacks/endpoints/{endpoint}/rotate", at_once=True)["secret"]
        await desk.batch()
        last = receiver.wait(3)[2]
        last.verified(newest)
        with pytest.raises(WebhookVerificationError):
            last.verified(new)
        listed = desk.http.get("/v1/callbacks/endpoints").text
        assert "whsec_" not in listed
        assert receiver.url in listed

        async def all_told() -> bool:
            return desk.listed("pending") == []

        await eventually(all_told, what="that what was heard was told")
        assert desk.http.delete(f"/v1/callbacks/endpoints/{endpoint}").status_code == 200
        await desk.batch()
        assert desk.listed("pending") == []


async def looked(store: Store, *, times: int) -> None:
    """Wait until the door has begun so many more looks at the queues: it asks first whether there are endpoints."""
    asked = f"SCARD {store.prefix}endpoints"
    async with store.client.monitor() as monitor:
        async for said in monitor.listen():
            times -= said["command"] == asked
            if times <= 0:
                return


async def test_work_that_stands_still_is_told_once(settings: Settings, hands: Hands) -> None:
    with Door(settings, **QUICK, VIIWORK_CALLBACKS_STALLED_S="0.4") as door, Receiver() as receiver:
        desk = Desk(door.url, hands)
        _, secret = desk.add(receiver.url)
        desk.post("/v1/jobs", messages=[{"role": "user", "content": "x"}], lane="batch")
        event = receiver.wait(1)[0].verified(secret)
        assert (event["type"], event["data"]["id"], event["data"]["waiting"]) == ("fleet.stalled", "batch.noop", 1)

        async def told() -> bool:
            return len(desk.listed("delivered")) == 1

        await eventually(told, what="that it was told")
        await looked(hands.store, times=3)
        assert [len(desk.listed(state)) for state in ("pending", "delivered", "dead")] == [0, 1, 0]
        assert len(receiver.heard) == 1
        desk.http.close()


EXAMPLES = {
    "python": (sys.executable, "callback_receiver.py"),
    "node": (shutil.which("node") or "", "callback_receiver.mjs"),
}


@contextmanager
def example(kind: str, secret: str, log: Path) -> Iterator[Callable[[], str]]:
    """One of the receivers in `examples/`, and what it has said so far."""
    program, name = EXAMPLES[kind]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, str(ROOT / "examples" / name), "0"],
            stdout=out,
            stderr=out,
            env={**os.environ, "WEBHOOK_SECRET": secret},
        )
    try:
        yield log.read_text
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("kind", list(EXAMPLES))
async def test_the_receivers_in_the_examples_take_what_is_signed_and_nothing_else(
    kind: str, desk: Desk, tmp_path: Path
) -> None:
    """Each is a program that a newcomer starts as it is."""
    if not EXAMPLES[kind][0]:
        pytest.skip("node is not installed")
    with example(kind, desk.secret(), tmp_path / "said") as said:

        async def listens() -> bool:
            return "listening" in said()

        await eventually(listens, what=f"the example in {kind}")
        url = re.search(r"http://\S+", said())
        assert url is not None, said()
        job = await desk.job(url[0])

        async def printed() -> bool:
            return f"job.completed {job}" in said()

        await eventually(printed, what="the event in what the example prints")
        forged = httpx.post(
            url[0], content=b"{}", headers={"webhook-id": "m", "webhook-signature": "v1,AAAA"}, timeout=60
        )
        assert forged.status_code == 401
        stamp = {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
        assert httpx.post(url[0], content=b"{}", headers=stamp, timeout=60).status_code == 401
