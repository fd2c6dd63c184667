"""`viiwork login`, `logout`, `whoami` and `keys`, against a service that asks for keys."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import Cli
from service import Service
from tests.terminal import Terminal
from viiwork.apikeys import Scope
from viiwork.client import Client
from viiwork.errors import Forbidden, Unauthorized, UsageError
from viiwork.logins import Logins, default_place, origin_of
from viiwork.store import apikeys


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One that asks for keys; whoever runs the test has none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VIIWORK_API_KEY", raising=False)
    with Service(tmp_path / "state", idle=True, api={"keys": "on"}) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        yield running


def key(service: Service, name: str, *scopes: Scope) -> str:
    """The secret of a new key."""
    return service.run(apikeys.create(service.store, name, scopes=scopes or apikeys.USUAL_SCOPES)).secret


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_login_keeps_a_key_that_was_tried(
    service: Service, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file for its owner alone, by the service's address; the commands show it from then on."""
    boss = key(service, "boss", Scope.ADMIN)
    assert "env -u VIIWORK_URL viiwork keys" in cli("keys", "list").err, "who makes the first key has none to show"
    nobody = cli("status")
    assert nobody.code == 2 and "`viiwork login`" in nobody.err
    typed(monkeypatch, "vw-wrong\n")
    wrong = cli("login")
    assert wrong.code == 2 and "Incorrect API key" in wrong.err
    kept = tmp_path / "config" / "viiwork" / "logins.json"
    assert not kept.exists()
    typed(monkeypatch, f"  {boss}\n")
    done = cli("login")
    assert done.code == 0 and boss not in done.out + done.err
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(kept.parent.stat().st_mode)) == (0o600, 0o700)
    assert cli("status").code == 0
    assert cli("whoami").out.startswith("boss: admin, by the key boss (vw-")
    assert cli("logout").out.startswith("The key for ")
    assert cli("logout").out.startswith("No key is kept")
    assert cli("status").code == 2


def test_what_is_typed_at_login_is_not_shown(service: Service) -> None:
    """Somebody may look over a shoulder."""
    boss = key(service, "boss", Scope.ADMIN)
    with Terminal(["login"], url=service.url) as terminal:
        terminal.wait_for(f"API key for {service.url}: ")
        terminal.type(f"{boss}\n")
        assert terminal.end() == 0
    assert "takes you for boss" in terminal.screen
    assert boss[16:24] not in terminal.raw


def test_keys_are_made_and_ended_over_http(service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an admin's key, where a service is named; each act is in the audit log."""
    monkeypatch.setenv("VIIWORK_API_KEY", key(service, "boss", Scope.ADMIN))
    made = cli("keys", "create", "ci", "--tenant", "lab", "--scope", "submit", "--scope", "read", "--expires", "90d")
    secret = made.out.strip()
    assert secret.startswith("vw-") and "It is shown this once." in made.err
    (ci,) = [one for one in cli("keys", "list", "--json").objects if one["name"] == "ci"]
    assert (ci["tenant"], ci["expires_ms"] - ci["created_ms"]) == ("lab", 90 * 86_400_000)
    assert "lab" in cli("keys", "list").out
    fresh = cli("keys", "rotate", "ci", "--overlap", "1h", "--json").objects[0]
    assert fresh["key"]["two_until_ms"]
    assert "the old one too until" in cli("keys", "list").out
    for one in (secret, fresh["secret"]):
        with Client(service.url, api_key=one) as client:
            assert client.whoami().tenant == "lab"
    assert cli("keys", "revoke", "ci", "--json").objects == [{"name": "ci", "id": ci["id"], "revoked": True}]
    assert cli("keys", "revoke", "ci").code == 2
    acts = cli("keys", "audit", "--state-dir", service.root, "--json").objects
    assert [act["act"] for act in acts] == ["key.created", "key.rotated", "key.revoked"]
    assert secret not in cli("keys", "audit", "--state-dir", service.root).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "a", "--scope", "root"], "--scope root: there are admin, submit, read."),
        (["create", "a", "--expires", "soon"], "--expires soon: is no span of time."),
        (["create", "boss"], "There is a key boss already."),
        (["rotate", "nobody"], "There is no such API key."),
        (["list", "--server", "http://127.0.0.1:1", "--fleet", "x"], "--server: "),
    ],
)
def test_what_cannot_be_is_one_line(
    service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """And exit code 2."""
    monkeypatch.setenv("VIIWORK_API_KEY", key(service, "boss", Scope.ADMIN))
    refused = cli("keys", *arguments)
    assert refused.code == 2 and said in refused.err


def test_the_client_shows_the_key_that_it_is_given_before_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else that of the environment, else what is kept for this service; a login in the URL has no say then."""
    submitter, reader = key(service, "sub", Scope.SUBMIT), key(service, "reader", Scope.READ)

    def name(url: str = service.url, **given: str) -> str:
        with Client(url, retries=0, **given) as client:
            known = client.whoami().key
            return known.name if known else ""

    with pytest.raises(Unauthorized, match="You did not provide an API key"):
        name()
    Logins.of_user().keep(f"{service.url}/", reader)
    assert name() == "reader"
    monkeypatch.setenv("VIIWORK_API_KEY", f"{submitter}\n")
    assert name() == "sub"
    assert name(api_key=reader) == "reader"
    assert name(service.url.replace("://", "://proxy:pass@")) == "sub"
    with pytest.raises(Unauthorized):
        name(api_key="")
    with Client(service.url, api_key=reader) as client, pytest.raises(Forbidden, match="the scope submit"):
        client.retry_dead(["job_x"])
    with pytest.raises(UsageError, match="characters that no API key has"):
        Client(service.url, api_key="vw-é")


def test_a_login_is_a_services_own(tmp_path: Path) -> None:
    """By scheme, host, port and path; a file that is damaged, or no home, holds nothing."""
    assert origin_of("http://a:b@Host:8400/x/") == origin_of("http://host:8400/x") == "http://host:8400/x"
    assert origin_of("http://[::1]:8400") == "http://[::1]:8400"
    logins = Logins(tmp_path / "viiwork" / "logins.json")
    logins.keep("https://one", "vw-1")
    assert [logins.key(url) for url in ("https://one/", "http://one", "https://one:8443", "https://two")] == [
        *("vw-1", "", "", "")
    ]
    (tmp_path / "viiwork" / "logins.json").write_text("[1")
    assert logins.key("https://one") == ""
    assert default_place({}) is None
    assert Logins(None).key("https://one") == ""
    with pytest.raises(UsageError, match="VIIWORK_API_KEY"):
        Logins(None).keep("https://one", "vw-1")
    with pytest.raises(UsageError, match="cannot be written"):
        Logins(tmp_path / "viiwork" / "logins.json" / "below").keep("https://one", "vw-1")


def test_where_no_key_is_needed_none_is_kept(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key on loopback says nothing, and is in nobody's way."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Service(tmp_path / "state", idle=True) as running:
        monkeypatch.setenv("VIIWORK_URL", running.url)
        monkeypatch.setenv("VIIWORK_API_KEY", "sk-none")
        assert cli("status").code == 0
        assert json.loads(cli("whoami", "--json").out)["scopes"] == ["admin", "read", "submit"]
        typed(monkeypatch, "vw-x\n")
        assert "needs no key; nothing is kept" in cli("login").err
