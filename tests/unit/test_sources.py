"""From paths to the files that are sent, and the names that rows call them by."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.cli.sources import find_files


@pytest.fixture(autouse=True)
def papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the same name in several folders, and the current directory beside them."""
    monkeypatch.chdir(tmp_path)
    for name in ("odd/a/report.txt", "odd/b/report.txt", "even/a/report.txt", "odd/b/only.txt", "a/report.txt"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["odd/a", "odd/b"], ["a/report.txt", "only.txt", "b/report.txt"]),
        (["odd/a", "even/a"], ["odd/a/report.txt", "even/a/report.txt"]),
        (["odd/a", "odd/b/report.txt"], ["a/report.txt", "b/report.txt"]),
        (["odd/a/../b", "even/a"], ["only.txt", "b/report.txt", "a/report.txt"]),
        (["odd", "a/report.txt"], ["a/report.txt", "b/only.txt", "b/report.txt", "report.txt"]),
        (["odd/a", "odd/a/report.txt"], ["report.txt", "report.txt"]),
        (["odd"], ["a/report.txt", "b/only.txt", "b/report.txt"]),
    ],
)
def test_files_of_the_same_name_are_told_apart_by_their_folders(paths: list[str], names: list[str]) -> None:
    """By as much of them as it takes; a file that is given twice has one name."""
    assert [file.name for file in find_files(paths)] == names


def test_only_the_names_that_clash_get_longer() -> None:
    """As often as it takes until all differ."""
    names = {str(file.path): file.name for file in find_files(["odd", "even", "a"])}
    assert names == {
        "odd/a/report.txt": "odd/a/report.txt",
        "odd/b/only.txt": "b/only.txt",
        "odd/b/report.txt": "b/report.txt",
        "even/a/report.txt": "even/a/report.txt",
        "a/report.txt": "report.txt",
    }
