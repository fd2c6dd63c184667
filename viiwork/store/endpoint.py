"""Where Redis is: one URL, understood by redis-py, by kombu and by people.

unix://[:password@]/path/redis.sock[?db=0]                     also redis+socket://
redis://[user:password@]host[:port][/db]                       rediss:// for TLS
sentinel://[user:password@]host[:port][,host[:port]…]/master[/db][?sentinel_password=…]
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError

from viiwork.errors import SettingsError
from viiwork.store.packing import packed

SOCKET_OPTIONS: Mapping[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 3, "health_check_interval": 3}
"""A silent network is noticed in 5 s; redis-py's and kombu's defaults hung for more than 90."""
SENTINEL_PORT = 26379
RETRIES = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Broker:
    """What Celery needs to reach the same server: the URL in kombu's form and the transport options that go with it."""

    url: str = field(repr=False)
    transport_options: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """A Redis master that sentinels watch."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    db: int
    username: str | None
    password: str | None = field(repr=False)
    sentinel_kwargs: dict[str, str] = field(repr=False)


def is_refusal(error: BaseException | None) -> bool:
    """Whether the user or password was refused; redis-py wraps that in a lost connection in places."""
    return error is not None and (isinstance(error, AuthenticationError) or is_refusal(error.__cause__))


class SoberRetry(Retry):
    """Never tries a refused password again.

    redis-py counts that as a lost connection, and tries command, connection and health check inside one another:
    a wrong password took over three minutes to be reported.
    """

    def __init__(self, times: int) -> None:
        super().__init__(ExponentialWithJitterBackoff(base=0.1, cap=1), times)

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        def worth_it(error: Exception) -> bool:
            return not is_refusal(error) and (is_retryable is None or is_retryable(error))

        return await super().call_with_retry(do, fail, worth_it, with_failure_count)


class SentinelRedis(Redis):
    """A client of the master; closing it also closes the connections to the sentinels."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        manager: Sentinel | None = getattr(self.connection_pool, "sentinel_manager", None)
        if manager is not None:
            await manager.aclose()


def normalise(url: str) -> str:
    """The URL in redis-py's form. Raises SettingsError for one that cannot be understood."""
    parts = _split(url)
    if parts.scheme == "redis+socket":
        db = dict(parse_qsl(parts.query)).get("virtual_host", "0")
        return parts._replace(scheme="unix", query=urlencode({"db": db})).geturl()
    if parts.scheme == "unix" and parts.netloc in ("", "@"):
        return f"unix://{parts.path}" + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "sentinel":
        parse_sentinel(url)
    return url


def connect(url: str, *, decode_responses: bool = False, max_connections: int | None = None) -> Redis:
    """A client for `url`; nothing is sent before its first command.

    A command is tried twice more, over about a second, when the connection drops.
    """
    url = normalise(url)
    options: dict[str, Any] = {**SOCKET_OPTIONS, "retry": SoberRetry(RETRIES), "decode_responses": decode_responses}
    if max_connections is not None:
        options["max_connections"] = max_connections
    if url.startswith("unix:"):
        return packed(Redis.from_url(url, **options))
    options["socket_keepalive"] = True
    if url.startswith("sentinel:"):
        return packed(_connect_sentinel(parse_sentinel(url), options))
    return packed(Redis.from_url(url, **options))


def _connect_sentinel(address: SentinelAddress, options: dict[str, Any]) -> Redis:
    # The sentinels' own clients would try for 18 s; the master's client asks again anyway.
    plain = {key: value for key, value in options.items() if key.startswith("socket_")} | {"retry": SoberRetry(0)}
    sentinel: Any = Sentinel  # redis-py leaves its constructor untyped
    manager = sentinel(list(address.hosts), sentinel_kwargs={**plain, **address.sentinel_kwargs})
    options |= {"db": address.db, "username": address.username, "password": address.password}
    client: Redis = manager.master_for(address.master, redis_class=SentinelRedis, **options)
    return client


def broker(url: str) -> Broker:
    """The same server for kombu.

    kombu takes the password of a socket from the user part only, and would leave a server's certificate unchecked
    unless the URL of a TLS connection asks for the check.
    """
    url = normalise(url)
    parts = _split(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        user = parts.netloc or (f":{quote(query['password'], safe='')}@" if "password" in query else "")
        return Broker(f"redis+socket://{user}{parts.path}?virtual_host={query.get('db', '0')}")
    if parts.scheme == "sentinel":
        return _sentinel_broker(parse_sentinel(url))
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        return Broker(parts._replace(query=urlencode({**query, "ssl_cert_reqs": "required"})).geturl())
    return Broker(url)


def broker_url(url: str) -> str:
    """`broker(url).url`."""
    return broker(url).url


def _sentinel_broker(address: SentinelAddress) -> Broker:
    login = ""
    if address.password or address.username:
        login = f"{quote(address.username or '', safe='')}:{quote(address.password or '', safe='')}@"
    urls = ";".join(f"sentinel://{login}{_bracket(host)}:{port}/{address.db}" for host, port in address.hosts)
    options: dict[str, Any] = {"master_name": address.master}
    if address.sentinel_kwargs:
        options["sentinel_kwargs"] = address.sentinel_kwargs
    return Broker(urls, options)


def parse_sentinel(url: str) -> SentinelAddress:
    """The parts of a `sentinel://` URL. Raises SettingsError."""
    parts = _split(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    path = [unquote(part) for part in parts.path.split("/") if part]
    if not hosts or not path or len(path) > 2 or (len(path) == 2 and not path[1].isdigit()):
        raise SettingsError("redis.url must look like sentinel://host:26379,host2:26379/master-name[/db].")
    query = dict(parse_qsl(parts.query))
    return SentinelAddress(
        hosts=tuple(_host_port(host) for host in hosts.split(",")),
        master=path[0],
        db=int(path[1]) if len(path) == 2 else 0,
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_kwargs={
            key: query[f"sentinel_{key}"] for key in ("username", "password") if f"sentinel_{key}" in query
        },
    )


def safe_address(url: str) -> str:
    """The URL as it may stand in messages and logs: without user, password or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme != "sentinel":
            _ = parts.port
    except ValueError as error:
        raise SettingsError("redis.url is not a URL: its port must be a number.") from error
    return parts


def _host_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        return text.strip("[]"), SENTINEL_PORT
    if not port.isdigit() or not host:
        raise SettingsError("redis.url: every sentinel must be host or host:port.")
    return host.strip("[]"), int(port)


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
