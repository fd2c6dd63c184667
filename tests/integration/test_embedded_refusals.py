"""Real servers that are not as they should be, and a real sentinel."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu
import pytest

from tests.ports import kept_port
from viiwork.errors import StoreUnavailable
from viiwork.store.binaries import find_binary
from viiwork.store.endpoint import broker, connect
from viiwork.store.server_check import ServerFacts, check_server
from viiwork.store.server_launch import ping


@contextmanager
def server(folder: Path, *lines: str, sentinel: bool = False) -> Iterator[int]:
    """A plain server on a free loopback port."""
    with kept_port() as port:
        yield from _serving(port, folder, *lines, sentinel=sentinel)


def _serving(port: int, folder: Path, *lines: str, sentinel: bool) -> Iterator[int]:
    config = folder / f"{port}.conf"
    config.write_text("\n".join((f"port {port}", "bind 127.0.0.1", f'dir "{folder}"', 'save ""', *lines)) + "\n")
    argv = [str(find_binary(os.environ).path), str(config), *(["--sentinel"] if sentinel else [])]
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not _accepts(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def checked(url: str) -> ServerFacts:
    async def ask() -> ServerFacts:
        client = connect(url, decode_responses=True)
        try:
            return await check_server(client, url=url)
        finally:
            await client.aclose()

    return asyncio.run(ask())


def test_a_cluster_node_is_refused_in_one_line(tmp_path: Path) -> None:
    """With what to do."""
    with (
        kept_port() as bus,
        server(tmp_path, "cluster-enabled yes", f"cluster-port {bus}") as port,
        pytest.raises(StoreUnavailable, match="Redis Cluster") as caught,
    ):
        checked(f"redis://127.0.0.1:{port}/0")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_wrong_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    """Neither the right one nor the wrong one."""
    with server(tmp_path, "requirepass right") as port:
        for url in (f"redis://:wrong-one@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"):
            with pytest.raises(StoreUnavailable, match="password") as caught:
                checked(url)
            assert "wrong-one" not in str(caught.value)
        assert not checked(f"redis://:right@127.0.0.1:{port}/0").aof


def test_nobody_there_is_one_line_without_the_password() -> None:
    """A port where nothing listens; a socket that is not there; a name that nobody has."""
    for url in (
        "redis://:hidden@127.0.0.1:{port}/0",
        "unix://:hidden@/no/such/redis.sock?db=0",
        "redis://:hidden@no-such-host.invalid:6379/0",
        "sentinel://:hidden@127.0.0.1:{port}/main",
    ):
        with kept_port() as port, pytest.raises(StoreUnavailable, match="does not answer") as caught:
            checked(url.format(port=port))
        assert "hidden" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_something_else_on_the_port_is_one_line() -> None:
    """A web server, say."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer() -> None:
            for _ in range(4):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async def ask() -> None:
            url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
            client = connect(url)
            talker = asyncio.get_running_loop().run_in_executor(None, answer)
            try:
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    await check_server(client, url=url)
            finally:
                await client.aclose()
                listener.shutdown(socket.SHUT_RDWR)
                await asyncio.gather(talker, return_exceptions=True)

        asyncio.run(ask())


def test_a_master_is_found_through_its_sentinel(tmp_path: Path) -> None:
    """By our client and by kombu."""
    with server(tmp_path, "requirepass pw", "appendonly yes") as master:
        watch = (f"sentinel monitor main 127.0.0.1 {master} 1", "sentinel auth-pass main pw")
        with server(tmp_path, *watch, sentinel=True) as port:
            url = f"sentinel://:pw@127.0.0.1:{port}/main/0"
            assert ping(f"redis://:pw@127.0.0.1:{master}/0") == "ready"
            assert checked(url).aof
            made = broker(url)
            with kombu.Connection(made.url, transport_options=made.transport_options) as connection:
                assert connection.default_channel.client.ping()
                assert ":pw@" not in connection.as_uri()
