"""What bounds a sender, and how what is left is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from viiwork.allowance import Allowance, Bucket, KeptNow, in_use, lasting, next_month, waiting
from viiwork.api.quota import check_documents
from viiwork.errors import QuotaExceeded, UsageError
from viiwork.jobs import Fault, Lane, TaskName
from viiwork.limits import USUAL_DOCUMENTS, Account, Ceiling, Limits
from viiwork.settings import load_settings
from viiwork.store import Fence
from viiwork.store.accounts import Tab, line, refusal
from viiwork.store.leases import Claim, Verdict
from viiwork_workers.outcome import normalise


def test_a_key_goes_by_its_own_limit_and_by_the_fleets_where_it_has_none() -> None:
    """Its own counts for it alone; the fleet's counts for its tenant, whichever key was used."""
    own = Limits(batch_backlog=500, monthly_tokens="none")
    account = Account(
        "acme", key="key_1", own=own, defaults=Limits(batch_in_flight=3, monthly_tokens=9, batch_backlog=7)
    )
    most = account.ceilings(Lane.BATCH)
    assert most.backlog == Ceiling(500, of_key=True)
    assert most.in_flight == Ceiling(3, of_key=False)
    assert most.monthly_tokens == Ceiling(0, of_key=True)
    assert account.ceilings(Lane.INTERACTIVE).in_flight == Ceiling(0)


def test_nobody_is_limited_who_has_neither_a_key_nor_a_setting() -> None:
    assert line(Account("anna@lab"), Lane.INTERACTIVE) == ""
    assert Account("anna@lab").ceilings(Lane.INTERACTIVE).documents.most == 0


def test_what_a_key_without_limits_uses_is_counted_all_the_same() -> None:
    assert line(Account("acme", key="key_1"), Lane.BATCH) == "key_1 rt0 tt0 ft0 bt0 mt0"


def test_the_interactive_lane_takes_no_folder_from_whoever_has_a_key() -> None:
    """The refusal holds the command to use; the batch lane takes any number."""
    tab = Tab(Account("acme", key="key_1"))
    check_documents(tab, Lane.INTERACTIVE, USUAL_DOCUMENTS, what="documents", command="viiwork analyze --lane batch")
    check_documents(tab, Lane.BATCH, 100_000, what="documents", command="")
    with pytest.raises(UsageError, match="viiwork analyze --lane batch") as refused:
        check_documents(tab, Lane.INTERACTIVE, 1000, what="documents", command="viiwork analyze --lane batch")
    assert (refused.value.code, refused.value.param) == ("too_many_documents", "documents")
    lifted = Tab(Account("acme", key="key_1", own=Limits(interactive_documents="none")))
    check_documents(lifted, Lane.INTERACTIVE, 1000, what="documents", command="")


def test_settings_take_numbers_and_none() -> None:
    told = load_settings({"limits": {"batch_backlog": "none", "monthly_tokens": 7}}).limits
    assert (told.batch_backlog, told.monthly_tokens, told.batch_in_flight) == ("none", 7, None)


@pytest.mark.parametrize("wrong", [0, -1, 1_000_000_001, "many"])
def test_a_limit_of_nothing_or_nonsense_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({"batch_requests_per_minute": wrong})


def test_headers_tell_what_there_is_a_limit_of() -> None:
    left = Allowance(now_ms=0, requests=Bucket.full(60).without(2), in_flight=3)
    assert left.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "2s",
    }


def test_a_bucket_that_owes_tells_zero_and_when_it_will_have_enough() -> None:
    owing = Bucket.full(60).without(90)
    assert (owing.remaining, owing.wait_ms(1), owing.full_in_ms) == (0, 31_000, 90_000)


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0, "0ms"), (120, "120ms"), (8640, "8.64s"), (60_000, "1m0s"), (360_000, "6m0s"), (3_723_000, "1h2m3s")],
)
def test_times_are_told_as_openai_tells_them(ms: int, told: str) -> None:
    assert lasting(ms) == told


def test_people_are_told_times_in_their_own_words() -> None:
    assert [waiting(seconds) for seconds in (0.2, 119, 121, 7300)] == ["1 s", "119 s", "3 min", "3 h"]


@pytest.mark.parametrize(("now", "then"), [((2026, 11, 22), (2026, 12, 1)), ((2027, 12, 31), (2028, 1, 1))])
def test_the_next_month_begins_on_its_first_day(now: tuple[int, int, int], then: tuple[int, int, int]) -> None:
    moment = int(datetime(*now, tzinfo=UTC).timestamp() * 1000)
    assert next_month(moment) == datetime(*then, tzinfo=UTC)


def test_what_is_in_use_is_told_by_lane_and_says_whose_limit_it_is() -> None:
    account = Account(
        "acme", key="key_1", own=Limits(batch_requests_per_minute=60), defaults=Limits(monthly_tokens=100)
    )
    batch = Allowance(now_ms=0, requests=Bucket.full(60), monthly_tokens=40, used_this_month=60)
    told = in_use(account, {Lane.BATCH: batch, Lane.INTERACTIVE: None}, kept=KeptNow())
    assert told.batch.requests_per_minute is not None
    assert (told.batch.requests_per_minute.left, told.batch.requests_per_minute.of) == (60, "key")
    assert told.monthly_tokens is not None
    assert (told.monthly_tokens.most, told.monthly_tokens.left, told.monthly_tokens.of) == (100, 40, "tenant")
    assert told.used_this_month == 60
    assert told.interactive.documents == USUAL_DOCUMENTS


def test_a_document_without_tokens_left_fails_and_is_not_tried_in_vain() -> None:
    """Its row says why; it may be tried again next month."""
    claim = Claim(
        Fence("job_1", 1, "t"), 60.0, "timeout", TaskName.READ, Lane.BATCH, "read", "acme", "an_1", "", "", ""
    )
    error = refusal(-4)
    assert isinstance(error, QuotaExceeded)
    outcome = normalise(error, claim)
    assert outcome.verdict is Verdict.FAILED
    assert isinstance(outcome.result, Fault)
    assert outcome.result.code == "insufficient_quota"
