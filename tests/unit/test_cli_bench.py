"""`viiwork bench` before it begins: what it refuses, and what it leaves behind when it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import Service
from viiwork.cli.main import run
from viiwork.client import Client

Said = tuple[int, str, str]
Cli = Callable[..., Said]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        yield running


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> Said:
        code = run(["bench", *arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def test_without_a_fleet_it_says_so_in_a_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viiwork.cli.options.RETRIES", 0)
    monkeypatch.setenv("VIIWORK_URL", "http://127.0.0.1:9")
    code, out, err = cli()
    assert (code, out, len(err.splitlines())) == (3, "", 1)


def test_it_refuses_while_others_have_jobs_and_holds_nobody(service: Service, cli: Cli) -> None:
    """The sentence names no one's name."""
    with Client(service.url, submitter="anna@lab") as anna:
        anna.submit_job([{"role": "user", "content": "hello"}])
    code, out, err = cli()
    assert (code, out) == (3, "")
    assert "1 unfinished job" in err
    assert "--anyway" in err
    assert "anna" not in err
    assert service.run(service.store.client.exists(f"{service.store.prefix}hold")) == 0


def test_it_refuses_while_another_run_is_under_way(service: Service, cli: Cli) -> None:
    """Each would measure the other."""
    service.run(service.store.hold("bench-other", {}, why="viiwork bench measures other workers.", for_s=30))
    code, _, err = cli()
    assert code == 2
    assert "viiwork bench measures other workers." in err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--quick", "--full"), "--full"),
        (("--cloud-price-in", "0.1"), "--cloud-price-out"),
        (("--years", "3"), "--hardware-price"),
        (("--share-as", "mine"), "--share FILE"),
        (("--model", "nobody"), "nobody serves it"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_the_option(
    service: Service,
    cli: Cli,
    arguments: tuple[str, ...],
    word: str,
) -> None:
    code, out, err = cli(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert word in err
