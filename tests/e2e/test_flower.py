"""Flower as `up` starts it, through its own interface, on real workers: it must tell what is true, and no secrets."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from celery.events import EventReceiver

from tests.door import Door
from tests.flowering import LONG, Page, as_check, endless, shown, stands, with_flower
from tests.ports import free_port
from tests.workers import Fleet, clients, drop_connections, eventually, make_job, ready
from viiwork.fleet.plan import FLOWER_USER
from viiwork.jobs import Job, Lane, Settle, State, TaskName, child_id, new_id
from viiwork.queues import lane_queue, make_app
from viiwork.settings import Settings
from viiwork.store import Store, apikeys, embedded
from viiwork.store.endpoint import broker, broker_url
from viiwork.work import AnalysisTask, ReadInput

pytestmark = pytest.mark.slow

HOST = socket.gethostname()
SECRET_TEXT = "Xylophonebrass"
SECRET_NAME = "Quartzletter"
CONTROLS = ("pool/grow", "pool/shrink", "pool/restart", "pool/autoscale")


class Listening(EventReceiver):  # type: ignore[misc] # celery is untyped
    """Says when it does: what is published before is lost."""

    def __init__(self, *told: Any, **options: Any) -> None:
        super().__init__(*told, **options)
        self.listens = threading.Event()

    def on_consume_ready(self, *told: Any, **options: Any) -> None:
        super().on_consume_ready(*told, **options)
        self.listens.set()


class Ear:
    """Hears every event that any worker of the fleet sends."""

    def __init__(self, settings: Settings) -> None:
        self.events: list[dict[str, Any]] = []
        server = broker(settings.redis.url)
        self._app = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
        self._connection = self._app.connection_for_read()
        self._receiver = Listening(self._connection, handlers={"*": self.events.append}, app=self._app)
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"limit": None, "timeout": None})
        self._thread.start()
        assert self._receiver.listens.wait(30), "it does not listen"

    def close(self) -> None:
        self._receiver.should_stop = True
        self._thread.join(timeout=10)
        self._connection.release()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Simulated cards with four slots, and Flower on a free port."""
    return with_flower(settings)


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    """Starts Flower as often as a test likes; whatever still runs at the end is ended."""
    pages: list[Page] = []

    def start(settings: Settings, **options: Any) -> Page:
        pages.append(Page(settings, **options))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


@pytest.fixture
def page(open_page: Callable[..., Page], settings: Settings) -> Page:
    return open_page(settings).wait()


@pytest.fixture
def ear(settings: Settings) -> Iterator[Ear]:
    listening = Ear(settings)
    yield listening
    listening.close()


