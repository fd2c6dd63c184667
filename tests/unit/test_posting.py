"""Who works where: from the models that are wanted and the cards that are there to each worker's own environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.cli.served import with_models
from viiwork.devices.simulated import FOLDER
from viiwork.errors import NothingFits, SettingsError, UsageError
from viiwork.fleet.berths import Berth
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.plan import plan
from viiwork.fleet.posting import Posting, post
from viiwork.settings import Settings, load_settings
from viiwork_workers.engines.choose import make_engine


def settings(state: Path, spec: str = "simulated:4xRadeonVII", **sections: object) -> Settings:
    given = {"fleet": {"state_dir": state}, "devices": {"spec": spec}, "engine": {"kind": "simulated"}, **sections}
    return load_settings(given)


def posted(seen: Settings) -> Posting:
    return post(settle_cards(seen))


def shown(posting: Posting) -> dict[str, str | None]:
    return {berth.name: berth.engine.alias for berth in posting.berths}


def environment(seen: Settings, berth: Berth) -> dict[str, str]:
    specs = plan(settle_cards(seen), environ={"VIIWORK_ENGINE_MODEL": "another"}, berths=[berth])
    return dict(next(spec.env for spec in specs if spec.name == berth.name))


def test_two_models_share_the_cards_and_one_that_does_not_fit_on_one_gets_a_group(tmp_path: Path) -> None:
    seen = with_models(settings(tmp_path), ["llama-2-13b:int8", "mistral-7b:int4"])
    assert shown(posted(seen)) == {
        "gpu0": "mistral-7b-int4",
        "gpu1+gpu2": "llama-2-13b-int8",
        "gpu3": "mistral-7b-int4",
    } or set(shown(posted(seen)).values()) == {"mistral-7b-int4", "llama-2-13b-int8"}
    taken = [card for berth in posted(seen).berths for card in berth.cards]
    assert sorted(taken) == [f"simulated-{number}" for number in range(4)]


def test_each_worker_has_its_own_model_and_cards_in_its_environment(tmp_path: Path) -> None:
    """And nothing of what the others serve, or of what a variable said before."""
    seen = with_models(settings(tmp_path), ["llama-2-13b:int8,context=2048", "mistral-7b:int4,replicas=2"])
    group = next(berth for berth in posted(seen).berths if len(berth.cards) == 2)
    env = environment(seen, group)
    assert group.name == f"gpu{group.cards[0][-1]}+gpu{group.cards[1][-1]}"
    assert env["VIIWORK_WORKER_CARDS"] == ",".join(group.cards)
    assert env["VIIWORK_WORKER_SPLIT"] == "2x1"
    assert (env["VIIWORK_ENGINE_MODEL"], env["VIIWORK_ENGINE_ALIAS"]) == ("llama-2-13b:int8", "llama-2-13b-int8")
    assert (env["VIIWORK_ENGINE_CONTEXT_TOKENS"], env["VIIWORK_SERVE"]) == ("2048", "[]")


def test_a_group_of_simulated_cards_holds_its_model_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As fast as its steps are: two cards by tensor parallel are faster than a pipeline, and slower than twice one."""
    seen = with_models(settings(tmp_path), ["llama-2-13b:int8,context=4096"])
    berth = posted(seen).berths[0]
    for name, value in environment(seen, berth).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("VIIWORK_SERVE")
    facts = make_engine(load_settings(), card=berth.name).facts
    assert (facts.model, facts.context_tokens) == ("llama-2-13b-int8", 4096)
    assert len(berth.cards) == 2


def test_a_model_of_which_nothing_is_known_gets_a_worker_a_card_as_ever(tmp_path: Path) -> None:
    posting = posted(settings(tmp_path, engine={"kind": "simulated", "model": "sim"}))
    assert [berth.name for berth in posting.berths] == ["gpu0", "gpu1", "gpu2", "gpu3"]
    assert posting.plan is None
    assert posting.berths[2].cards == ("simulated-2",)


def test_a_card_that_is_off_the_bus_is_left_out_of_the_plan(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "gpu1.gone").touch()
    seen = settings(tmp_path, engine={"kind": "simulated", "model": "mistral-7b:int4"})
    assert [berth.name for berth in posted(seen).berths] == ["gpu0", "gpu2", "gpu3"]


def test_what_does_not_fit_is_told_and_the_rest_is_served(tmp_path: Path) -> None:
    posting = posted(with_models(settings(tmp_path), ["llama-2-70b", "mistral-7b:int4"]))
    assert set(shown(posting).values()) == {"mistral-7b-int4"}
    assert any("llama-2-70b does not fit: needs" in remark for remark in posting.remarks())


def test_where_nothing_fits_the_plans_reason_is_the_error(tmp_path: Path) -> None:
    """With the exit code of `viiwork plan`."""
    with pytest.raises(NothingFits, match=r"llama-2-70b does not fit: needs .* GiB") as caught:
        posted(with_models(settings(tmp_path), ["llama-2-70b"]))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("spec", "kind", "models", "said"),
    [
        ("", "simulated", ["mistral-7b", "llama-2-7b"], r"several models need cards that are known"),
        ("simulated:2xRadeonVII", "extractive", ["a", "b"], r"extractive serves one model"),
        ("simulated:2xRadeonVII", "simulated", ["mistral-7b", "sim"], r"nothing is known of the size of sim"),
        ("simulated:2xRadeonVII", "simulated", ["mistral-7b", "mistral-7b"], r"two models would be served as mistral"),
    ],
)
def test_what_cannot_be_served_beside_others_is_one_line(
    tmp_path: Path, spec: str, kind: str, models: list[str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        posted(with_models(settings(tmp_path, spec, engine={"kind": kind}), models))


def test_a_model_in_both_places_is_refused(tmp_path: Path) -> None:
    seen = settings(tmp_path, engine={"kind": "simulated", "model": "mistral-7b"}, serve=[{"model": "llama-2-7b"}])
    with pytest.raises(SettingsError, match=r"engine.model and \[\[serve\]\] both name models"):
        posted(seen)


def test_flags_name_models_in_place_of_what_was_set(tmp_path: Path) -> None:
    """One by its name alone is `engine.model`, so that nothing else changes."""
    seen = settings(tmp_path, serve=[{"model": "llama-2-7b"}])
    assert with_models(seen, []).serve == seen.serve
    one = with_models(seen, ["mistral-7b"])
    assert (one.engine.model, one.serve) == ("mistral-7b", ())
    two = with_models(seen, ["mistral-7b,share=2,replicas=3,context=4096", "a"])
    assert [(each.model, each.share, each.replicas, each.context_tokens) for each in two.serve] == [
        ("mistral-7b", 2, 3, 4096),
        ("a", 1, 1, None),
    ]
    with pytest.raises(UsageError, match=r"--model: context_tokens"):
        with_models(seen, ["a,context=7"])
    named = settings(tmp_path, engine={"alias": "both"})
    with pytest.raises(UsageError, match=r"--alias is of one model"):
        with_models(named, ["a", "b"])
