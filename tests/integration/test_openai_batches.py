"""Batches by the official client, through a real door, a real reader and a real engine's worker, up to their files."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.conftest import remove_keys
from tests.door import Door
from tests.receiver import Receiver
from tests.workers import Fleet
from viiwork.settings import Settings, load_settings
from viiwork.store.opening import make_store

CHAT = "/v1/chat/completions"
OVER = ("failed", "completed", "expired", "cancelled")
BOUND_S = 60
WHO = {"x-viiwork-submitter": "anna@lab"}
OPEN = {"VIIWORK_CALLBACKS_ALLOW": '["127.0.0.0/8"]'}


class House:
    """A door, a reader and an engine's worker, which may be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clients: list[OpenAI] = []
        self.http = httpx.Client(headers=WHO, timeout=BOUND_S, trust_env=False)
        self.fleet = Fleet(settings)
        self.fleet.start("reader0", "gpu0")
        self.door = Door(settings, **OPEN)
        self.client = self.of("anna@lab")
        until("the workers", lambda: len(self.get("/v1/fleet")["workers"]) == 2)

    def of(self, submitter: str) -> OpenAI:
        headers = {"x-viiwork-submitter": submitter}
        made = OpenAI(base_url=f"{self.door.url}/v1", api_key="none", max_retries=0, default_headers=headers)
        self._clients.append(made)
        return made

    def get(self, path: str) -> Any:
        return self.http.get(f"{self.door.url}{path}").json()

    def restart(self) -> None:
        """SIGKILL to everybody, and a new life."""
        self.fleet.kill("reader0", "gpu0")
        self.door.process.kill()
        self.door.process.wait()
        self.door = Door(self.settings, **OPEN)
        self.client = self.of("anna@lab")
        self.fleet.start("reader0", "gpu0")

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.http.close()
        self.fleet.close()
        self.door.__exit__()
        asyncio.run(_clean(self.settings))


async def _clean(settings: Settings) -> None:
    store = make_store(settings, settings.redis.url)
    await remove_keys(store)
    await store.close()


@pytest.fixture(scope="module")
def house(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = f"t{secrets.token_hex(4)}"
    settings = load_settings(
        {
            "fleet": {"name": name, "state_dir": str(tmp_path_factory.mktemp("state"))},
            "redis": {"url": redis_url, "prefix": f"viiwork-test:{name}:"},
            "engine": {"kind": "noop", "slots": 4},
            "flower": {"enabled": False},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 0.0},
        }
    )
    made = House(settings)
    yield made
    made.close()


@pytest.fixture
def client(house: House) -> OpenAI:
    return house.client


def until(what: str, check: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND_S
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def line(custom_id: str, *, say: str = "hello", url: str = CHAT, **body: Any) -> bytes:
    said = {"model": "noop", "messages": [{"role": "user", "content": say}]} | body
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": said}).encode()


def begun(client: OpenAI, lines: Sequence[bytes] | bytes, *, endpoint: str = CHAT, **others: Any) -> Batch:
    content = lines if isinstance(lines, bytes) else b"\n".join(lines) + b"\n"
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    window = others.pop("completion_window", "24h")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window=window,
        **others,
    )


def ended(client: OpenAI, batch: Batch) -> Batch:
    found: list[Batch] = []

    def over() -> bool:
        found.append(client.batches.retrieve(batch.id))
        return found[-1].status in OVER

    until(f"{batch.id} to end", over)
    return found[-1]


def lines_of(client: OpenAI, file: str | None) -> dict[str, Any]:
    """The lines of a file by their ids; each is there once."""
    assert file is not None
    parsed = [json.loads(raw) for raw in client.files.content(file).read().splitlines()]
    by_id = {one["custom_id"]: one for one in parsed}
    assert len(by_id) == len(parsed)
    return by_id