async def test_each_hint_is_shown_as_what_it_was(fleet: Fleet, real_store: Store, page: Page) -> None:
    """SUCCESS, FAILURE with its code, and REJECTED for a stale hint."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    good, bad = job(text="hello"), job(text="word " * 20_000, lane=Lane.INTERACTIVE)
    await real_store.submit([good, bad])
    await shown(page, f"{good.id}.1.1", "SUCCESS")
    await shown(page, f"{bad.id}.1.1", "FAILURE")
    task = page.get(f"/api/task/info/{bad.id}.1.1")
    assert task["exception"] == "failed: context_length"
    assert task["args"] == f"('{bad.id}', 'interactive', 'sim')"
    assert not task["traceback"]
    assert task["worker"] == f"gpu0@{HOST}"

    await publish_again(real_store, good, n=2)
    await shown(page, f"{good.id}.1.2", "REJECTED")
    assert (await real_store.job(good.id)).state is State.SUCCEEDED


async def test_revoke_cancels_what_runs_and_what_waits(fleet: Fleet, real_store: Store, page: Page) -> None:
    """With and without `terminate`; the slot is free at once, and Flower says REVOKED."""
    fleet.start("gpu0", module="tests.endless")
    await ready(real_store, 1)
    running = [endless(n, lane=Lane.INTERACTIVE) for n in range(4)]
    await real_store.submit(running)
    for one in running:
        await shown(page, f"{one.id}.1.1", "STARTED")
    waiting = [endless(n, lane=Lane.INTERACTIVE) for n in range(4, 8)]
    await real_store.submit(waiting)

    for number, one in enumerate((waiting[0], waiting[3], running[3], running[2])):
        page.revoke(f"{one.id}.1.1", terminate=number % 2 == 0)
        await stands(real_store, one, State.CANCELLED)
    for one in running[2:]:
        await shown(page, f"{one.id}.1.1", "REVOKED")
    await stands(real_store, waiting[1], State.RUNNING)
    assert (await real_store.job(running[0].id)).state is State.RUNNING, "it has the slot of a revoked job"
    await shown(page, f"{waiting[0].id}.1.1", "REVOKED")
    for one in (*running[:2], *waiting[1:3]):
        await real_store.cancel(one.id)


async def test_workers_tell_what_they_are_and_what_they_do(fleet: Fleet, real_store: Store, page: Page) -> None:
    """Model, engine, slots, jobs in flight and backlog a lane: in the API, on the page, and on the broker's page."""
    fleet.start("gpu0", "reader0")
    await ready(real_store, 2)
    await real_store.submit([job(text=f"{n} {LONG}") for n in range(60)])

    workers: dict[str, Any] = {}

    async def busy() -> bool:
        workers.clear()
        workers.update(page.get("/api/workers?refresh=1"))  # those that took no longer than a second to answer
        wanted = {f"gpu0@{HOST}": {"stats", "active_queues"}, f"reader0@{HOST}": {"stats"}}
        if not all(facts <= workers.get(name, {}).keys() for name, facts in wanted.items()):
            return False
        told = workers[f"gpu0@{HOST}"]["stats"]["viiwork"]
        return bool(told["kv_use"] and told["in_flight"]["batch"] >= 3 and told["backlog"]["batch"] >= 10)

    await eventually(busy, within_s=60, what="a worker with its batch share full and a backlog")
    told = workers[f"gpu0@{HOST}"]["stats"]["viiwork"]
    told.pop("tokens_per_s", None)  # once an answer was written
    assert told | {"in_flight": 0, "backlog": 0, "incarnation": "", "kv_use": 0} == {
        "model": "sim",
        "engine": "simulated Radeon VII",
        "slots": 4,
        "limit": 4,
        "kv_use": 0,
        "in_flight": 0,
        "backlog": 0,
        "incarnation": "",
    }
    assert [queue["name"] for queue in workers[f"gpu0@{HOST}"]["active_queues"]] == ["interactive.sim", "batch.sim"]
    assert workers[f"reader0@{HOST}"]["stats"]["viiwork"]["model"] == "read"
    await eventually(as_check(lambda: seen_at_work(page)), what="the same on its page")
    queues = {queue["name"]: queue for queue in page.get("/api/queues/length")["active_queues"]}
    batch = queues["batch.sim"]
    parts = batch["messages_backlog"], batch["messages_ready"], batch["messages_unacknowledged"]
    assert batch["messages"] == sum(parts) >= 10
    assert parts[0] > parts[1] > 0
    assert batch["consumers"] == 1
    assert "batch.sim" in page.client.get("/broker").text


