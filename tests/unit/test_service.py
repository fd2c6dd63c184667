"""`viiwork service`: the units that it writes, held against systemd's own check, and what it tells systemd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from viiwork.cli.main import run
from viiwork.cli.service import remove
from viiwork.deploy.systemd import Systemd
from viiwork.deploy.unit import Unit, caps_unit, fleet_unit, quoted, stop_s
from viiwork.errors import StartupError, UsageError

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {log}
case "$1" in
  show) printf 'ActiveState=active\\nUnitFileState=enabled\\nMainPID=77\\nNRestarts=2\\n' ;;
  disable) [ ! -e {refuses} ] || {{ echo "Failed to disable unit: no." >&2; exit 1; }} ;;
esac
"""
CHECKED = shutil.which("systemd-analyze")


@pytest.fixture(autouse=True)
def settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests count."""
    for name in [name for name in os.environ if name.startswith("VIIWORK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A computer that systemd has started, as far as its files and a `systemctl` that writes down its calls go."""
    (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.write_text(SYSTEMCTL.format(log=tmp_path / "calls", refuses=tmp_path / "refuses"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return Systemd(user=False, environ=os.environ, root=tmp_path)


def unit(**changed: object) -> Unit:
    usual: dict[str, object] = {
        "fleet": "default",
        "program": Path("/bin/true"),
        "config": Path("/etc/viiwork/viiwork.toml"),
        "stop_s": 190,
        "user": "root",
        "groups": ("video",),
    }
    return Unit(**(usual | changed))  # type: ignore[arg-type] # the fields' types are the test's own business


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.skipif(CHECKED is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize(
    "text",
    [
        fleet_unit(unit()),
        fleet_unit(unit(writes_caps=True, state_dir=Path("/srv/fleet"))),
        fleet_unit(unit(user="", groups=(), config=None)),
        caps_unit(Path("/bin/true"), watts=180),
    ],
)
def test_systemd_has_nothing_to_say_against_a_unit(text: str, tmp_path: Path) -> None:
    """By `systemd-analyze verify`, which does find a misspelt line."""
    assert _verified(text, tmp_path) == ""
    assert "Unknown key" in _verified(text.replace("[Install]", "[Service]\nRestrat=no\n[Install]"), tmp_path)


def _verified(text: str, folder: Path) -> str:
    (folder / "viiwork.service").write_text(text)
    told = subprocess.run(
        [str(CHECKED), "verify", "--man=no", str(folder / "viiwork.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout + told.stderr


def test_stopping_is_left_to_the_supervisor_and_given_its_time() -> None:
    """Systemd ends no engine, and waits for the longest drain and every end after it."""
    found = lines(fleet_unit(unit()))
    assert "KillMode=process" in found
    assert "TimeoutStopSec=190s" in found
    assert "OOMPolicy=continue" in found
    assert "ExecStart=/bin/true up --config /etc/viiwork/viiwork.toml" in found
    assert stop_s(drain_s=30, engine_end_s=120) == 275


def test_the_hardening_leaves_the_cards_open() -> None:
    """Their device files and groups are named; nothing else is open beside the usual ones."""
    found = lines(fleet_unit(unit(groups=("video", "render"))))
    assert {"DevicePolicy=closed", "DeviceAllow=char-kfd rw", "DeviceAllow=char-drm rw"} <= set(found)
    assert "SupplementaryGroups=video render" in found
    assert not [line for line in found if line.startswith(("PrivateDevices", "MemoryDenyWriteExecute"))]


def test_who_wants_caps_keeps_the_way_to_root() -> None:
    """Each of these lines would forbid sudo."""
    forbidding = ("NoNewPrivileges", "ProtectKernel", "RestrictSUIDSGID", "LockPersonality")
    assert [line for line in lines(fleet_unit(unit())) if line.startswith(forbidding)]
    assert not [line for line in lines(fleet_unit(unit(writes_caps=True))) if line.startswith(forbidding)]


def test_a_service_of_ones_own_names_no_user_and_no_hardening() -> None:
    """A person's systemd may not do that."""
    found = lines(fleet_unit(unit(user="", groups=())))
    assert not [line for line in found if line.startswith(("User=", "Device", "Protect", "StateDirectory"))]
    assert "WantedBy=default.target" in found


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/etc/a.toml", "/etc/a.toml"),
        ("/my files/a", '"/my files/a"'),
        ("/100%/$a", '"/100%%/$$a"'),
        ('/a"b\\c', '"/a\\"b\\\\c"'),
    ],
)
def test_a_path_reaches_the_program_as_it_is(word: str, written: str) -> None:
    """Blanks, percent signs and dollars mean something to systemd."""
    assert quoted(word) == written


def test_a_path_with_a_line_break_is_refused() -> None:
    """It would be a second line of the unit."""
    with pytest.raises(UsageError, match="cannot stand in a unit"):
        quoted("/a\nExecStartPre=/b")


def test_a_dry_run_shows_every_unit_and_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Also where systemd does not run."""
    (tmp_path / "viiwork.toml").write_text('[fleet]\nname = "night"\n[power]\nhost_watts = 900\n')
    assert run(["service", "install", "--dry-run", "--caps", "180"]) == 0
    shown = capsys.readouterr().out
    assert "# /etc/systemd/system/viiwork-caps.service" in shown
    assert "power set 180 --all" in shown
    assert "# /etc/systemd/system/viiwork-night.service" in shown
    assert f"up --config {tmp_path / 'viiwork.toml'}" in shown
    assert "NoNewPrivileges=yes" not in shown
    assert run(["service", "install", "--dry-run", "--user"]) == 0
    assert f"# {tmp_path}/config/systemd/user/viiwork-night.service" in capsys.readouterr().out


def test_caps_and_a_service_of_ones_own_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Only root may write caps."""
    assert run(["service", "install", "--user", "--caps", "180", "--dry-run"]) == 2
    assert "--caps needs root" in capsys.readouterr().err


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this computer")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_without_systemd_it_says_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with what to do; nothing is written."""
    assert run(["service", command]) == 2
    said = capsys.readouterr().err
    assert "systemd does not run this computer" in said
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this computer")
def test_status_without_systemd_says_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown is neither running nor stopped."""
    assert run(["service", "status", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["unit"], told["file"], told["active"]) == ("viiwork.service", "", "unknown")


def test_installing_writes_the_units_and_starts_them(systemd: Systemd, tmp_path: Path) -> None:
    """Again after a change: what runs is started anew."""
    systemd.install({"viiwork-caps.service": "a\n", "viiwork.service": "b\n"})
    assert (systemd.folder / "viiwork.service").read_text() == "b\n"
    assert sorted(path.name for path in systemd.folder.iterdir()) == ["viiwork-caps.service", "viiwork.service"]
    assert (tmp_path / "calls").read_text().splitlines() == [
        "daemon-reload",
        "enable viiwork-caps.service viiwork.service",
        "restart viiwork-caps.service viiwork.service",
    ]
    state = systemd.state("viiwork.service")
    assert (state.active, state.enabled, state.pid, state.restarts) == ("active", "enabled", 77, 2)


def test_uninstalling_stops_and_removes_what_is_there(systemd: Systemd, tmp_path: Path) -> None:
    """And is no error where nothing is."""
    assert systemd.uninstall(["viiwork.service"]) == ()
    systemd.install({"viiwork.service": "b\n"})
    assert systemd.uninstall(["viiwork.service", "viiwork-caps.service"]) == (systemd.folder / "viiwork.service",)
    assert list(systemd.folder.iterdir()) == []
    assert (tmp_path / "calls").read_text().splitlines()[-2:] == ["disable --now viiwork.service", "daemon-reload"]


def test_what_systemctl_refuses_is_told_in_its_own_words(systemd: Systemd, tmp_path: Path) -> None:
    """A unit that could not be stopped stays where it is."""
    systemd.install({"viiwork.service": "b\n"})
    (tmp_path / "refuses").touch()
    with pytest.raises(StartupError, match="systemctl disable: Failed to disable unit: no"):
        systemd.uninstall(["viiwork.service"])
    assert (systemd.folder / "viiwork.service").exists()


def test_the_unit_of_the_caps_stays_while_another_fleet_is_installed(systemd: Systemd) -> None:
    """It caps all cards of the computer, theirs too; it goes with the last fleet."""
    caps = "viiwork-caps.service"
    systemd.install({caps: "a\n", "viiwork.service": "b\n", "viiwork-night.service": "c\n"})
    first = remove(systemd, "viiwork.service", user=False)
    assert first[0] == f"Removed {systemd.folder / 'viiwork.service'}."
    assert first[1:] == [f"{caps} stays, which caps the cards at boot: viiwork-night.service may need it."]
    assert (systemd.folder / caps).exists()
    assert len(remove(systemd, "viiwork-night.service", user=False)) == 2
    assert list(systemd.folder.iterdir()) == []


def test_a_fleet_that_is_not_there_leaves_the_others_and_their_caps(systemd: Systemd) -> None:
    systemd.install({"viiwork-caps.service": "a\n", "viiwork-night.service": "c\n"})
    said = remove(systemd, "viiwork.service", user=False)
    assert said[0] == "viiwork.service is not installed."
    assert len(list(systemd.folder.iterdir())) == 2


def test_settings_without_cards_or_engine_are_told_of_before_they_are_a_service(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The unit would run, and answer without a language model."""
    assert run(["service", "install", "--dry-run"]) == 0
    said = capsys.readouterr().err
    for part in ("name no engine (engine.kind)", "name no cards (devices.spec)", "--config"):
        assert part in said
    (tmp_path / "viiwork.toml").write_text('[engine]\nkind = "url"\n')
    assert run(["service", "install", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "viiwork.toml").write_text('[engine]\nkind = "vllm"\n')
    assert run(["service", "install", "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "name no cards" in said
    assert "name no engine" not in said
    assert str(tmp_path / "viiwork.toml") in said
