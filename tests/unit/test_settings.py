"""Settings: file, environment, flags; and for whatever is wrong with them one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.errors import SettingsError
from viiwork.settings import default_state_dir, load_settings


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a settings file, and no variables of ours."""
    for name in ("VIIWORK_CONFIG", "VIIWORK_REDIS_URL", "VIIWORK_WORKER_NAME", "VIIWORK_SUPERVISED_BY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(place: Path, toml: str | bytes, **flags: object) -> str:
    """The one line that a settings file is refused with."""
    (place / "viiwork.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.exit_code == 2
    return line


def test_without_a_file_everything_has_a_default() -> None:
    settings = load_settings()
    assert (settings.fleet.name, settings.redis.url, settings.api.port) == ("default", "embedded", 8400)
    assert settings.prefix == "viiwork:default:"
    assert settings.results.ttl_ms == 30 * 86_400_000


def test_flags_win_over_variables_and_variables_over_the_file(
    empty_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_place / "viiwork.toml").write_text('[api]\nport = 1\nhost = "0.0.0.0"\n[queue]\nmax_attempts = 9\n')
    monkeypatch.setenv("VIIWORK_API_PORT", "2")
    monkeypatch.setenv("VIIWORK_QUEUE_BEAT_S", "0.5")
    assert load_settings().api.port == 2
    settings = load_settings({"api": {"port": 3}})
    assert (settings.api.port, settings.api.host) == (3, "0.0.0.0")
    assert (settings.queue.max_attempts, settings.queue.beat_s) == (9, 0.5)


def test_a_field_of_several_words_has_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIIWORK_REDIS_MAX_MEMORY_BYTES", str(64 * 1024 * 1024))
    monkeypatch.setenv("VIIWORK_FLEET_STATE_DIR", "/tmp/x")
    settings = load_settings()
    assert settings.redis.max_memory_bytes == 64 * 1024 * 1024
    assert settings.state_dir == Path("/tmp/x")


def test_an_unknown_table_of_the_file_is_named(empty_place: Path) -> None:
    line = refused(empty_place, "[quuee]\nmax_attempts = 3\n")
    assert "quuee" in line
    assert "viiwork.toml" in line


def test_an_unknown_key_outside_of_tables_is_named(empty_place: Path) -> None:
    assert "prot" in refused(empty_place, "prot = 1\n[api]\nport = 1\n")


def test_an_unknown_field_of_a_table_is_named(empty_place: Path) -> None:
    assert "api.prot" in refused(empty_place, "[api]\nprot = 8400\n")


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ("[api]\nport = 70000\n", "api.port"),
        ("[api]\nport = 'eight'\n", "api.port"),
        ("[queue]\nmax_attempts = 0\n", "queue.max_attempts"),
        ("[queue]\nbeat_s = -1\n", "queue.beat_s"),
        ("[queue]\nlease_ttl_s = nan\n", "queue.lease_ttl_s"),
        ("[queue]\ndrain_grace_s = inf\n", "queue.drain_grace_s"),
        ("[fleet]\nname = 'Müller'\n", "fleet.name"),
        ("[fleet]\nname = ''\n", "fleet.name"),
        ("[redis]\nurl = 'http://x'\n", "redis.url"),
        ("[engine]\nkind = ''\n", "engine.kind"),
        ("[engine]\nslots = 0\n", "engine.slots"),
        ("[results]\nttl_days = 0\n", "results.ttl_days"),
        ("[results]\nttl_days = 'sometimes'\n", "results.ttl_days"),
        ("api = 7\n", "api"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_field(empty_place: Path, toml: str, field: str) -> None:
    assert f"setting {field}" in refused(empty_place, toml)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080/v1"])
def test_an_address_without_http_is_told_how_to_begin(url: str) -> None:
    """The pattern that it had to match was all that it answered with."""
    with pytest.raises(SettingsError, match=r"engine.url: begin it with http://, as in http://127\.0\.0\.1:8080\."):
        load_settings({"engine": {"url": url}})


@pytest.mark.parametrize("url", ["ftp://h:1", "http://me:secret@h:1/v2", "me:secret@h/x y", "http://h?key=secret"])
def test_another_bad_address_of_an_engine_is_told_its_form_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="write it as http://host:port") as told:
        load_settings({"engine": {"url": url}})
    assert "secret" not in str(told.value)


def test_a_password_in_a_bad_address_is_not_shown(empty_place: Path) -> None:
    assert "hunter2" not in refused(empty_place, "[redis]\nurl = 'http://:hunter2@x'\n")


def test_damaged_toml_is_named_with_file_and_line(empty_place: Path) -> None:
    line = refused(empty_place, "[api]\nport = 8400\nhost = oops\n")
    assert "viiwork.toml" in line
    assert "line 3" in line


def test_a_file_that_is_not_utf8_is_named(empty_place: Path) -> None:
    line = refused(empty_place, "[fleet]\nname = 'Müller'\n".encode("latin-1"))
    assert "viiwork.toml" in line
    assert "UTF-8" in line


def test_a_directory_in_the_files_place_is_named(empty_place: Path) -> None:
    (empty_place / "viiwork.toml").mkdir()
    with pytest.raises(SettingsError, match=r"viiwork\.toml.*directory"):
        load_settings()


def test_a_file_that_was_asked_for_must_be_there(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default file may be missing; one that VIIWORK_CONFIG or --config names may not."""
    monkeypatch.setenv("VIIWORK_CONFIG", str(empty_place / "fleet.toml"))
    with pytest.raises(SettingsError, match=r"fleet\.toml.*no such file"):
        load_settings()
    (empty_place / "fleet.toml").write_text("[api]\nport = 5\n")
    assert load_settings().api.port == 5


def test_an_empty_file_is_as_good_as_none(empty_place: Path) -> None:
    (empty_place / "viiwork.toml").write_text("")
    assert load_settings() == load_settings({})


def test_a_file_with_a_byte_order_mark_is_read(empty_place: Path) -> None:
    """As editors on Windows write it."""
    (empty_place / "viiwork.toml").write_bytes(b"\xef\xbb\xbf[api]\r\nport = 6\r\n")
    assert load_settings().api.port == 6


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that was set, not by the field's."""
    monkeypatch.setenv("VIIWORK_API_PORT", "eight")
    with pytest.raises(SettingsError, match="VIIWORK_API_PORT") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_an_unknown_variable_of_a_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIIWORK_API_PROT", "1")
    with pytest.raises(SettingsError, match="VIIWORK_API_PROT"):
        load_settings()


@pytest.mark.parametrize(
    ("toml", "meant"),
    [
        ("[queue]\nbeats = 3\n", "Did you mean queue.beat_s? See"),
        ("[quue]\nbeat_s = 3\n", "Did you mean [queue]? Known"),
        ("[queue]\nttl_days = 3\n", "Did you mean results.ttl_days? See"),
        ("beat_s = 3\n", "Did you mean queue.beat_s? Known"),
        ("[queue]\nzzz = 3\n", "such setting. See"),
        ("[zzz]\nbeat_s = 3\n", "table zzz. Known"),
    ],
)
def test_what_may_be_meant_by_a_misspelt_name_is_said(empty_place: Path, toml: str, meant: str) -> None:
    """Nothing is guessed where nothing is near."""
    assert meant in refused(empty_place, toml)


def test_what_may_be_meant_by_a_misspelt_variable_is_said_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIIWORK_QUEUE_BEATS", "3")
    with pytest.raises(SettingsError, match=r"VIIWORK_QUEUE_BEATS: .* Did you mean VIIWORK_QUEUE_BEAT_S\?"):
        load_settings()


def test_a_wrong_flag_is_named_as_the_field() -> None:
    with pytest.raises(SettingsError, match=r"api\.port"):
        load_settings({"api": {"port": -1}})


@pytest.mark.parametrize(
    "name",
    [
        "VIIWORK_URL",
        "VIIWORK_DEBUG",
        "VIIWORK_WORKER_NAME",
        "VIIWORK_SUPERVISED_BY",
        "VIIWORK_REDIS_MAXMEMORY",
        "VIIWORK",
    ],
)
def test_variables_that_are_no_settings_do_no_harm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other parts of the service, and the supervisor, use the same prefix."""
    monkeypatch.setenv(name, "http://127.0.0.1:8400")
    assert load_settings().api.port == 8400


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().api.port = 7  # type: ignore[misc] # mypy knows that it is frozen


def test_results_may_be_kept_for_ever(empty_place: Path) -> None:
    (empty_place / "viiwork.toml").write_text("[results]\nttl_days = 'never'\n")
    assert load_settings().results.ttl_ms == 0


def test_half_a_day_is_a_time_to_live() -> None:
    assert load_settings({"results": {"ttl_days": 0.5}}).results.ttl_ms == 43_200_000


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/viiwork/f"),
        ({"HOME": "/h"}, "/h/.local/state/viiwork/f"),
        ({}, "/var/lib/viiwork/f"),
    ],
)
def test_where_a_fleet_keeps_its_state(environ: dict[str, str], place: str) -> None:
    assert default_state_dir("f", environ) == Path(place)
