"""`viiwork keys limits`: said and shown, over HTTP and on the host of the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import Cli
from service import Service
from viiwork.apikeys import Scope
from viiwork.auditlog import AuditLog
from viiwork.client import Client
from viiwork.store import apikeys


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One that asks for keys, with an admin's at hand."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Service(tmp_path / "state", idle=True, api={"keys": "on"}, limits={"batch_in_flight": 7}) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        boss = running.run(apikeys.create(running.store, "boss", scopes=(Scope.ADMIN,)))
        monkeypatch.setenv("VIIWORK_API_KEY", boss.secret)
        yield running


def test_limits_are_said_when_a_key_is_made_and_later(service: Service, cli: Cli) -> None:
    """What is not named stays; `none` lifts one, `default` is the fleet's own."""
    made = cli("keys", "create", "ci", "--limit", "monthly_tokens=5M", "--limit", "batch-in-flight=2", "--json")
    assert made.objects[0]["key"]["limits"] == {"batch_in_flight": 2, "monthly_tokens": 5_000_000}
    told = cli("keys", "limits", "ci", "--limit", "monthly_tokens=none", "--limit", "batch_in_flight=default", "--json")
    assert told.objects[0]["batch"] == {"in_flight": {"most": 7, "left": 7, "of": "tenant"}}
    assert "monthly_tokens" not in told.objects[0]
    shown = cli("keys", "limits", "ci").out
    assert "requests under way" in shown and "the tenant" in shown
    assert "0 tokens this month." in shown


def test_the_act_is_in_the_audit_log(service: Service, cli: Cli) -> None:
    cli("keys", "create", "ci")
    cli("keys", "limits", "ci", "--limit", "monthly_tokens=5M")
    last = list(AuditLog(service.root).read())[-1]
    assert (last["act"], last["said"]["monthly_tokens"]) == ("key.limited", 5_000_000)


def test_nobody_is_bounded_says_so(cli: Cli, tmp_path: Path) -> None:
    """On the host, where the fleet does not run."""
    here = ("--state-dir", str(tmp_path / "own"))
    assert cli("keys", "create", "me", *here).code == 0
    for name in ("interactive_documents", "stored_files", "stored_bytes", "open_batches"):
        assert cli("keys", "limits", "me", "--limit", f"{name}=none", *here).code == 0
    assert "Nothing bounds the key me." in cli("keys", "limits", "me", *here).out


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("rpm=5", "there is no such limit"),
        ("monthly_tokens", "there is no such limit"),
        ("monthly_tokens=0", "must be a whole number"),
        ("monthly_tokens=lots", "must be a whole number"),
        ("monthly_tokens=-5", "must be a whole number"),
        ("batch_backlog=xM", "must be a whole number"),
    ],
)
def test_nonsense_is_refused_before_anybody_is_asked(cli: Cli, said: str, why: str) -> None:
    refused = cli("keys", "limits", "ci", "--limit", said)
    assert refused.code == 2
    assert f"--limit {said}: {why}" in refused.err


def test_whoever_has_a_key_sees_its_own_limits(service: Service) -> None:
    secret = service.run(apikeys.create(service.store, "anna")).secret
    with Client(service.url, api_key=secret) as client:
        told = client.limits()
    assert (told.tenant, told.used_this_month) == ("anna", 0)
    assert told.interactive.documents == 200