def test_a_batch_from_upload_to_output_and_error_files(client: OpenAI) -> None:
    lines = [line(f"good-{n}") for n in range(30)] + [line("hot", temperature=5), line("streamed", stream=True)]
    batch = begun(client, lines, metadata={"project": "x"})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHAT)
    assert (batch.completion_window, batch.metadata) == ("24h", {"project": "x"})
    assert batch.expires_at == batch.created_at + 86_400
    done = ended(client, batch)
    assert (done.status, done.errors, done.model) == ("completed", None, "noop")
    counts = done.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (32, 30, 2)
    assert done.in_progress_at and done.finalizing_at and done.completed_at
    assert not (done.failed_at or done.expired_at or done.cancelled_at)
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    output = lines_of(client, done.output_file_id)
    assert set(output) == {f"good-{n}" for n in range(30)}
    said = output["good-7"]
    assert (said["error"], said["response"]["status_code"]) == (None, 200)
    assert said["response"]["body"]["object"] == "chat.completion"
    assert said["response"]["body"]["choices"][0]["message"]["content"] == "no-op"
    errors = lines_of(client, done.error_file_id)
    assert set(errors) == {"hot", "streamed"}
    assert errors["hot"]["response"]["status_code"] == 400
    assert errors["hot"]["response"]["body"]["error"]["message"].startswith("temperature:")
    for file in (done.output_file_id, done.error_file_id):
        shown = client.files.retrieve(file or "")
        assert (shown.purpose, shown.filename.startswith(batch.id)) == ("batch_output", True)


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "hello", "max_tokens": 4}, "text_completion"),
        ("/v1/embeddings", {"input": ["hello"]}, "list"),
    ],
)
def test_every_endpoint_answers_as_itself(client: OpenAI, endpoint: str, body: dict[str, Any], kind: str) -> None:
    said = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "noop"} | body}
    done = ended(client, begun(client, [json.dumps(said).encode()], endpoint=endpoint))
    assert lines_of(client, done.output_file_id)["a"]["response"]["body"]["object"] == kind


def test_a_line_may_ask_for_several_answers(client: OpenAI) -> None:
    """They are one line, which counts once."""
    lines = [line("three", n=3), line("one"), line("two", n=2, seed=1)]
    done = ended(client, begun(client, lines))
    counts = done.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (3, 3, 0)
    output = lines_of(client, done.output_file_id)
    told = {name: len(one["response"]["body"]["choices"]) for name, one in output.items()}
    assert told == {"three": 3, "one": 1, "two": 2}


def test_a_batch_of_which_every_line_failed_is_completed(client: OpenAI) -> None:
    done = ended(client, begun(client, [line("a", temperature=5)]))
    assert (done.status, done.output_file_id) == ("completed", None)
    assert set(lines_of(client, done.error_file_id)) == {"a"}


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (b"", "empty_file", None),
        (b"\n\n", "empty_file", None),
        (line("a") + b'\n{"custom_id": "\xff"}\n', "invalid_json_line", 2),
        (line("a") + b"\n\n{broken\n", "invalid_json_line", 3),
        (line("a", say="x" * 17 * 1024 * 1024), "invalid_json_line", 1),
        (line("a") + b"\n" + line("b") + b"\n" + line("a"), "duplicate_custom_id", 3),
        (line("a", url="/v1/embeddings"), "url_mismatch", 1),
        (line("a") + b"\n" + line("b", model="other"), "model_mismatch", 2),
        (line("a", model="nobody-has-it"), "model_not_found", None),
        (b"\n".join(line(str(n)) for n in range(50_001)), "too_many_tasks", 50_001),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_file_fails_with_its_code(client: OpenAI, content: bytes, code: str, number: int | None) -> None:
    failed = ended(client, begun(client, content))
    assert (failed.status, failed.output_file_id, failed.error_file_id) == ("failed", None, None)
    assert failed.failed_at is not None
    assert failed.errors is not None and failed.errors.data is not None
    (fault,) = failed.errors.data
    assert (fault.code, fault.line) == (code, number)


def test_what_cannot_be_a_batch_is_refused_at_once(house: House, client: OpenAI) -> None:
    lines = client.files.create(file=("a.jsonl", line("a")), purpose="batch").id
    document = client.files.create(file=("a.txt", b"text"), purpose="user_data").id
    good = {"input_file_id": lines, "endpoint": CHAT, "completion_window": "24h"}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"input_file_id": document}, "input_file_id"),
        ({"input_file_id": None}, "input_file_id"),
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
        ({"priority": "urgent"}, "priority"),
        ({"callback_url": "http://169.254.169.254/"}, "callback_url"),
    ]
    for said, param in bad:
        told = house.http.post(f"{house.door.url}/v1/batches", json=good | said)
        assert (told.status_code, told.json()["error"]["param"]) == (400, param), said
    other = house.of("mallory@elsewhere")
    for one in (lines, "file-" + "0" * 26):  # somebody else's, and nobody's: in the same words
        with pytest.raises(openai.NotFoundError, match="input_file_id: there is no such file of yours"):
            other.batches.create(input_file_id=one, endpoint=CHAT, completion_window="24h")  # type: ignore[arg-type]


