"""What `viiwork doctor` says of an engine in a container: docker, its daemon, the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.docker import fake_docker
from viiwork.doctor import EngineFacts, Verdict, of_engine
from viiwork.doctor.container import CHECKS, ContainerFacts, image, runs
from viiwork.doctor.finding import GIB
from viiwork.errors import StartupError
from viiwork.fleet.engineroom import engine_facts
from viiwork.settings import EngineSection, FleetSection, Settings, WorkersSection

PINNED = f"sha256:{'0' * 64}"
RECIPE = 'title = "boxed"\ncommand = ["serve", "{port}"]\nimage = "lab/engine:1"\n'


def gathered(tmp_path: Path, *, path: Path, **engine: object) -> EngineFacts:
    recipe = tmp_path / "boxed.toml"
    recipe.write_text(RECIPE, "utf-8")
    settings = Settings(
        engine=EngineSection.model_validate({"kind": str(recipe), **engine}),
        workers=WorkersSection(gpus=0, cpus=1),
        fleet=FleetSection(state_dir=tmp_path / "state"),
    )
    return engine_facts(settings, {"PATH": str(path)})


def test_all_that_is_there_is_content() -> None:
    facts = ContainerFacts(image=PINNED, client="docker 28.2.2", image_bytes=20 * GIB)
    assert {check(facts).verdict for check in CHECKS} == {Verdict.OK}
    assert image(facts).found == f"{PINNED} is here (20.0 GiB)"


def test_an_image_that_nobody_could_be_asked_for_is_not_called_ok() -> None:
    """It says that it was not checked, why, and what to do first."""
    facts = ContainerFacts(image=PINNED, client_error=StartupError("no daemon.", hint="start it."))
    assert (runs(facts).verdict, runs(facts).found, runs(facts).advice) == (Verdict.FAIL, "no daemon.", "start it.")
    assert image(facts).verdict is Verdict.WARN
    assert image(facts).found == f"{PINNED}: not checked whether it is here: no daemon."
    assert image(facts).advice == "Mend Containers above, then run `viiwork doctor` again."


def test_a_tag_fails_also_while_docker_is_away(tmp_path: Path) -> None:
    """Its name alone tells that `up` would not take it."""
    (tmp_path / "nothing").mkdir()
    found = {finding.check: finding for finding in of_engine(gathered(tmp_path, path=tmp_path / "nothing"))}
    assert "neither docker nor podman" in found["Containers"].found
    told = found["Engine image"]
    assert told.verdict is Verdict.FAIL
    assert told.found.startswith("not checked whether it is here; 'lab/engine:1' is not pinned")
    assert "name@sha256:" in told.advice


def test_an_engine_as_a_process_is_asked_nothing_of_containers() -> None:
    assert [finding.check for finding in of_engine(EngineFacts(title="x", alias=""))] == ["Engine", "Engine memory"]


def test_a_tag_is_told_once_with_what_pins_it(tmp_path: Path) -> None:
    fake_docker(tmp_path / "bin")
    facts = gathered(tmp_path, path=tmp_path / "bin")
    findings = of_engine(facts)
    assert [finding.check for finding in findings] == ["Containers", "Engine image", "Engine memory"]
    assert findings[0].found == "docker 20.10.24 answers"
    assert (findings[1].verdict, findings[1].advice) == (Verdict.FAIL, f'Set engine.image = "{PINNED}".')


def test_what_the_settings_name_goes_before_the_recipe(tmp_path: Path) -> None:
    fake_docker(tmp_path / "bin")
    facts = gathered(tmp_path, path=tmp_path / "bin", image=PINNED)
    assert facts.error is None
    assert {finding.verdict for finding in of_engine(facts)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", "may not use docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "the Docker daemon does not answer"),
    ],
)
def test_a_daemon_that_may_not_be_asked_is_told(tmp_path: Path, said: str, found: str) -> None:
    fake_docker(tmp_path / "bin")
    (tmp_path / "bin/refusal").write_text(said)
    first, *_ = of_engine(gathered(tmp_path, path=tmp_path / "bin"))
    assert first.verdict is Verdict.FAIL
    assert found in first.found
    assert first.advice
