"""One Redis URL, understood by redis-py, by kombu and by people."""

from __future__ import annotations

import kombu
import pytest
from redis.asyncio import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from viiwork.errors import SettingsError, StoreUnavailable
from viiwork.store.endpoint import SentinelRedis, broker, connect, normalise, parse_sentinel, safe_address
from viiwork.store.server_check import explain, judge

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:6380/2", "redis://h:6380/2"),
        (
            f"unix://:{SECRET}@/run/a%20b/redis.sock?db=0",
            f"redis+socket://:{SECRET}@/run/a%20b/redis.sock?virtual_host=0",
        ),
        (f"unix:///run/redis.sock?password={SECRET}&db=3", f"redis+socket://:{SECRET}@/run/redis.sock?virtual_host=3"),
        (
            f"redis+socket://:{SECRET}@/run/r.sock?virtual_host=1",
            f"redis+socket://:{SECRET}@/run/r.sock?virtual_host=1",
        ),
        ("rediss://h/0", "rediss://h/0?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
    ],
)
def test_kombu_gets_the_same_server_in_its_own_words(url: str, expected: str) -> None:
    """The socket's password moves to the user part, and TLS keeps its certificate check."""
    assert broker(url).url == expected


def test_kombu_does_not_print_the_password() -> None:
    """Celery's banner and Flower show `as_uri()`."""
    for url in (f"unix://:{SECRET}@/run/redis.sock?db=0", f"redis://:{SECRET}@127.0.0.1:6379/0"):
        assert SECRET not in kombu.Connection(broker(url).url).as_uri()


def test_a_sentinel_address_names_hosts_master_and_passwords() -> None:
    """Default port, IPv6 and percent-encoding are understood."""
    told = parse_sentinel("sentinel://me:p%40ss@a,b:7000,[::1]:7001/main/2?sentinel_password=other")
    assert told.hosts == (("a", 26379), ("b", 7000), ("::1", 7001))
    assert (told.master, told.db, told.username, told.password) == ("main", 2, "me", "p@ss")
    assert told.sentinel_kwargs == {"password": "other"}


def test_kombu_gets_every_sentinel_and_the_master_as_options() -> None:
    """The alternatives of kombu's URL are the sentinels."""
    made = broker(f"sentinel://:{SECRET}@a,b:7000/main/2?sentinel_password=x")
    assert made.url == f"sentinel://:{SECRET}@a:26379/2;sentinel://:{SECRET}@b:7000/2"
    assert made.transport_options == {"master_name": "main", "sentinel_kwargs": {"password": "x"}}


@pytest.mark.parametrize("url", ["sentinel://a", "sentinel:///main", "sentinel://a:x/main", "sentinel://a/m/x/y"])
def test_a_bad_sentinel_address_is_a_settings_error(url: str) -> None:
    """It says how it should look."""
    with pytest.raises(SettingsError, match=r"redis\.url"):
        normalise(url)


def test_a_port_that_is_no_number_is_a_settings_error() -> None:
    """And not a ValueError from deep inside."""
    with pytest.raises(SettingsError, match="port"):
        normalise("redis://h:abc/0")


async def test_clients_use_the_right_kind_of_connection() -> None:
    """Each scheme leads to its transport; nothing is sent to make a client."""
    clients = [connect(u) for u in ("unix:///r.sock", "rediss://h/0", "redis://h/0", "sentinel://h/main")]
    try:
        assert issubclass(clients[0].connection_pool.connection_class, UnixDomainSocketConnection)
        assert issubclass(clients[1].connection_pool.connection_class, SSLConnection)
        assert clients[2].connection_pool.connection_kwargs["socket_keepalive"] is True
        assert isinstance(clients[3], SentinelRedis)
        assert {c.connection_pool.connection_kwargs["socket_timeout"] for c in clients} == {5}
    finally:
        for client in clients:
            await client.aclose()


def test_addresses_in_messages_have_no_password() -> None:
    """Neither in the user part nor in the query."""
    for url in (f"unix://:{SECRET}@/r.sock", f"unix:///r.sock?password={SECRET}", f"sentinel://u:{SECRET}@a,b/main"):
        assert SECRET not in safe_address(url)
    for error in (AuthenticationError("no"), RedisConnectionError(f"Error to redis://:{SECRET}@h")):
        assert SECRET not in str(explain(error, f"redis://:{SECRET}@h:1/0"))


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"redis_version": "6.2.14"}, "too old"),
        ({"redis_version": "7.2.4", "cluster_enabled": 1}, "Cluster"),
    ],
)
def test_a_server_we_cannot_work_with_is_refused_in_one_line(info: dict[str, object], reason: str) -> None:
    """Cluster nodes and old servers."""
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        judge(info)
    assert "\n" not in str(caught.value)


def test_what_a_server_may_lose_is_said() -> None:
    """No append-only file, and eviction; a good server gives no concern."""
    bad = judge({"redis_version": "7.0.15", "aof_enabled": 0, "maxmemory_policy": "allkeys-lru"})
    good = judge(
        {"redis_version": "7.2.4", "valkey_version": "9.1.2", "aof_enabled": 1, "maxmemory_policy": "noeviction"}
    )
    assert len(bad.concerns) == 2
    assert not bad.waits_for_aof
    assert (good.kind, good.version, good.concerns, good.waits_for_aof) == ("Valkey", "9.1.2", (), True)
