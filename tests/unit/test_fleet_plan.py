"""The plan of a fleet, its restarts and its ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from viiwork.errors import EngineFault, SettingsError, StartupError, StoreUnavailable
from viiwork.fleet.describe import ending
from viiwork.fleet.detach import as_error, as_fault
from viiwork.fleet.plan import TAG, Role, api_url, engine_end_s, plan, settings_env
from viiwork.fleet.ports import settle_ports
from viiwork.fleet.restarts import LONGEST_DELAY_S, Restarts
from viiwork.settings import Settings, load_settings


def settings(**sections: dict[str, object] | list[dict[str, object]]) -> Settings:
    return load_settings(sections)


def test_one_worker_a_card_and_none_on_the_cpu_beside_them() -> None:
    """`gpus` rules out `cpus`."""
    specs = plan(settings(workers={"gpus": 2, "cpus": 3, "readers": 2}), environ={})
    assert [spec.name for spec in specs] == ["api", "gpu0", "gpu1", "reader0", "reader1", "flower"]
    assert [spec.role for spec in specs][:2] == [Role.API, Role.ENGINE]


def test_without_cards_the_engine_runs_on_the_cpu_and_flower_can_be_left_out() -> None:
    """The smallest fleet."""
    specs = plan(settings(workers={"gpus": 0}, flower={"enabled": False}), environ={})
    assert [spec.name for spec in specs] == ["api", "cpu0", "reader0"]


@pytest.mark.parametrize(
    ("kind", "gpus", "grace_s"),
    [("simulated", 1, 40), ("vllm-gfx906", 1, 160), ("vllm-gfx906", 0, 130), ("llama-cpp", 1, 110)],
)
def test_a_worker_may_take_as_long_to_end_as_its_jobs_and_its_engine(kind: str, gpus: int, grace_s: float) -> None:
    """Killed earlier, it leaves its engine to the guard; without a card another recipe may hold."""
    seen = settings(engine={"kind": kind}, workers={"gpus": gpus}, queue={"drain_grace_s": 30})
    specs = plan(seen, environ={}, end_s=engine_end_s(seen))
    graces = {spec.role: spec.stop_grace_s for spec in specs}
    assert (graces[Role.ENGINE], graces[Role.READER]) == (grace_s, 40)


def test_no_secret_stands_on_a_command_line() -> None:
    """Everybody on the machine can read those."""
    specs = plan(settings(redis={"url": "redis://:hidden@h/0"}), environ={}, flower_password="hidden")
    assert all("hidden" not in " ".join(spec.argv) for spec in specs)
    assert all("hidden" not in repr(spec) for spec in specs)
    flower = next(spec for spec in specs if spec.role is Role.FLOWER)
    assert flower.env["FLOWER_BASIC_AUTH"] == "viiwork:hidden"


def test_children_see_the_settings_that_up_saw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Flags, file and environment come through as variables, and a file edited later is not read."""
    monkeypatch.chdir(tmp_path)
    seen = settings(
        fleet={"name": "lab", "state_dir": Path("here")},
        engine={"kind": "simulated", "slots": 7, "time_scale": 0.25},
        results={"ttl_days": "never"},
        flower={"enabled": False},
        api={"port": 1234},
        power={"host_watts": 1400, "timezone": "UTC"},
        schedule=[
            {"when": "22:00-07:00", "lanes": ["batch"], "cap_watts": 180},
            {"when": "9:00-12:00", "days": ["sat"]},
        ],
    )
    (tmp_path / "viiwork.toml").write_text("nonsense = [")
    for name, value in settings_env(seen).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(TAG, "x")
    monkeypatch.setenv("VIIWORK_WORKER_NAME", "gpu0")
    again = load_settings()
    assert again.state_dir == tmp_path / "here"
    assert again.model_copy(update={"fleet": seen.fleet}) == seen


def test_every_process_carries_the_tag_of_its_state_directory(tmp_path: Path) -> None:
    """By which orphans are found."""
    specs = plan(settings(fleet={"state_dir": tmp_path}), environ={"PATH": "/bin"})
    assert {spec.env[TAG] for spec in specs} == {str(tmp_path)}
    assert {spec.env["PATH"] for spec in specs} == {"/bin"}


def test_programs_on_this_machine_reach_an_api_that_listens_everywhere() -> None:
    """0.0.0.0 is no address to call."""
    assert api_url(settings(api={"host": "0.0.0.0", "port": 1})) == "http://127.0.0.1:1"
    assert api_url(settings(api={"host": "::1", "port": 1})) == "http://[::1]:1"