def test_lists_are_paged_and_only_ones_own(house: House) -> None:
    mine = house.of("lister@lab")
    made = [begun(mine, [line("a")]).id for _ in range(5)]
    assert [one.id for one in mine.batches.list(limit=2)] == made[::-1]
    page = mine.batches.list(limit=2)
    assert (page.has_more, page.first_id, page.last_id) == (True, made[4], made[3])  # type: ignore[attr-defined]
    other = house.of("mallory@elsewhere")
    assert other.batches.list().data == []
    for ask in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            ask(made[0])
    for path in ("pause", "resume", "output"):
        method = house.http.get if path == "output" else house.http.post
        told = method(f"{house.door.url}/v1/batches/{made[0]}/{path}", headers={"x-viiwork-submitter": "mallory"})
        assert told.status_code == 404


def test_cancelled_lines_are_told_and_finished_ones_kept(house: House, client: OpenAI) -> None:
    lines = [line("quick"), *(line(f"slow-{n}", say="pause 50 s") for n in range(20))]
    batch = begun(client, lines)
    until("the quick one", lambda: (client.batches.retrieve(batch.id).request_counts or none).completed == 1)
    stopped = client.batches.cancel(batch.id)
    assert stopped.status in ("cancelling", "cancelled")
    assert stopped.cancelling_at is not None
    done = ended(client, batch)
    assert (done.status, done.cancelled_at is not None) == ("cancelled", True)
    assert set(lines_of(client, done.output_file_id)) == {"quick"}
    errors = lines_of(client, done.error_file_id)
    assert len(errors) == 20
    assert {one["error"]["code"] for one in errors.values()} == {"batch_cancelled"}
    counts = done.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (21, 1, 20)
    assert client.batches.cancel(batch.id).status == "cancelled"


none = type("None_", (), {"completed": 0})()


def test_what_has_ended_cannot_be_cancelled(client: OpenAI) -> None:
    done = ended(client, begun(client, [line("a")]))
    with pytest.raises(openai.ConflictError) as error:
        client.batches.cancel(done.id)
    assert error.value.response.headers["x-should-retry"] == "false"


def test_what_is_not_done_in_time_expires_and_the_rest_stays(client: OpenAI) -> None:
    """A machine too busy to run the quick one within that time gets longer."""
    lines = [line("quick"), line("slow", say="pause 50 s")]
    for deadline_s in (6, 30):
        done = ended(client, begun(client, lines, extra_body={"deadline_s": deadline_s, "priority": "high"}))
        if done.output_file_id:
            break
    assert (done.status, done.expired_at is not None) == ("expired", True)
    assert (done.expires_at or 0) - done.created_at in (deadline_s, deadline_s + 1)
    assert set(lines_of(client, done.output_file_id)) == {"quick"}
    errors = lines_of(client, done.error_file_id)
    assert errors["slow"]["error"]["code"] == "batch_expired"
    assert done.to_dict()["priority"] == "high"


def begun_in_part(client: OpenAI, *, pause_s: float) -> Batch:
    """One of 40 lines that take so long each, of which some have their answer."""
    lines = [line(f"line-{n}", say=f"pause {pause_s} s") for n in range(40)]
    batch = begun(client, lines, completion_window="2h")
    until("some lines", lambda: (client.batches.retrieve(batch.id).request_counts or none).completed > 3)
    return batch


def test_a_batch_is_paused_read_in_part_and_resumed(house: House, client: OpenAI) -> None:
    """Where a busy machine had run most of it before it could be paused, its lines take longer."""
    for pause_s in (0.2, 2):
        batch = begun_in_part(client, pause_s=pause_s)
        assert batch.expires_at == batch.created_at + 7200
        url = f"{house.door.url}/v1/batches/{batch.id}"
        paused, told = house.http.post(f"{url}/pause"), house.http.get(f"{url}/output")
        part = [json.loads(raw)["custom_id"] for raw in told.text.splitlines()]
        if len(part) < 30:
            break
    assert paused.json()["paused"]
    assert len(part) == int(told.headers["x-viiwork-after"])
    assert 3 < len(part) < 40
    assert not house.http.post(f"{url}/resume").json()["paused"]
    assert ended(client, batch).status == "completed"
    rest = house.http.get(f"{url}/output?after={told.headers['x-viiwork-after']}").text
    ids = [*part, *(json.loads(raw)["custom_id"] for raw in rest.splitlines())]
    assert sorted(ids) == sorted(f"line-{n}" for n in range(40))
    assert house.http.post(f"{url}/pause").status_code == 409


