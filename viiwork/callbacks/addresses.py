"""Which URLs may be called, and which addresses behind a name. Pure: nothing is resolved here.

A receiver's URL comes from whoever may submit work. Without these rules it would reach what only this computer can: its
own services, its neighbours, a cloud's metadata.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from viiwork.errors import UsageError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
LONGEST_URL = 2048
PRINTABLE = re.compile(r"[\x21-\x7e]+")
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
OF_THE_INTERNET = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
METADATA: frozenset[Address] = frozenset(
    ipaddress.ip_address(each)
    for each in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
"""Where clouds hand out credentials. Some of these are public by their numbers; an allow-list opens none of them."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts."""

    secure: bool
    host: str
    port: int
    netloc: str
    """As the `Host` header has it."""
    path: str
    """With its query."""


def target_of(url: str, *, param: str = "url") -> Target:
    """The parts of a URL that may be called. Raises UsageError, without repeating it."""
    if not PRINTABLE.fullmatch(url) or len(url) > LONGEST_URL:
        raise _unfit(param, f"must be a URL of at most {LONGEST_URL} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unfit(param, "is no URL") from error
    if parts.scheme not in ("http", "https"):
        raise _unfit(param, "must start with https://")
    if "@" in parts.netloc or parts.fragment:
        raise _unfit(param, "must hold no user, password or fragment")
    if not (HOST.fullmatch(host) or literal(host)) or port == 0:
        raise _unfit(param, "names no host")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, host.lower(), port or (443 if secure else 80), parts.netloc, path)


def check_url(url: str, allowed: Sequence[Network], *, param: str = "url") -> None:
    """Raises UsageError for what cannot be called whatever its name stands for. Names are looked up when it is sent."""
    target = target_of(url, param=param)
    address = literal(target.host)
    if target.host == "localhost" or target.host.endswith(".localhost"):
        address = ipaddress.ip_address("127.0.0.1")
    if address is not None and (reason := refusal(address, allowed, secure=target.secure)):
        raise _unfit(param, reason, hint=_opened_by(address))
    if address is None and not target.secure and not allowed:
        raise _unfit(param, "must start with https://")


def refusal(address: Address, allowed: Sequence[Network], *, secure: bool) -> str:
    """Why an address may not be called; empty when it may. Plain HTTP goes to allowed networks alone."""
    real = embedded(address)
    if METADATA & {real, address}:
        return "leads to a metadata service"
    if any(real in network for network in allowed if network.version == real.version):
        return ""
    if not _is_public(real):
        return "leads to an address that is not public"
    return "" if secure else "must start with https://"


def permitted(addresses: Iterable[str], allowed: Sequence[Network], *, secure: bool) -> tuple[list[Address], str]:
    """Those of a name's addresses that may be called, and why the last of the others may not."""
    kept, why = [], ""
    for each in addresses:
        address = ipaddress.ip_address(each.partition("%")[0])
        reason = "is of one network alone" if "%" in each else refusal(address, allowed, secure=secure)
        if reason:
            why = reason
        else:
            kept.append(address)
    return kept, why


def literal(host: str) -> Address | None:
    """The address that a host is written as, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where that is what is reached in the end."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def shown(url: str) -> str:
    """A URL without its query, in which receivers keep tokens."""
    return url.partition("?")[0]


def _is_public(address: Address) -> bool:
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return isinstance(address, IPv4Address) or address in OF_THE_INTERNET


def _opened_by(address: Address) -> str:
    """What whoever runs the service may set, so that this address may be called."""
    real = embedded(address)
    if METADATA & {real, address}:
        return "No setting opens that."
    if _is_public(real):
        return ""
    allow = f"""VIIWORK_CALLBACKS_ALLOW='["{ipaddress.ip_network(real)}"]'"""
    return f"Whoever runs the service may allow it: {allow} before `viiwork up`, or callbacks.allow in its settings."


def _unfit(param: str, reason: str, *, hint: str = "") -> UsageError:
    return UsageError(f"{param}: {reason}.", hint=hint, param=param)
