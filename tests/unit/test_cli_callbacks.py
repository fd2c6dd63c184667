"""`viiwork callbacks` against a served door and a real receiver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import Service
from tests.receiver import Receiver
from viiwork.cli.main import run

Said = tuple[int, str, str]
Cli = Callable[..., Said]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    given = {"allow": ["127.0.0.0/8"], "retry_base_s": 0.05, "retry_cap_s": 0.1, "give_up_s": 0.2, "timeout_s": 30}
    with Service(tmp_path / "state", callbacks=given) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Said:
        code = run(list(arguments))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def test_an_endpoint_from_its_first_day_to_its_last(service: Service, cli: Cli) -> None:
    """The secret is all that stands on standard output, once; the list does not have it."""
    with Receiver(500, 200) as receiver:
        code, secret, said = cli("callbacks", "endpoint", "add", receiver.url, "--events", "analysis.completed")
        assert (code, secret[:6], len(secret.split())) == (0, "whsec_", 1)
        assert "this once" in said
        assert cli("callbacks", "endpoint", "add", receiver.url)[0] == 2
        code, failed, _ = cli("callbacks", "endpoint", "test", receiver.url)
        assert (code, failed) == (1, "It was not taken: It answered (500).\n")
        assert cli("callbacks", "endpoint", "test", receiver.url)[0] == 0
        assert receiver.heard[1].verified(secret.strip())["type"] == "endpoint.test"
        code, fresh, said = cli("callbacks", "endpoint", "rotate", receiver.url)
        assert code == 0
        assert fresh != secret
        assert "signs too until" in said
        _, listed, _ = cli("callbacks", "endpoint", "list")
        assert receiver.url in listed
        assert "whsec_" not in listed
        assert json.loads(cli("callbacks", "endpoint", "list", "--json")[1])["events"] == ["analysis.completed"]
        assert cli("callbacks", "endpoint", "remove", receiver.url)[0] == 0
        assert cli("callbacks", "endpoint", "list")[1] == "You have no endpoints.\n"
        assert cli("callbacks", "endpoint", "remove", receiver.url)[0] == 2


def test_what_is_wrong_with_an_endpoint_is_said_in_one_line(service: Service, cli: Cli) -> None:
    for arguments, expected in (
        (("https://10.0.0.1/",), "not public"),
        (("https://a.example/", "--events", "job.completed"), "not told of job.completed"),
        (("ftp://a.example/",), "must start with https://"),
    ):
        code, out, err = cli("callbacks", "endpoint", "add", *arguments)
        assert (code, out) == (2, "")
        assert expected in err
        assert "Traceback" not in err


def test_an_analysis_is_told_to_the_url_that_came_with_it(service: Service, cli: Cli, tmp_path: Path) -> None:
    """Without a secret it is refused, with the command that makes one; the document's text stays here."""
    (tmp_path / "a.txt").write_text("private words")
    order = ("analyze", "a.txt", "--task", "summarize", "--callback-url")
    with Receiver() as receiver:
        code, _, err = cli(*order, receiver.url)
        assert code == 2
        assert "viiwork callbacks secret" in err
        assert service.blob_files() == []
        secret = cli("callbacks", "secret")[1].strip()
        assert cli(*order, receiver.url)[0] == 0
        (heard,) = receiver.wait(1)
        event = heard.verified(secret)
        assert event["type"] == "analysis.completed"
        assert event["data"]["result_url"].endswith(f"/v1/analyses/{event['data']['id']}/results")
        assert b"private" not in heard.body
        assert b"a.txt" not in heard.body


def test_what_was_given_up_is_listed_and_sent_once_more(service: Service, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with Receiver(500) as receiver:
        cli("callbacks", "secret")
        cli("analyze", "a.txt", "--task", "summarize", "--callback-url", f"{receiver.url}?token=t")
        end_s = time.monotonic() + 60
        while not (dead := cli("callbacks", "list", "--state", "dead", "--json")[1]):
            assert time.monotonic() < end_s
        letter = json.loads(dead)
        assert (letter["url"], letter["fault"]) == (receiver.url, "It answered (500).")
        assert letter["id"] in cli("callbacks", "list", "--state", "dead")[1]
        assert cli("callbacks", "replay", letter["id"])[:2] == (0, "1 callback will be sent once more.\n")
        code, _, err = cli("callbacks", "replay", "msg_1_1")
        assert code == 1
        assert "no such callback" in err
        assert cli("callbacks", "replay")[0] == 2
        assert cli("callbacks", "list", "--state", "lost")[0] == 2
        assert cli("callbacks", "list", "--state", "delivered")[1] == "No callback is delivered.\n"