def test_the_input_may_be_removed_while_the_batch_runs(client: OpenAI) -> None:
    batch = begun(client, [line(f"line-{n}") for n in range(50)])
    assert client.files.delete(batch.input_file_id).deleted
    assert ended(client, batch).status == "completed"


def test_the_same_request_under_its_key_makes_one_batch(house: House) -> None:
    mine = house.of("once@lab")
    file = mine.files.create(file=("a.jsonl", line("a")), purpose="batch").id
    made = {
        mine.batches.create(
            input_file_id=file, endpoint=CHAT, completion_window="24h", extra_headers={"Idempotency-Key": "k"}
        ).id
        for _ in range(2)
    }
    assert [one.id for one in mine.batches.list()] == list(made)


def test_what_it_writes_is_kept_as_long_as_it_says(client: OpenAI) -> None:
    kept = {"anchor": "created_at", "seconds": 7200}
    done = ended(client, begun(client, [line("a")], output_expires_after=kept))
    output = client.files.retrieve(done.output_file_id or "")
    assert output.expires_at == output.created_at + 7200


def test_each_end_is_told_in_the_form_that_the_client_unwraps(house: House) -> None:
    mine = house.of("told@lab")
    headers = {"x-viiwork-submitter": "told@lab"}
    with Receiver(200) as receiver:
        endpoints = f"{house.door.url}/v1/callbacks/endpoints"
        shown = house.http.post(endpoints, json={"url": receiver.url}, headers=headers).json()
        slow = line("b", say="pause 50 s")
        made = {
            begun(mine, [line("a")]).id: "batch.completed",
            begun(mine, b"{").id: "batch.failed",
            begun(mine, [slow], extra_body={"deadline_s": 1}).id: "batch.expired",
        }
        stopped = begun(mine, [slow])
        mine.batches.cancel(stopped.id)
        made[stopped.id] = "batch.cancelled"
        until("four callbacks", lambda: len({one.id for one in receiver.heard}) == 4)
    heard = [mine.webhooks.unwrap(one.body, one.headers, secret=shown["secret"]) for one in receiver.heard]
    assert {event.data.id: event.type for event in heard} == made  # type: ignore[union-attr]
    assert {event.object for event in heard} == {"event"}
    assert json.loads(receiver.heard[0].body)["data"].keys() == {"id"}


def test_a_batch_survives_the_death_of_everybody(house: House) -> None:
    """Door, reader and engine's worker are killed while its lines are taken in and run."""
    lines = [line(f"line-{n}") for n in range(800)]
    batch = begun(house.client, lines)
    until("its lines", lambda: house.client.batches.retrieve(batch.id).status != "validating")
    house.restart()
    done = ended(house.client, batch)
    counts = done.request_counts
    assert counts is not None
    assert (done.status, counts.total, counts.completed) == ("completed", 800, 800)
    assert set(lines_of(house.client, done.output_file_id)) == {f"line-{n}" for n in range(800)}
    assert done.error_file_id is None


def test_nothing_of_a_batch_lies_about_once_it_and_its_files_are_deleted(house: House, tmp_path: Path) -> None:
    mine = house.of("tidy@lab")
    done = ended(mine, begun(mine, [line("a"), line("b", temperature=5)]))
    headers = {"x-viiwork-submitter": "tidy@lab"}
    analysis = f"an_{done.id.partition('_')[2]}"
    told = house.http.delete(f"{house.door.url}/v1/analyses/{analysis}", headers=headers)
    assert told.status_code in (200, 202), told.text
    assert [one.id for one in mine.batches.list()] == []
    assert [one.purpose for one in mine.files.list()] == ["batch"]
    with pytest.raises(openai.APIStatusError, match="deleted") as gone:
        mine.batches.retrieve(done.id)
    assert (gone.value.status_code, gone.value.code) == (410, "deleted")
