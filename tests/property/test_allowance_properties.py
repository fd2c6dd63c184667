"""The buckets in Redis against the model of them in Python: the same to the last 60,000th, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.allowance import MINUTE, Bucket
from viiwork.store.scripts import library

STEPS = """
local key, most, now, answers = KEYS[1] .. 'b', tonumber(ARGV[1]), 0, {}
redis.call('DEL', key)
for at = 2, #ARGV, 2 do
  now = now + tonumber(ARGV[at])
  local amount = tonumber(ARGV[at + 1])
  local level = level_of(key, most, now)
  if amount <= 0 or level >= amount * MINUTE then fill_to(key, most, level - amount * MINUTE, now) end
  redis.call('PERSIST', key)
  answers[#answers + 1] = string.format('%.0f', level_of(key, most, now))
end
return answers
"""
MONTHS = "local out = {} for i = 1, #ARGV do out[i] = month_of(tonumber(ARGV[i])) end return out"
LIBRARY = library()
steps = st.lists(st.tuples(st.integers(-5_000, 200_000), st.integers(-3_000, 3_000)), max_size=40)


@given(most=st.one_of(st.integers(1, 5_000), st.integers(1, 1_000_000_000)), taken=steps)
@settings(deadline=None, max_examples=150)
def test_a_bucket_is_as_its_model_says(most: int, taken: list[tuple[int, int]]) -> None:
    """Time passes or is put back, and amounts are taken if they are there, or given back."""
    model, now, seen, expected = Bucket.full(most), 0, 0, []
    for passed_ms, amount in taken:
        now += passed_ms
        if amount <= 0 or model.after(now - seen).level >= amount * MINUTE:
            model, seen = model.after(now - seen).without(amount), now
        expected.append(model.after(now - seen).level)
    client = fakeredis.FakeRedis(decode_responses=True)
    answers = client.eval(LIBRARY + STEPS, 1, "p:", most, *(number for step in taken for number in step))
    assert [int(answer) for answer in answers] == expected


@given(moments=st.lists(st.integers(0, 4_102_444_800_000), min_size=1, max_size=50))
@settings(deadline=None, max_examples=50)
def test_months_are_those_of_the_calendar_in_utc(moments: list[int]) -> None:
    """Until the year 2100."""
    client = fakeredis.FakeRedis(decode_responses=True)
    told = client.eval(LIBRARY + MONTHS, 1, "p:", *moments)
    assert told == [f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m}" for moment in moments]


@pytest.mark.parametrize("day", [(2026, 12, 31), (2027, 1, 1), (2028, 2, 29), (2028, 3, 1), (2100, 2, 28)])
def test_the_edges_of_months(day: tuple[int, int, int]) -> None:
    moment = int(datetime(*day, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)
    client = fakeredis.FakeRedis(decode_responses=True)
    assert client.eval(LIBRARY + MONTHS, 1, "p:", moment) == [f"{day[0]:04d}-{day[1]:02d}"]
