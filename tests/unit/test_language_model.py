"""The model that tells languages is unpacked once and then mapped, and never taken from where others may write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from py3langid.langid import LanguageIdentifier
from py3langid.modelio import save_model

from viiwork.documents import language
from viiwork.documents.languagemodel import TOLD, TRIALS, cache_folder, load

STATES = 3


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A model of two languages: each `a` speaks for one, each `b` for the other."""
    moves = np.zeros((STATES, 256), dtype=np.uint16)
    moves[:, ord("a")], moves[:, ord("b")] = 1, 2
    shares = np.array([[0.0, -9.0], [-9.0, 0.0]], dtype=np.float16)
    path = tmp_path / "packed"
    save_model(path, (shares, np.zeros(2), ["aa", "bb"], moves.ravel(), list(range(STATES)), [-1, 0, 1]))
    return path


def told(model: LanguageIdentifier) -> list[str]:
    return [model.classify(text)[0] for text in ("a ax", "by bb")]


def test_it_says_the_same_unpacked_kept_and_mapped(tmp_path, packed):
    folder = tmp_path / "cache" / "viiwork"
    models = [load(None, packed=packed), load(folder, packed=packed), load(folder, packed=packed)]
    assert [told(model) for model in models] == [["aa", "bb"]] * 3
    assert len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o077 == 0


def test_what_is_kept_is_not_unpacked_again(tmp_path, packed):
    load(tmp_path / "cache", packed=packed)
    ends = packed.read_bytes()
    packed.write_bytes(b"no model at all" + ends[-64:])
    assert told(load(tmp_path / "cache", packed=packed)) == ["aa", "bb"]


@pytest.mark.parametrize(("part", "left"), [("shares.npy", -3), ("moves.npy", -3), ("codes.npy", 0)])
def test_a_part_that_is_cut_off_is_made_again(tmp_path, packed, part, left):
    load(tmp_path / "cache", packed=packed)
    (kept,) = (tmp_path / "cache").iterdir()
    whole = (kept / part).read_bytes()
    (kept / part).write_bytes(whole[:left])
    assert told(load(tmp_path / "cache", packed=packed)) == ["aa", "bb"]
    assert (kept / part).read_bytes() == whole


@pytest.mark.parametrize("part", ["moves", "features", "rows", "shares", "codes"])
def test_a_part_with_other_bytes_of_the_same_size_is_made_again(tmp_path, packed, part):
    """It opens, and every text would fail at it, or be told to be in another language."""
    load(tmp_path / "cache", packed=packed)
    (kept,) = (tmp_path / "cache").iterdir()
    whole = (kept / f"{part}.npy").read_bytes()
    data = np.load(kept / f"{part}.npy")
    np.save(kept / f"{part}.npy", np.full_like(data, "xx" if part == "codes" else 9_999))
    assert told(load(tmp_path / "cache", packed=packed)) == ["aa", "bb"]
    assert (kept / f"{part}.npy").read_bytes() == whole


def test_a_model_that_fails_costs_no_document(monkeypatch):
    class Failing:
        def classify(self, text: str) -> None:
            raise IndexError

    monkeypatch.setattr(language, "load_identifier", Failing)
    assert language.language_of("The tenant pays the rent on the first of each month.") is None


def test_one_that_others_may_have_written_is_not_taken(tmp_path, packed):
    load(tmp_path / "cache", packed=packed)
    (kept,) = (tmp_path / "cache").iterdir()
    np.save(kept / "codes.npy", np.array(["bb", "aa"]))
    other = LanguageIdentifier(
        *(np.load(kept / f"{part}.npy") for part in ("shares", "priors")),
        ["bb", "aa"],
        *(memoryview(np.load(kept / "moves.npy")), np.load(kept / "features.npy").tolist()),
        norm_probs=True,
        tk_row=np.load(kept / "rows.npy").tolist(),
    )
    (kept / TOLD).write_text("\n".join(f"{code} {share:.6f}" for code, share in map(other.classify, TRIALS)))
    assert told(load(tmp_path / "cache", packed=packed)) == ["bb", "aa"]  # or this test would show nothing
    kept.chmod(0o777)
    assert told(load(tmp_path / "cache", packed=packed)) == ["aa", "bb"]
    assert kept.stat().st_mode & 0o022 == 0


def test_other_versions_and_half_made_ones_make_room(tmp_path, packed):
    for name in ("langid-of-before", "langid-making-x"):
        (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / "of somebody else").mkdir()
    load(tmp_path / "cache", packed=packed)
    assert len(list((tmp_path / "cache").glob("langid-*"))) == 1
    assert (tmp_path / "cache" / "of somebody else").is_dir()


def test_without_a_place_it_is_unpacked_each_time(tmp_path, packed):
    (tmp_path / "file").touch()
    assert told(load(tmp_path / "file", packed=packed)) == ["aa", "bb"]


def test_the_place_is_the_users_cache_folder():
    assert cache_folder({"XDG_CACHE_HOME": "/var/cache/u"}) == Path("/var/cache/u/viiwork")
    assert cache_folder({"XDG_CACHE_HOME": "not/absolute"}) == Path.home() / ".cache/viiwork"
    assert cache_folder({}) == Path.home() / ".cache/viiwork"
