"""From paths to the files that are sent, and the names that rows call them by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from viiwork.cli.sources import find_files
from viiwork.errors import UsageError


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


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("odd/*/report.txt", ["a/report.txt", "b/report.txt"]),
        ("odd/b/*", ["only.txt", "report.txt"]),
        ("odd/*", ["a/report.txt", "only.txt", "b/report.txt"]),
        ("odd/**", ["a/report.txt", "only.txt", "b/report.txt"]),
        ("*/**/o*.txt", ["only.txt"]),
        ("[oe]*/b/repor?.txt", ["report.txt"]),
    ],
)
def test_a_pattern_that_no_shell_has_unfolded_is(pattern: str, names: list[str]) -> None:
    """Folders that match are unfolded; `**` means all that is below."""
    assert [file.name for file in find_files([pattern])] == names


def test_a_file_that_is_called_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    Path("odd/[a].txt").write_text("x")
    Path("odd/a.txt").write_text("x")
    assert [file.name for file in find_files(["odd/[a].txt"])] == ["[a].txt"]


@pytest.mark.parametrize("pattern", ["odd/*.pdf", "nowhere/**", "odd/.*"])
def test_a_pattern_that_nothing_matches_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_files([pattern])
    assert pattern in caught.value.message


def test_links_that_go_in_circles_are_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd/b/round").symlink_to(Path("..").absolute() / "odd", target_is_directory=True)
    for path in ("odd", "odd/**"):
        assert [Path(file.path).name for file in find_files([path])] == ["report.txt", "only.txt", "report.txt"]
    assert "skipped 1 symbolic link; name one yourself" in capsys.readouterr().err


def test_what_is_left_out_of_a_folder_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Hidden files and folders, and what is no file."""
    Path("odd/.secret").write_text("x")
    Path("odd/a/.git").mkdir()
    os.mkfifo("odd/pipe")
    assert len(find_files(["odd"])) == 3
    said = capsys.readouterr().err
    assert "odd: skipped 2 hidden files and folders; name one yourself to have it read." in said
    assert "odd: skipped 1 pipe, socket or device; they are no files." in said


def test_a_name_that_is_no_text_is_sent_as_it_can_be_shown() -> None:
    folder = Path("odd/c")
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9\n.txt")).write_text("x")
    (found,) = find_files(["odd/c"])
    assert found.shown_name == "caf�\n.txt"
