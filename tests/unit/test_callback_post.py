"""One try over real sockets: names are looked up once, certificates belong to the name, and answers may be anything."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.certificates import Authority
from viiwork.callbacks.post import Post

HERE = (ip_network("127.0.0.0/8"),)


@asynccontextmanager
async def server(answer: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers each request with these bytes; its port, and the heads that it was sent."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1], heads
    finally:
        listening.close()
        await listening.wait_closed()


class Names:
    """A name server that answers otherwise each time, as one that wants to be rebound to does."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0)


async def test_a_name_is_looked_up_once_and_called_where_it_was_judged() -> None:
    """The second answer, another address, is never asked for; the host header has the name."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with (
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (port, heads),
        Post(HERE, timeout_s=60, resolve=names) as post,
    ):
        outcome = await post.send(f"http://hooks.example:{port}/a?b=c", b"{}", {"webhook-id": "msg_1"})
    assert (outcome.status, outcome.fault, names.asked) == (200, "", 1)
    head = heads[0].lower()
    assert head.startswith(b"post /a?b=c http/1.1\r\n")
    assert f"host: hooks.example:{port}\r\n".encode() in head
    assert b"cookie" not in head


@pytest.mark.parametrize("answer", [["10.0.0.1"], ["169.254.169.254", "fd00:ec2::254"], []])
async def test_a_name_that_stands_for_no_public_address_is_not_called(answer: list[str]) -> None:
    async with Post((), timeout_s=60, resolve=Names(answer)) as post:
        outcome = await post.send("https://hooks.example/", b"{}", {})
    assert outcome.status == 0
    assert outcome.fault.startswith("Not sent: hooks.example ")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-much: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_a_failure_in_our_own_words(answer: bytes) -> None:
    """Bounded in size and time, and nothing of it is repeated."""
    async with server(answer) as (port, _), Post(HERE, timeout_s=0.5) as post:
        outcome = await post.send(f"http://127.0.0.1:{port}/", b"{}", {})
    assert not outcome.delivered
    assert "SSH" not in outcome.fault


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    """The first lines say that the receiver has it; a gigabyte of answer is never read."""
    endless = b"HTTP/1.1 202 Accepted\r\ncontent-length: 1000000000000\r\n\r\n" + b"a" * 1000
    async with server(endless) as (port, _), Post(HERE, timeout_s=60) as post:
        assert (await post.send(f"http://127.0.0.1:{port}/", b"{}", {})).delivered


async def test_a_receivers_cookies_are_not_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: who=someone; path=/\r\ncontent-length: 0\r\n\r\n"
    async with server(answer) as (port, heads), Post(HERE, timeout_s=60) as post:
        for _ in range(2):
            assert (await post.send(f"http://127.0.0.1:{port}/", b"{}", {})).delivered
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_a_certificate_must_be_of_the_name_that_was_written(tmp_path: Path) -> None:
    """Though the connection goes to an address: one of 127.0.0.1 will do for that, not for a name that leads there."""
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server"))
    trust = ssl.create_default_context(cafile=authority.file)
    well = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with server(well, tls=context) as (port, _):
        async with Post(HERE, timeout_s=60, resolve=Names(["127.0.0.1"]), trust=trust) as post:
            assert (await post.send(f"https://127.0.0.1:{port}/", b"{}", {})).delivered
            other = await post.send(f"https://hooks.example:{port}/", b"{}", {})
        async with Post(HERE, timeout_s=60) as post:
            stranger = await post.send(f"https://127.0.0.1:{port}/", b"{}", {})
    assert "certificate" in other.fault
    assert "certificate" in stranger.fault
