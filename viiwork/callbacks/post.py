"""The seam to the network. One try: a name looked up, its addresses judged, the request sent to one that was judged.

Nothing is looked up twice, so that a name cannot stand for another address by the time the connection is made. No
redirect is followed, no proxy used, no cookie kept, and nothing of an answer is read but its first lines.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from viiwork.callbacks.addresses import Address, Network, Target, literal, permitted, target_of
from viiwork.errors import UsageError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
LOOKUPS = 8
"""Names looked up at once, on threads of their own: a resolver that hangs holds up nothing else of the API."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try."""

    status: int = 0
    """What was answered; 0 without an answer."""
    fault: str = ""
    """Empty where the receiver has it."""
    retry_after: str = ""
    hopeless: bool = False
    """No further try can help."""

    @property
    def delivered(self) -> bool:
        return not self.fault


class Post:
    """Sends; `async with Post(…) as post:`. `resolve` and `trust` are for tests of names and of certificates."""

    def __init__(
        self,
        allowed: Sequence[Network],
        *,
        timeout_s: float,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._timeout_s = allowed, timeout_s
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="callback-names")
        self._resolve = resolve or self._look_up
        self._trust = trust

    async def __aenter__(self) -> Post:
        limits = httpx.Limits(max_keepalive_connections=0)  # what was judged a while ago is not judged now
        self._client = httpx.AsyncClient(
            verify=self._trust or ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            limits=limits,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=self._timeout_s,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """One try, of `timeout_s` at most in all."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = target_of(url)
                addresses, why = permitted(await self._addresses(target), self._allowed, secure=target.secure)
                if not addresses:
                    return Outcome(fault=f"Not sent: {target.host} {why or 'has no address'}.")
                return await self._ask(target, addresses[0], body, headers)
        except TimeoutError:
            return Outcome(fault=f"No answer within {self._timeout_s:g} s.")
        except UsageError as error:
            return Outcome(fault=f"Not sent: {error.message}")
        except (OSError, UnicodeError):  # a label may be too long to be asked for
            return Outcome(fault="The name of the receiver cannot be resolved.")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            return Outcome(fault=_words(error))

    async def _addresses(self, target: Target) -> Sequence[str]:
        return [target.host] if literal(target.host) else await self._resolve(target.host, target.port)

    async def _ask(self, target: Target, address: Address, body: bytes, headers: Mapping[str, str]) -> Outcome:
        at = f"[{address}]" if address.version == 6 else str(address)
        url = f"{'https' if target.secure else 'http'}://{at}:{target.port}{target.path}"
        # The certificate is checked against the name that people wrote, whatever address it stands for.
        options = {"sni_hostname": target.host}
        said = {**headers, "host": target.netloc, "accept": "*/*"}
        async with self._client.stream("POST", url, content=body, headers=said, extensions=options) as answer:
            return judge(answer.status_code, answer.headers.get("retry-after", ""))

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(each[4][0]) for each in found]


def judge(status: int, retry_after: str) -> Outcome:
    """2xx has it. Anything else has not, a redirect too: it would lead to an address that nobody has judged."""
    if 200 <= status < 300:
        return Outcome(status)
    what = "It answered with a redirect, which is not followed" if 300 <= status < 400 else "It answered"
    return Outcome(status, f"{what} ({status}).", retry_after)


def _words(error: Exception) -> str:
    """What went wrong, without addresses or anything that the receiver said."""
    if isinstance(error, httpx.TimeoutException):
        return "No answer in time."
    if isinstance(error, httpx.ConnectError):
        return "No connection: it refuses, is not there, or its certificate is not trusted."
    if isinstance(error, httpx.InvalidURL):
        return "Not sent: this is no URL."
    return "It broke the connection off, or what it answered is no HTTP."
