"""The one root command: what it writes, and all that it refuses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.cards import FakeCard, device_folder, radeon_vii, write_tree
from viiwork.devices import capwriter
from viiwork.devices.capwriter import CapRefused, main, write_cap

CARD = radeon_vii(0)


def cap_file(root: Path, card: FakeCard = CARD, name: str = "power1_cap") -> Path:
    (found,) = device_folder(root, card).glob(f"hwmon/*/{name}")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path, [CARD, radeon_vii(1, cap_min="")])


def test_a_cap_is_written_in_microwatts(root: Path) -> None:
    assert write_cap(CARD.pci, 180, root=root) == 180.0
    assert cap_file(root).read_text() == "180000000\n"


def test_0_restores_the_default(root: Path) -> None:
    """The driver's own figure where it tells one; else 0, which the driver takes for it."""
    write_cap(CARD.pci, 180, root=root)
    assert write_cap(CARD.pci, 0, root=root) == 250.0
    cap_file(root, name="power1_cap_default").unlink()
    write_cap(CARD.pci, 0, root=root)
    assert cap_file(root).read_text() == "0\n"


@pytest.mark.parametrize("watts", [49, 301, 9999])
def test_a_cap_beyond_the_cards_own_limits_is_refused(root: Path, watts: int) -> None:
    cap_file(root, name="power1_cap_min").write_text("50000000\n")
    with pytest.raises(CapRefused, match="not within its limits, 50 to 300 W"):
        write_cap(CARD.pci, watts, root=root)
    assert cap_file(root).read_text() == "250000000\n"


def test_a_driver_that_tells_no_lowest_cap_decides_itself(root: Path) -> None:
    """`power1_cap_min` can be an empty line."""
    assert write_cap(radeon_vii(1).pci, 1, root=root) == 1.0


def test_without_a_highest_cap_nothing_is_written(root: Path) -> None:
    cap_file(root, name="power1_cap_max").unlink()
    with pytest.raises(CapRefused, match="does not say what the highest cap is"):
        write_cap(CARD.pci, 180, root=root)


def test_a_card_of_another_driver_is_refused(root: Path) -> None:
    """The file is not made where it is not there."""
    cap_file(root).with_name("name").write_text("nouveau\n")
    with pytest.raises(CapRefused, match="no card with a power cap there"):
        write_cap(CARD.pci, 180, root=root)
    with pytest.raises(CapRefused, match="no card with a power cap there"):
        write_cap("0000:7f:00.0", 180, root=root)


@pytest.mark.parametrize(
    "argument",
    [
        *("", "180", "0000:03:00.0", "0000:03:00.0=", "0000:03:00.0=-1", "0000:03:00.0=1.5", "0000:03:00.0=0180"),
        *("../../etc=1", "0000:03:00.0/../x=1", "0000:03:00.8=1", "0000:03:00.0=1\n", "0000:03:00.0=99999", "--help"),
        "0000:03:00.0=١٨٠",  # digits, but not these
    ],
)
def test_arguments_that_are_not_exactly_right_are_refused_before_any_is_carried_out(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["0000:7f:00.0=180", argument]) == 2
    assert capsys.readouterr().err.startswith("usage: capwriter.py")


def test_no_arguments_are_no_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "0 restores the default" in capsys.readouterr().err


def test_it_runs_by_its_file_alone(tmp_path: Path) -> None:
    """Without installed packages, the environment or what lies beside it."""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", capwriter.__file__, "ffff:7f:00.0=180"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "ffff:7f:00.0: amdgpu shows no card with a power cap there.\n"


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(capwriter.__file__).read_text())
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert plain | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} == {
        *("os", "re", "sys", "pathlib")
    }