async def test_no_text_name_password_or_key_is_told(fleet: Fleet, real_store: Store, page: Page, ear: Ear) -> None:
    """Not in an event, not in any of Flower's answers, not in a log, not on a command line."""
    fleet.start("gpu0", "reader0")
    await ready(real_store, 2)
    chat = job(text=f"{SECRET_TEXT} hello", lane=Lane.INTERACTIVE)
    long = job(text=f"{SECRET_TEXT} {'word ' * 20_000}")
    analysis, documents = await analyse(real_store, text=f"{SECRET_TEXT} is the word of the day. " * 30)
    await real_store.submit([chat, long])
    key = (await apikeys.create(real_store, "seen")).secret
    with Door(page.settings, VIIWORK_API_KEYS="on") as door:
        sent = {"model": "sim", "messages": [{"role": "user", "content": SECRET_TEXT}]}
        headers = {"authorization": f"Bearer {key}"}
        asked = httpx.post(f"{door.url}/v1/chat/completions", json=sent, headers=headers, timeout=60, trust_env=False)
        said = door.log.read_text()
    assert asked.status_code == httpx.codes.OK

    async def over() -> bool:
        states = [(await real_store.job(one.id)).state for one in (chat, long)]
        return (await real_store.batch(analysis)).finished and states == [State.SUCCEEDED, State.FAILED]

    await eventually(over, what="all jobs at an end")
    await shown(page, f"{chat.id}.1.1", "SUCCESS")
    await shown(page, f"{documents[1].id}.1.1", "FAILURE")
    await shown(page, f"{asked.headers['x-viiwork-job']}.1.1", "SUCCESS")
    await eventually(as_check(lambda: received(ear) >= 5), what="what Flower has heard, heard here too")

    hints = list(page.get("/api/tasks"))
    paths = ["/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length", "/metrics", "/", "/workers?json=1"]
    paths += ["/tasks", "/broker", f"/worker/gpu0@{HOST}", f"/worker/reader0@{HOST}"]
    paths += [f"{start}/{hint}" for hint in hints for start in ("/task", "/api/task/info")]
    answers = [page.client.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    told = "\n".join(
        [
            *(answer.text for answer in answers),
            repr(ear.events),
            fleet.log("gpu0"),
            fleet.log("reader0"),
            page.log.read_text(),
            said,
        ]
    )
    redis_password = password_of(page.settings.redis.url)
    for secret in (SECRET_TEXT, SECRET_NAME, page.password, key[16:24], *redis_password):  # the key's end is its hint
        assert secret not in told
    mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
    lines = " ".join(part for process in mine for part in command_line(process))
    for secret in (page.password, key[16:24], *redis_password):
        assert secret not in lines


async def test_nothing_opens_without_the_password(page: Page) -> None:
    """Not even `/metrics`, which Flower leaves open; a wrong or odd password is 401 and never an error."""
    base = page.client.base_url
    paths = (
        "/",
        "/metrics",
        "/api/workers",
        "/api/tasks",
        "/static/css/flower.css",
        "/nonsense",
        "/login",
        "//metrics",
    )
    logins: list[Any] = [None, (FLOWER_USER, "wrong"), (FLOWER_USER, ""), ("", page.password), ("vïiwork", "ä")]
    with httpx.Client(base_url=base, trust_env=False) as stranger:
        for path in paths:
            for login in logins:
                assert stranger.get(path, auth=login).status_code == 401, (path, login)
        for header in ("Basic", "Basic !!!", "Basic 4pyT", "Bearer x", "Basic " + "A" * 5001):
            assert stranger.get("/api/workers", headers={"Authorization": header}).status_code == 401, header
        assert stranger.post("/api/task/revoke/x").status_code == 401
        assert stranger.get("/healthcheck").text == "OK"
        refused = stranger.get("/")
    assert page.client.get("/metrics").status_code == 200
    for answer in (refused, page.client.get("/"), page.client.get("/static/css/flower.css")):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_controls_that_would_break_a_worker_are_refused(fleet: Fleet, real_store: Store, page: Page) -> None:
    """Slots are a setting, and so is the model; tasks sent past the store would be hints without a job."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    name = f"gpu0@{HOST}"
    await eventually(as_check(lambda: page.online() == {name: True}), what="the worker in Flower")
    for path in [f"/api/worker/{control}/{name}" for control in CONTROLS]:
        assert (
            page.client.post(path, params={"queue": "batch.sim", "n": "1", "min": "1", "max": "2"}).status_code == 403
        )
    for command in ("add-consumer", "cancel-consumer"):
        answer = page.client.post(f"/api/worker/queue/{command}/{name}", params={"queue": "batch.other"})
        assert (answer.status_code, "serves interactive.sim and batch.sim" in answer.text) == (403, True)
    for kind in ("timeout", "rate-limit"):
        assert page.client.post(f"/api/task/{kind}/viiwork.run", params={"workername": name}).status_code == 403
    assert page.client.post("/api/task/revoke/nonsense").status_code == 404
    assert page.client.post("/api/task/revoke/job_nobody.1.1").status_code == 404
    for verb in ("apply", "async-apply", "send-task"):
        assert page.client.post(f"/api/task/{verb}/viiwork.run", json={"args": []}).status_code == 403
    foreign = {"Origin": "http://elsewhere.example"}
    assert page.client.post("/api/task/revoke/x", headers=foreign).status_code == 403
    (after,) = [job(text="still there")]
    await real_store.submit([after])
    await shown(page, f"{after.id}.1.1", "SUCCESS")


async def test_a_killed_worker_goes_offline_and_its_hints_go_back(fleet: Fleet, real_store: Store, page: Page) -> None:
    """Flower alone would show its jobs as running for ever, and count it as online in the metrics."""
    fleet.start("gpu0", module="tests.endless")
    await ready(real_store, 1)
    work = [endless(n) for n in range(3)]
    await real_store.submit(work)
    for one in work:
        await shown(page, f"{one.id}.1.1", "STARTED")
    fleet.kill("gpu0")
    fleet.start("gpu1")
    for one in work:
        await shown(page, f"{one.id}.1.1", "RETRY")
    assert page.get(f"/api/task/info/{work[0].id}.1.1")["exception"].startswith("worker_lost")
    await eventually(as_check(lambda: page.online().get(f"gpu0@{HOST}") is False), what="gpu0 offline")
    offline = f'flower_worker_online{{worker="gpu0@{HOST}"}} 0.0'
    await eventually(as_check(lambda: offline in page.client.get("/metrics").text), what="gpu0 offline in the metrics")
    assert f"gpu0@{HOST}" not in page.get("/api/workers")
    assert page.client.get(f"/worker/gpu0@{HOST}").status_code == 404
    for one in work:
        await stands(real_store, one, State.SUCCEEDED)
    await eventually(
        as_check(lambda: [task["state"] for task in page.get("/api/tasks").values()].count("SUCCESS") == 3),
        what="the second attempts in Flower",
    )
    ended = {hint: task["state"] for hint, task in page.get("/api/tasks").items()}
    assert {state for hint, state in ended.items() if hint.endswith(".1.1")} == {"RETRY"}


async def test_a_stopped_worker_says_what_it_gave_back(
    fleet: Fleet, real_store: Store, page: Page, settings: Settings
) -> None:
    """SIGTERM with jobs in hand: their hints are RETRY and the worker is offline, long before its lease is over."""
    fleet.start("gpu0", settings=leased(settings), module="tests.endless")
    await ready(real_store, 1)
    work = [endless(n) for n in range(3)]
    await real_store.submit(work)
    for one in work:
        await shown(page, f"{one.id}.1.1", "STARTED")
    assert fleet.stop("gpu0") == 0
    for one in work:
        await shown(page, f"{one.id}.1.1", "RETRY")
    await eventually(as_check(lambda: page.online() == {f"gpu0@{HOST}": False}), what="gpu0 offline")


async def test_two_fleets_on_one_server_do_not_see_each_other(
    fleet: Fleet, real_store: Store, page: Page, settings: Settings, open_page: Callable[..., Page]
) -> None:
    """Events, workers and queues carry the fleet's prefix."""
    name = f"t{secrets.token_hex(4)}"
    other = settings.model_copy(
        update={
            "redis": settings.redis.model_copy(update={"prefix": f"viiwork-test:{name}:"}),
            "flower": settings.flower.model_copy(update={"port": free_port()}),
        }
    )
    next_door = open_page(other).wait()
    fleet.start("gpu0")
    await ready(real_store, 1)
    one = job(text="hello")
    await real_store.submit([one])
    await shown(page, f"{one.id}.1.1", "SUCCESS")
    await eventually(as_check(lambda: list(page.get("/api/workers")) == [f"gpu0@{HOST}"]), what="gpu0 in Flower")
    assert next_door.get("/api/workers") == next_door.get("/api/tasks") == next_door.online() == {}
    assert next_door.get("/api/queues/length") == {"active_queues": []}
    async for key in real_store.client.scan_iter(match=f"viiwork-test:{name}:*"):
        await real_store.client.delete(key)


async def test_it_hears_workers_again_after_dropped_connections(
    fleet: Fleet, real_store: Store, open_page: Callable[..., Page], settings: Settings
) -> None:
    """Every connection is cut, Flower's and the worker's."""
    others = await clients(real_store)
    page = open_page(settings).wait()
    fleet.start("gpu0")
    await ready(real_store, 1)
    await drop_connections(real_store, sparing=others)

    async def heard() -> bool:
        one = job(text="hello")
        await real_store.submit([one])
        await stands(real_store, one, State.SUCCEEDED)
        with_events = page.state(f"{one.id}.1.1")
        return with_events == "SUCCESS"

    await eventually(heard, within_s=60, what="events after the cut")
    assert "assword" not in page.log.read_text()


def test_sigterm_ends_it_at_once_even_when_redis_is_frozen(
    open_page: Callable[..., Page], settings: Settings, tmp_path: Path
) -> None:
    """Exit code 0, and not a word in the log."""
    page = open_page(settings).wait()
    assert page.stop() == 0
    assert page.log.read_text() == ""
    own = settings.model_copy(
        update={
            "fleet": settings.fleet.model_copy(update={"state_dir": tmp_path / "own"}),
            "redis": settings.redis.model_copy(update={"url": "embedded"}),
        }
    )
    server = embedded.start(own)
    try:
        page = open_page(own).wait()
        os.kill(server.record.pid, signal.SIGSTOP)
        with pytest.raises(httpx.HTTPError):
            page.client.get("/api/workers", timeout=1)
        assert page.stop() == 0
    finally:
        os.kill(server.record.pid, signal.SIGCONT)
        server.stop()
    assert "Traceback" not in page.log.read_text()


def test_what_it_cannot_start_with_is_said_in_one_line(open_page: Callable[..., Page], settings: Settings) -> None:
    """No password, also in a file, a port in use, no server."""
    login = Path(settings.state_dir) / "login"
    login.parent.mkdir(parents=True, exist_ok=True)
    login.write_text("only-a-user\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        used = settings.model_copy(update={"flower": settings.flower.model_copy(update={"port": port})})
        alone = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": "embedded"})})
        for given, password, code, words in (
            (settings, "", 2, "FLOWER_BASIC_AUTH must be user:password"),
            (in_file(settings, login), "", 2, "flower.login_file must be user:password"),
            (used, "secret-enough", 2, f"port {port} on 127.0.0.1"),
            (alone, "secret-enough", 3, "viiwork up"),
        ):
            page = open_page(given, password=password)
            assert page.process.wait(timeout=60) == code
            said = page.log.read_text()
            page.log.unlink()
            assert words in said
            assert said.count("\n") == 1


def test_its_login_may_come_from_a_file(open_page: Callable[..., Page], settings: Settings) -> None:
    """No variable, and no argument, has it then."""
    login = Path(settings.state_dir) / "login"
    login.parent.mkdir(parents=True, exist_ok=True)
    login.write_text("anna:quite-a-long-secret\n")
    page = open_page(in_file(settings, login)).wait()
    assert httpx.get(page.client.base_url, auth=("anna", "quite-a-long-secret")).status_code == 200
    assert page.client.get("/").status_code == 401
    assert "quite-a-long-secret" not in str(psutil.Process(page.process.pid).environ())


def leased(settings: Settings) -> Settings:
    """With a lease that no test waits for the end of."""
    return settings.model_copy(update={"queue": settings.queue.model_copy(update={"lease_ttl_s": 600.0})})


def in_file(settings: Settings, login: Path) -> Settings:
    return settings.model_copy(update={"flower": settings.flower.model_copy(update={"login_file": login})})


def seen_at_work(page: Page) -> bool:
    """What the page of gpu0 says; between the end of a job and the next one's begin two are in flight."""
    html = page.client.get(f"/worker/gpu0@{HOST}").text
    return all(words in html for words in ("simulated Radeon VII", ">sim<", "interactive 0, batch 3", "batch.sim"))


def received(ear: Ear) -> int:
    return [event["type"] for event in ear.events].count("task-received")


def job(*, text: str = "hello", lane: Lane = Lane.BATCH) -> Job:
    return make_job(model="sim", text=text, lane=lane)


async def analyse(store: Store, *, text: str) -> tuple[str, list[Job]]:
    """An analysis of one good and one broken document whose names are secret."""
    analysis = new_id("an")
    await store.open_batch(id=analysis, tenant="t", lane=Lane.BATCH, model="sim", task="summarize", total=2)
    blob = await store.blobs.put(f"%PDF-1.7 {SECRET_TEXT}".encode())
    sources: list[dict[str, Any]] = [
        {"name": f"{SECRET_NAME}.txt", "text": text},
        {"name": f"{SECRET_NAME}.pdf", "blob": blob.id},
    ]
    jobs = [
        Job(
            id=child_id(analysis, str(n)),
            tenant="t",
            lane=Lane.BATCH,
            task=TaskName.READ,
            model="read",
            input=ReadInput(task=AnalysisTask.SUMMARIZE, model="sim", **source),
            batch=analysis,
            settle=Settle.ON_FAILURE,
            custom_id=SECRET_NAME,
        )
        for n, source in enumerate(sources)
    ]
    await store.submit(jobs)
    await store.seal(analysis)
    return analysis, jobs


async def publish_again(store: Store, one: Job, *, n: int) -> None:
    """Another hint for the same attempt, as the upkeep would publish it."""
    message = store.envelope
    hint = f"{one.id}.1.{n}"
    parts = {"HINT": hint, "JOB": one.id, "TASK": one.task, "QUEUE": one.queue, "LANE": one.lane, "MODEL": one.model}
    for name, value in parts.items():
        message = message.replace(f"@{name}@", value)
    assert lane_queue(one.lane, one.model).name == one.queue
    await store.client.lpush(f"{store.prefix}{one.queue}", message)


def password_of(url: str) -> list[str]:
    """The server's password, if it has one."""
    _, _, rest = broker_url(url).partition("://")
    login, at, _ = rest.rpartition("@")
    return [login.rpartition(":")[2]] if at and login.rpartition(":")[2] else []


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