def test_a_death_in_full_work_is_forgiven_at_once() -> None:
    """And it wipes out earlier quick deaths."""
    record, delay_s = Restarts(total=3, quick_deaths=4).after(lived_s=3600, was_ready=True, returncode=-9)
    assert (record, delay_s) == (Restarts(total=4, quick_deaths=0, ever_ready=True), 1.0)


def test_quick_deaths_wait_longer_each_time_until_it_is_given_up() -> None:
    """Five in a row."""
    record, delays = Restarts(), []
    for _ in range(5):
        record, delay_s = record.after(lived_s=0.1, was_ready=False, returncode=1)
        delays.append(delay_s)
    assert delays == [1.0, 2.0, 4.0, 8.0, None]
    assert max(delay for delay in delays if delay) <= LONGEST_DELAY_S


def test_what_once_worked_is_never_given_up_by_a_running_fleet() -> None:
    """Not after a night of deaths, and not for the exit code of wrong settings: work waits for it."""
    record, delays = Restarts(ever_ready=True), []
    for _ in range(2000):
        record, delay_s = record.after(lived_s=0.1, was_ready=False, returncode=2, needed=True)
        delays.append(delay_s)
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert set(delays[4:]) == {LONGEST_DELAY_S}
    assert (record.slow, record.total, record.quick_deaths) == (True, 2000, 2000)


def test_a_first_flapping_life_after_the_announcement_counts_as_having_worked() -> None:
    """Five short lives, each of them ready."""
    record, delay_s = Restarts(quick_deaths=4).after(lived_s=5, was_ready=True, returncode=1, needed=True)
    assert (record.slow, delay_s) == (True, LONGEST_DELAY_S)


def test_a_life_in_full_work_ends_the_slow_attempts() -> None:
    """However many deaths came before."""
    slow = Restarts(total=99, quick_deaths=99, ever_ready=True)
    record, delay_s = slow.after(lived_s=60, was_ready=True, returncode=-9, needed=True)
    assert (record.slow, delay_s) == (False, 1.0)


def test_what_never_worked_is_given_up_by_a_running_fleet_too() -> None:
    """A straggler that was announced as failed to come: wrong settings, or five deaths."""
    assert Restarts().after(lived_s=0.1, was_ready=False, returncode=2, needed=True)[1] is None
    assert Restarts(quick_deaths=4).after(lived_s=0.1, was_ready=False, returncode=1, needed=True)[1] is None


def test_during_the_start_what_worked_and_then_flaps_is_given_up() -> None:
    """The start has to end."""
    assert Restarts(quick_deaths=4, ever_ready=True).after(lived_s=5, was_ready=True, returncode=1)[1] is None


def test_wrong_settings_are_not_tried_again() -> None:
    """Exit code 2 before it was ever ready."""
    assert Restarts().after(lived_s=0.1, was_ready=False, returncode=2)[1] is None
    assert Restarts().after(lived_s=99, was_ready=True, returncode=2)[1] == 1.0


def test_a_long_start_that_fails_counts_as_a_quick_death() -> None:
    """A model that takes a minute to load and then fails must not be loaded for ever."""
    assert Restarts().after(lived_s=90, was_ready=False, returncode=1)[0].quick_deaths == 1


def test_free_ports_are_found_and_differ() -> None:
    """Port 0 for both."""
    settled = settle_ports(settings(api={"port": 0}, flower={"port": 0}))
    assert 0 < settled.api.port != settled.flower.port > 0


def test_a_port_in_use_is_one_line_with_the_flag_to_change_it() -> None:
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"port {port} on 127\.0\.0\.1 is in use.*--port"):
            settle_ports(settings(api={"port": port}, flower={"enabled": False}))
        with pytest.raises(StartupError, match="--flower-port"):
            settle_ports(settings(api={"port": 0}, flower={"port": port}))


def test_a_host_of_another_machine_is_one_line() -> None:
    """Neither an unknown name nor a foreign address is a stack trace."""
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(StartupError, match="no address of this machine"):
            settle_ports(settings(api={"host": host, "port": 0}))


@pytest.mark.parametrize("kind", [StartupError, StoreUnavailable, EngineFault, SettingsError])
def test_an_error_comes_through_the_pipe_as_what_it_was(kind: type[StartupError]) -> None:
    """Class, message, hint and so the exit code."""
    again = as_error(as_fault(kind("it broke.", hint="Mend it.")))
    assert (type(again), str(again), again.exit_code) == (kind, "it broke. Mend it.", kind.exit_code)


def test_an_ending_is_named() -> None:
    """As people know it."""
    assert [ending(code) for code in (1, -9, -64)] == ["exit code 1", "SIGKILL", "SIGRTMAX"]


def test_the_settings_file_is_shut_out() -> None:
    """`/dev/null` is no file to read settings from."""
    assert settings_env(settings())["VIIWORK_CONFIG"] == os.devnull
