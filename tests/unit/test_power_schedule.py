"""Which budget holds when: hours over midnight, days, overlaps, and the two odd nights of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from viiwork.errors import SettingsError
from viiwork.hours import DAYS, Hours, read_hours
from viiwork.jobs import Lane
from viiwork.power.schedule import Regime, Schedule, in_force, next_change, schedule_of
from viiwork.power.zone import zone_of
from viiwork.settings import load_settings
from viiwork.variables import passed_over

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"when": "22:00-07:00", "lanes": ["batch"], "host_watts": 1400, "cap_watts": 180}
AT_NIGHT = Regime(frozenset({Lane.BATCH}), 1400, 180)
BY_DAY = Regime(frozenset(Lane), 1000, None)


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a settings file."""
    monkeypatch.delenv("VIIWORK_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(*entries: dict[str, object], zone: ZoneInfo = BERLIN, **power: object) -> Schedule:
    settings = load_settings({"power": {"host_watts": 1000, **power}, "schedule": list(entries)})
    return schedule_of(settings.schedule, settings.power, zone=zone)


def at(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    ("clock", "night"),
    [("21:59:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59:59", True), ("07:00", False)],
)
def test_hours_over_midnight_begin_and_end_to_the_second(clock: str, night: bool) -> None:
    assert in_force(made(NIGHT), at(f"2026-06-10T{clock}")) == (AT_NIGHT if night else BY_DAY)


def test_what_an_entry_leaves_out_is_as_in_the_table_power() -> None:
    held = in_force(made({"when": "00:00-24:00", "cap_watts": 150}, cap_watts=200), at("2026-06-10T12:00"))
    assert held == Regime(frozenset(Lane), 1000, 150)
    assert in_force(made(), at("2026-06-10T12:00")) == BY_DAY


def test_of_two_entries_that_hold_at_once_the_first_wins_as_a_whole() -> None:
    plan = made({"when": "23:00-01:00", "host_watts": 500}, NIGHT)
    assert in_force(plan, at("2026-06-10T22:30")) == AT_NIGHT
    assert in_force(plan, at("2026-06-10T23:30")) == Regime(frozenset(Lane), 500, None)


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    """2026-06-12 is a Friday."""
    plan = made({**NIGHT, "days": ["fri"]})
    assert in_force(plan, at("2026-06-12T06:00")) == BY_DAY
    assert in_force(plan, at("2026-06-12T23:00")) == AT_NIGHT
    assert in_force(plan, at("2026-06-13T06:00")) == AT_NIGHT
    assert in_force(plan, at("2026-06-13T23:00")) == BY_DAY
    assert next_change(plan, at("2026-06-13T08:00")) == at("2026-06-19T22:00")


def test_the_zone_of_the_schedule_counts_and_not_that_of_the_moment() -> None:
    assert in_force(made(NIGHT), datetime(2026, 6, 10, 20, 0, tzinfo=UTC)) == AT_NIGHT
    assert in_force(made(NIGHT), datetime(2026, 12, 10, 20, 0, tzinfo=UTC)) == BY_DAY


def test_the_next_change_is_the_end_of_what_holds() -> None:
    assert next_change(made(NIGHT), at("2026-06-10T12:00")) == at("2026-06-10T22:00")
    assert next_change(made(NIGHT), at("2026-06-10T22:00")) == at("2026-06-11T07:00")


def test_where_nothing_ever_changes_there_is_no_next_change() -> None:
    assert next_change(made(), at("2026-06-10T12:00")) is None
    assert next_change(made({"when": "00:00-24:00"}), at("2026-06-10T12:00")) is None


def test_a_night_in_which_the_clock_is_put_forward_is_an_hour_shorter() -> None:
    """In Berlin on 2026-03-29 at 02:00; hours that lie in the gap do not come."""
    begun = at("2026-03-28T22:00")
    ended = next_change(made(NIGHT), begun)
    assert ended == at("2026-03-29T07:00")
    assert ended.astimezone(UTC) - begun.astimezone(UTC) == timedelta(hours=8)
    gap = made({"when": "02:00-03:00", "cap_watts": 150})
    assert next_change(gap, at("2026-03-28T12:00")) == at("2026-03-30T02:00")


def test_hours_that_begin_in_the_gap_begin_when_the_clock_is_put_forward() -> None:
    begun = next_change(made({"when": "02:30-05:00", "cap_watts": 150}), at("2026-03-28T12:00"))
    assert begun == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_a_night_in_which_the_clock_is_put_back_is_an_hour_longer() -> None:
    """In Berlin on 2026-10-25 at 03:00."""
    begun = at("2026-10-24T22:00")
    ended = next_change(made(NIGHT), begun)
    assert ended is not None
    assert ended.astimezone(UTC) - begun.astimezone(UTC) == timedelta(hours=10)


def test_hours_that_the_clock_repeats_count_twice() -> None:
    plan = made({"when": "01:00-02:30", "cap_watts": 150})
    ends = [next_change(plan, at("2026-10-25T01:00"))]
    for _ in range(3):
        assert ends[-1] is not None
        ends.append(next_change(plan, ends[-1]))
    wanted = [at("2026-10-25T02:30"), at("2026-10-25T02:00", fold=1), at("2026-10-25T02:30", fold=1)]
    assert [end and end.astimezone(UTC) for end in ends[:3]] == [each.astimezone(UTC) for each in wanted]


CLOCK = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
CLOCK_SET = [
    ("Europe/Berlin", 3, 28),
    ("Europe/Berlin", 10, 24),
    ("Africa/Cairo", 4, 23),  # at midnight
    ("Africa/Cairo", 10, 29),
    ("Australia/Lord_Howe", 4, 4),  # by half an hour
    ("Asia/Kolkata", 6, 10),
]
ENTRY = st.builds(
    lambda start, end, days, cap: {"when": f"{start}-{end}", "days": days, "cap_watts": cap},
    CLOCK,
    CLOCK,
    st.lists(st.sampled_from(DAYS), max_size=3),
    st.integers(100, 104),
).filter(lambda entry: len(set(str(entry["when"]).split("-"))) == 2)


@trials(max_examples=60, deadline=None)
@given(st.lists(ENTRY, min_size=1, max_size=4), st.sampled_from(CLOCK_SET), st.integers(0, 2879))
def test_the_next_change_is_the_first_moment_at_which_something_else_holds(
    entries: list[dict[str, object]], day: tuple[str, int, int], minutes: int
) -> None:
    """Found in steps of seven minutes over two days in which the clock is set."""
    zone, month, date = day
    plan = made(*entries, zone=ZoneInfo(zone))
    now = datetime(2026, month, date, tzinfo=UTC) + timedelta(minutes=minutes)
    told = next_change(plan, now)
    until = min(told or now + timedelta(days=8), now + timedelta(days=2))
    steps = int((until - now) / timedelta(minutes=7))
    assert all(in_force(plan, now + timedelta(minutes=7 * step)) == in_force(plan, now) for step in range(steps))
    if told is not None:
        assert in_force(plan, told) != in_force(plan, now)
        assert in_force(plan, told - timedelta(seconds=1)) == in_force(plan, now)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        in_force(made(NIGHT), datetime(2026, 6, 10))


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[[schedule]]\nwhen = "at night"\n', "setting schedule.when, entry 1: 'at night' is no span of hours"),
        ('[[schedule]]\nwhen = "22:00-25:00"\n', "schedule.when, entry 1: '22:00-25:00' goes past"),
        ('[[schedule]]\nwhen = "24:00-07:00"\n', "schedule.when, entry 1: '24:00-07:00' goes past"),
        ('[[schedule]]\nwhen = "22:61-07:00"\n', "schedule.when, entry 1"),
        ('[[schedule]]\nwhen = "07:00-07:00"\n', "the whole day is 00:00-24:00"),
        ('[[schedule]]\nwhen = "1:00-2:00"\n[[schedule]]\nlanes = ["batch"]\n', "schedule.when, entry 2: field req"),
        ('[[schedule]]\nwhen = "1:00-2:00"\nlanes = []\n', "schedule.lanes, entry 1"),
        ('[[schedule]]\nwhen = "1:00-2:00"\nlanes = ["bach"]\n', "schedule.lanes, entry 1"),
        ('[[schedule]]\nwhen = "1:00-2:00"\ndays = ["sunday"]\n', "schedule.days, entry 1"),
        ('[[schedule]]\nwhen = "1:00-2:00"\nhost_watts = -1\n', "schedule.host_watts, entry 1"),
        ('[[schedule]]\nwhen = "1:00-2:00"\ncap_wats = 1\n', "Did you mean schedule.cap_watts?"),
        ('[schedule]\nwhen = "1:00-2:00"\n', "setting schedule: "),
        ('[power]\ntimezone = "Europe/Berlni"\n', "setting power.timezone: this computer knows no time zone"),
        ('[power]\ntimezone = "../../etc/passwd"\n', "setting power.timezone"),
        ("[power]\nsupply_efficiency = 90\n", "setting power.supply_efficiency"),
        ("[power]\nhost_watts = 0\n", "setting power.host_watts"),
        ("[power]\nco2_g_per_kwh = -1\n", "setting power.co2_g_per_kwh"),
    ],
)
def test_a_mistake_is_named_with_its_entry_and_field(empty_place: Path, toml: str, said: str) -> None:
    (empty_place / "viiwork.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [('[{"when": "x"}]', "variable VIIWORK_SCHEDULE, when, entry 1: 'x' is"), ("oops", "VIIWORK_SCHEDULE")],
)
def test_a_mistake_in_the_variable_is_named_with_it(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("VIIWORK_SCHEDULE", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert said in str(caught.value)


def test_the_variable_holds_in_place_of_the_files_list(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_place / "viiwork.toml").write_text('[[schedule]]\nwhen = "1:00-2:00"\n[[schedule]]\nwhen = "3:00-4:00"\n')
    assert [entry.when for entry in load_settings().schedule] == ["1:00-2:00", "3:00-4:00"]
    monkeypatch.setenv("VIIWORK_SCHEDULE", '[{"when": "5:00-6:00"}]')
    assert [entry.when for entry in load_settings().schedule] == ["5:00-6:00"]


def test_hours_are_read_as_minutes() -> None:
    assert read_hours(" 9:05-24:00 ") == Hours(545, 1440)
    assert read_hours("22:00-00:00").over_midnight


def test_the_hosts_zone_counts_where_the_settings_name_none(tmp_path: Path) -> None:
    """By `TZ`, by its file, or UTC; each with its summer time where it has one."""
    link = tmp_path / "localtime"
    assert zone_of(None, environ={}, local_time=link) is UTC
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert str(zone_of(None, environ={}, local_time=link)) == "Europe/Berlin"
    assert str(zone_of(None, environ={"TZ": ":Asia/Tokyo"}, local_time=link)) == "Asia/Tokyo"
    assert str(zone_of(None, environ={"TZ": "EST5EDT,M3.2.0,M11.1.0"}, local_time=link)) == "Europe/Berlin"
    assert str(zone_of("Europe/Paris", environ={"TZ": "Asia/Tokyo"}, local_time=link)) == "Europe/Paris"
    with pytest.raises(SettingsError, match=r"power\.timezone.*tzdata"):
        zone_of("Europe/Berlni", environ={})


def test_the_schedule_has_one_variable_and_its_fields_have_none() -> None:
    (line,) = passed_over(["VIIWORK_SCHEDULE", "VIIWORK_SCHEDULE_WHEN", "VIIWORK_POWER_HOST_WATTS"])
    assert "VIIWORK_SCHEDULE_WHEN is no setting" in line
