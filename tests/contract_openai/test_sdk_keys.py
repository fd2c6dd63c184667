"""Keys and limits as the SDK meets them: its own exceptions for a key that is wrong, too narrow, or has had enough."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from openai import AuthenticationError, NotFoundError, OpenAI, PermissionDeniedError, RateLimitError

from tests.contract_openai.lines import jsonl, line, sent, started
from tests.front import MODEL, Front, serving
from viiwork.apikeys import Scope
from viiwork.limits import Limits
from viiwork.settings import Settings
from viiwork.store import apikeys
from viiwork.store.opening import make_store

SECRETS: dict[str, str] = {}
HELLO = [{"role": "user", "content": "hi"}]


async def make_keys(settings: Settings) -> None:
    """Before the door opens, since it refuses to ask for keys where there are none."""
    store = make_store(settings, settings.redis.url)
    for name, scopes, limits in (
        ("anna", (Scope.SUBMIT, Scope.READ), Limits()),
        ("bert", (Scope.SUBMIT, Scope.READ), Limits()),
        ("reader", (Scope.READ,), Limits()),
        ("slow", (Scope.SUBMIT, Scope.READ), Limits(interactive_requests_per_minute=1)),
        ("spent", (Scope.SUBMIT, Scope.READ), Limits(monthly_tokens=1)),
    ):
        SECRETS[name] = (await apikeys.create(store, name, scopes=scopes, limits=limits)).secret
    await store.close()


@pytest.fixture(scope="module")
def keyed(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A service that asks for keys."""
    with serving(
        redis_url,
        tmp_path_factory.mktemp("keyed"),
        environ={"VIIWORK_API_KEYS": "on"},
        before=lambda settings: asyncio.run(make_keys(settings)),
        key=lambda: SECRETS["reader"],
    ) as made:
        yield made


@contextmanager
def client(front: Front, secret: str) -> Iterator[OpenAI]:
    """Without retries: what is refused here stays refused."""
    with OpenAI(base_url=f"{front.url}/v1", api_key=secret, max_retries=0, timeout=30) as made:
        yield made


def test_a_key_that_is_none_is_an_authentication_error(keyed: Front) -> None:
    with client(keyed, "sk-nonsense") as sdk, pytest.raises(AuthenticationError) as told:
        sdk.models.list()
    assert (told.value.status_code, told.value.code) == (401, "invalid_api_key") and told.value.request_id


def test_a_key_that_may_not_is_a_permission_error(keyed: Front) -> None:
    with client(keyed, SECRETS["reader"]) as sdk:
        assert [model.id for model in sdk.models.list()] == [MODEL]
        with pytest.raises(PermissionDeniedError) as told:
            sdk.chat.completions.create(model=MODEL, messages=HELLO)  # type: ignore[arg-type]
    assert (told.value.status_code, told.value.code) == (403, "insufficient_scope")


def test_what_is_somebody_elses_is_not_there(keyed: Front) -> None:
    """Files and batches of another tenant; the lists have one's own alone."""
    with client(keyed, SECRETS["anna"]) as anna, client(keyed, SECRETS["bert"]) as bert:
        file, batch = sent(anna, jsonl([line("a")])), started(anna, jsonl([line("a")]))
        for ask in (
            lambda: bert.files.retrieve(file.id),
            lambda: bert.files.content(file.id),
            lambda: bert.files.delete(file.id),
            lambda: bert.batches.retrieve(batch.id),
            lambda: bert.batches.cancel(batch.id),
        ):
            with pytest.raises(NotFoundError):
                ask()
        with pytest.raises(NotFoundError) as told:
            bert.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert told.value.param == "input_file_id"
        assert not list(bert.files.list()) and not list(bert.batches.list())
        assert file.id in [each.id for each in anna.files.list()]


def test_a_limit_is_a_rate_limit_error_that_says_when_to_come_back(keyed: Front) -> None:
    with client(keyed, SECRETS["slow"]) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=4)  # type: ignore[arg-type]
        assert raw.headers["x-ratelimit-limit-requests"] == "1"
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(RateLimitError) as told:
            sdk.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4)  # type: ignore[arg-type]
    assert (told.value.status_code, told.value.code) == (429, "rate_limit_exceeded")
    assert 0 < float(told.value.response.headers["retry-after"]) <= 60


def test_a_months_tokens_are_a_quota(keyed: Front) -> None:
    with client(keyed, SECRETS["spent"]) as sdk, pytest.raises(RateLimitError) as told:
        sdk.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4)  # type: ignore[arg-type]
    assert told.value.code == "insufficient_quota"


def test_no_secret_is_in_the_log(keyed: Front) -> None:
    assert not [name for name, secret in SECRETS.items() if secret in keyed.log()]
