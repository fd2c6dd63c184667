"""`viiwork login` and `logout`: the API key of a service, kept for the commands and the Python client."""

from __future__ import annotations

import getpass
import sys

from viiwork.cli.options import AsJson, Server, connect, service_url
from viiwork.cli.screen import print_json, say
from viiwork.client import Client
from viiwork.connection import is_loopback, without_login
from viiwork.errors import UsageError
from viiwork.logins import Logins
from viiwork.wire import public

ASKED_FOR = "Keys are asked for once the fleet is started with VIIWORK_API_KEYS=on."
"""On loopback nobody needs one unless that is said."""


def login(server: Server = None, *, as_json: AsJson = False) -> None:
    """Ask for an API key, try it, and keep it in a file that only you can read. From a pipe the first line is it."""
    url = service_url(server)
    shown = without_login(url)
    if url.startswith("http:") and not is_loopback(url):
        say(f"{shown} is not encrypted: whoever listens on the way learns the key. Better is https://.")
    key = getpass.getpass(f"API key for {shown}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not key.strip():
        raise UsageError("No key was given; nothing is changed.")
    with Client(url, api_key=key, retries=0, away_patience_s=0) as client:
        who = client.whoami()
    if who.key is None:
        raise UsageError(f"{shown} needs no key; nothing is kept.", hint=ASKED_FOR)
    path = Logins.of_user().keep(url, key.strip())
    if as_json:
        print_json({"server": shown, **public(who)})
    else:
        print(f"{shown} takes you for {who.tenant} ({', '.join(who.scopes)}), by the key {who.key.name}.")
        say(f"It is kept in {path}.")


def logout(server: Server = None, *, as_json: AsJson = False) -> None:
    """Forget the key that is kept for a service. The key itself stays valid: `viiwork keys revoke` ends it."""
    url = service_url(server)
    known = Logins.of_user().forget(url)
    if as_json:
        print_json({"server": without_login(url), "forgotten": known})
    else:
        print(
            f"The key for {without_login(url)} is forgotten." if known else f"No key is kept for {without_login(url)}."
        )


def whoami(server: Server = None, *, as_json: AsJson = False) -> None:
    """Show whose key the commands show a service, and what it is for."""
    with connect(server) as client:
        who = client.whoami()
    if as_json:
        print_json(public(who))
        return
    by = f", by the key {who.key.name} ({who.key.hint})" if who.key else "; no key is needed"
    print(f"{who.tenant}: {', '.join(who.scopes)}{by}.")
