"""Whose turn it is to load its model."""

from __future__ import annotations

from viiwork.power.loads import HEARD_S, LIMIT_S, Loads
from viiwork.roster import AWAITS_AGAIN


def test_an_engine_loads_from_when_it_was_let_until_it_serves() -> None:
    loads = Loads().let(["gpu0", "gpu1"], now_s=10.0)
    assert loads.loading({}, now_s=11.0) == {"gpu0", "gpu1"}
    states = {"gpu0": "ready", "gpu1": "loading (12 s)", "gpu9": "ready"}
    loads = loads.seen(states, now_s=20.0)
    assert loads.loaded == {"gpu0"}
    assert loads.loading(states, now_s=22.0) == {"gpu1"}


def test_one_that_served_and_does_no_more_waits_for_its_turn_again() -> None:
    """Its worker has died; or its card was lost, whose driver has forgotten the cap."""
    loads = Loads().let(["gpu0", "gpu1", "gpu2"], now_s=10.0)
    loads = loads.seen({"gpu0": "", "gpu1": "ready", "gpu2": "loading"}, now_s=15.0)
    after = loads.seen({"gpu1": "ready", "gpu2": "waiting for its card, which is gone"}, now_s=15.0)
    assert set(after.begun) == {"gpu1"}
    assert after.loading({}, now_s=11.0) == frozenset()


def test_one_whose_guard_waits_gets_its_turn_anew_though_nobody_saw_it_serve() -> None:
    """It served for less than a beat. What is told may be some seconds old: that alone takes no new turn away."""
    loads = Loads().let(["gpu0"], now_s=10.0)
    states = {"gpu0": AWAITS_AGAIN}
    assert set(loads.seen(states, now_s=10.0 + HEARD_S).begun) == {"gpu0"}
    assert not loads.seen(states, now_s=11.0 + HEARD_S).begun


def test_one_that_was_given_up_or_takes_too_long_holds_nobody_up() -> None:
    loads = Loads().let(["gpu0", "gpu1"], now_s=10.0)
    assert loads.loading({"gpu0": "failed: it cannot be started"}, now_s=11.0) == {"gpu1"}
    assert loads.loading({}, now_s=10.0 + LIMIT_S) == frozenset()


def test_one_that_may_run_no_more_waits_for_its_turn_again() -> None:
    loads = Loads().let(["gpu0", "gpu1"], now_s=10.0).seen({"gpu0": "", "gpu1": ""}, now_s=15.0).only(["gpu1"])
    assert (set(loads.begun), loads.loaded) == ({"gpu1"}, {"gpu1"})
    again = loads.let(["gpu0", "gpu1"], now_s=20.0)
    assert again.begun == {"gpu0": 20.0, "gpu1": 10.0}
