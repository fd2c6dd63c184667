"""Flower in a real browser, on real workers: what a person presses works, or they are told why not."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.browser import MISSING, Tab, browse, chromium
from tests.flowering import LONG, Page, as_check, endless, shown, stands, with_flower
from tests.workers import Fleet, eventually, make_job, ready
from viiwork.devices.simulated import FOLDER
from viiwork.fleet.plan import FLOWER_USER
from viiwork.jobs import Job, Lane, State
from viiwork.settings import Settings
from viiwork.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium() is None, reason=MISSING)]

HOST = socket.gethostname()
GPU0 = f"gpu0@{HOST}"
TOAST = "#toast-container .toast.show .toast-body"
TASKS = ("viiwork.merge", "viiwork.read", "viiwork.run")
ACTIONS = ("worker-shutdown", "worker-pool-restart", "worker-refresh", "worker-refresh-all")
POOL = ("worker-pool-grow", "worker-pool-shrink", "worker-pool-autoscale")
LANES = ("worker-cancel-consumer-interactive.sim", "worker-cancel-consumer-batch.sim", "worker-add-consumer")
LIMITS = tuple(f"task-{what}-{task}" for task in TASKS for what in ("rate-limit", "timeout-soft", "timeout-hard"))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two simulated cards that heat twenty times as fast."""
    made = with_flower(settings)
    return made.model_copy(
        update={"devices": made.devices.model_copy(update={"spec": "simulated:2xRadeonVII@20"})},
    )


@pytest.fixture
def page(settings: Settings) -> Iterator[Page]:
    page = Page(settings).wait()
    yield page
    page.close()


@pytest.fixture
async def tab(page: Page, tmp_path: Path) -> AsyncIterator[Tab]:
    """A browser that knows the password; none of the pages' scripts has stumbled when it is closed."""
    login = b64encode(f"{FLOWER_USER}:{page.password}".encode()).decode()
    async with browse(tmp_path / "browser", headers={"Authorization": f"Basic {login}"}) as tab:
        yield tab
        assert tab.errors == []


async def told(tab: Tab, button: str) -> str:
    """Press a button, read what Flower then says, and close that."""
    await tab.press(button)
    await tab.until(f"document.querySelectorAll('{TOAST}').length === 1")
    (said,) = await tab.texts(TOAST)
    await tab.press("#toast-container .btn-close")
    await tab.until("document.querySelectorAll('#toast-container .toast').length === 0")
    return said


async def on_the_page_of(tab: Tab, page: Page, worker: str) -> None:
    await tab.open(f"{page.client.base_url}/worker/{worker}")


async def action(tab: Tab, button: str) -> str:
    """One of those in the menu."""
    await tab.press("#worker-group")
    return await told(tab, f"#{button}")


async def table(tab: Tab, table: str) -> list[dict[str, str]]:
    """What a person reads in a table: a dict a row, by the headings."""
    rows = f"[...document.querySelectorAll('{table} tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
    heads = f"[...document.querySelectorAll('{table} thead th')].map(h => h.textContent.trim())"
    names = await tab.js(heads)
    whole = [row for row in await tab.js(rows) if len(row) == len(names)]  # an empty table says so in a single cell
    return [dict(zip(names, row, strict=True)) for row in whole]


async def worker_row(tab: Tab, name: str) -> dict[str, str]:
    return next((row for row in await table(tab, "#workers-table") if row["Worker"] == name), {})


def job(*, text: str = "hello", lane: Lane = Lane.BATCH) -> Job:
    return make_job(model="sim", text=text, lane=lane)


async def test_the_workers_page_shows_each_card_and_what_the_load_makes_of_it(
    tab: Tab, page: Page, fleet: Fleet, real_store: Store
) -> None:
    """Watts and degrees move with it; what a reader has not is a dash and not a 0."""
    fleet.start("gpu0", "gpu1", "reader0")
    await ready(real_store, 3)
    await tab.open(f"{page.client.base_url}/workers")

    async def idle() -> bool:
        row = await worker_row(tab, GPU0)
        return row.get("W") == "20/250" and row["VRAM GiB"] != "0.0/16.0"

    await eventually(idle, what="a card at rest, with a model on it")
    row = await worker_row(tab, GPU0)
    assert (row["Model"], row["Slots"], row["Cards"]) == ("sim", "0/4", "gpu0 simulated Radeon VII")
    assert (row["KV"], row["Tokens/s"], row["Held back by"]) == ("0 %", "-", "-")
    at_rest = int(row["°C"].split("/")[0])

    async def beside() -> bool:
        return bool(await worker_row(tab, f"reader0@{HOST}"))

    await eventually(beside, what="the reader on the page")
    reader = await worker_row(tab, f"reader0@{HOST}")
    assert {reader[name] for name in ("KV", "Tokens/s", "Cards", "VRAM GiB", "°C", "W")} == {"-"}

    await real_store.submit([job(text=f"{n} {LONG}") for n in range(200)])

    async def busy() -> bool:
        row = await worker_row(tab, GPU0)
        warm, watts = int(row["°C"].split("/")[0]), int(row["W"].split("/")[0])
        return warm > at_rest + 15 and watts > 150 and row["Slots"] == "3/4" and row["Tokens/s"] not in ("-", "0")

    await eventually(busy, what="a card at work")
    assert re.fullmatch(r"\d\d/94 mem", (await worker_row(tab, GPU0))["°C"])
    (Path(page.settings.state_dir) / FOLDER / "gpu0.gone").touch()

    async def lost() -> bool:
        row = await worker_row(tab, GPU0)
        return (row["°C"], row["W"], row["Held back by"]) == ("-", "-/-", "waiting for its card, which is gone")

    await eventually(lost, what="a card off the bus: what is not known is no 0")
    await tab.open(f"{page.client.base_url}/broker")
    queues = {row["Queue"]: row for row in await table(tab, "#queue-table")}
    assert set(queues) == {f"{lane}.{model}" for lane in ("batch", "interactive") for model in ("read", "sim")}
    batch = {name: int(count) for name, count in queues["batch.sim"].items() if name != "Queue"}
    assert batch["Backlog"] > batch["Ready"] > 0
    assert batch["All"] == batch["Backlog"] + batch["Ready"] + batch["Running"]
    assert (batch["Workers"], queues["interactive.sim"]["All"]) == (2, "0")


async def test_each_button_of_a_worker_works_or_is_refused_with_a_sentence(
    tab: Tab, page: Page, fleet: Fleet, real_store: Store
) -> None:
    """All that there are: a button that a later Flower brings is one more to decide about."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    await on_the_page_of(tab, page, GPU0)
    buttons = "[...document.querySelectorAll('main button')].map(b => b.id).filter(id => id !== 'worker-group')"
    assert set(await tab.js(buttons)) == {*ACTIONS, *POOL, *LANES, *LIMITS}

    assert "There is no pool to restart" in await action(tab, "worker-pool-restart")
    assert "Successfully refreshed" in await action(tab, "worker-refresh")
    assert "Refreshed All Workers" in await action(tab, "worker-refresh-all")
    for button in POOL:
        assert "engine.slots" in await told(tab, f"#{button}")
    await tab.press("#worker-tab-limits")
    for task in TASKS:
        await tab.type_into(f"input[aria-label='Rate limit for {task}']", "5")
        assert "not held to a rate" in await told(tab, f"[id='task-rate-limit-{task}']")
        await tab.type_into(f"input[aria-label='Timeout for {task}']", "5")
        for kind in ("soft", "hard"):
            assert "timeout_s" in await told(tab, f"[id='task-timeout-{kind}-{task}']")
    after = job(text="still there")
    await real_store.submit([after])
    await stands(real_store, after, State.SUCCEEDED)

    said = await action(tab, "worker-shutdown")
    assert said.startswith(f"{GPU0} takes no more jobs, finishes what runs")
    assert said.endswith(f"`viiwork up` starts it again. To keep it away: viiwork drain {GPU0}.")
    assert fleet.bury("gpu0") == 0
    assert "does not answer" in await action(tab, "worker-refresh")
    assert "does not answer" in await action(tab, "worker-shutdown")
    await tab.press("#worker-tab-queues")
    assert "does not answer" in await told(tab, "[id='worker-cancel-consumer-batch.sim']")


async def test_a_cancelled_consumer_is_a_lane_that_is_paused_on_that_worker_alone(
    tab: Tab, page: Page, fleet: Fleet, real_store: Store
) -> None:
    """The other lane goes on and has all slots; what stood in the paused one is done once it is added again."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    await on_the_page_of(tab, page, GPU0)
    await tab.press("#worker-tab-queues")
    said = await told(tab, "[id='worker-cancel-consumer-batch.sim']")
    assert said.startswith(f"{GPU0} takes nothing more from batch.sim, until batch.sim is added again")
    batch, people = job(), [job(text=f"{n}", lane=Lane.INTERACTIVE) for n in range(8)]
    await real_store.submit([batch, *people])
    for one in people:
        await stands(real_store, one, State.SUCCEEDED)
    assert (await real_store.job(batch.id)).state is State.QUEUED
    await tab.open(f"{page.client.base_url}/workers")
    await eventually(lambda: _held_back(tab, "batch paused"), what="the paused lane on the workers' page")

    await on_the_page_of(tab, page, GPU0)
    await tab.press("#worker-tab-queues")
    assert await tab.texts("#worker-queues td:first-child") == ["interactive.sim"]
    assert "Say which queue" in await told(tab, "#worker-add-consumer")
    await tab.type_into("#add-consumer-name", "batch.other")
    assert f"{GPU0} serves interactive.sim and batch.sim, and not batch.other" in await told(
        tab, "#worker-add-consumer"
    )
    await tab.type_into("#add-consumer-name", "batch.sim")
    assert await told(tab, "#worker-add-consumer") == f"{GPU0} takes from batch.sim."
    await stands(real_store, batch, State.SUCCEEDED)


async def _held_back(tab: Tab, why: str) -> bool:
    return (await worker_row(tab, GPU0)).get("Held back by") == why


async def test_terminate_and_revoke_cancel_the_job(tab: Tab, page: Page, fleet: Fleet, real_store: Store) -> None:
    """One that runs, one that waits to be tried again while no worker is there, and one that has ended already."""
    fleet.start("gpu0", module="tests.endless")
    await ready(real_store, 1)
    first, waits, runs = (endless(n) for n in range(3))
    done = job()
    await real_store.submit([done])
    await shown(page, f"{done.id}.1.1", "SUCCESS")
    await real_store.submit([first, waits, runs])
    for one in (first, waits, runs):
        await shown(page, f"{one.id}.1.1", "STARTED")
    await tab.open(f"{page.client.base_url}/task/{runs.id}.1.1")
    assert await told(tab, "#task-terminate") == f"Job {runs.id} is cancelled."
    await stands(real_store, runs, State.CANCELLED)
    await shown(page, f"{runs.id}.1.1", "REVOKED")

    assert fleet.stop("gpu0") == 0
    await shown(page, f"{waits.id}.1.1", "RETRY")
    await tab.open(f"{page.client.base_url}/task/{waits.id}.1.1")
    assert await tab.texts("main .detail-actions button") == ["Revoke"]
    assert await told(tab, "#task-revoke") == f"Job {waits.id} is cancelled."
    await stands(real_store, waits, State.CANCELLED)

    answer = page.client.post(f"/api/task/revoke/{done.id}.1.1")
    assert (answer.status_code, answer.text) == (409, f"Job {done.id} has ended already: it is succeeded.")
    await tab.open(f"{page.client.base_url}/task/{done.id}.1.1")
    assert await tab.texts("main .detail-actions button") == []
    await eventually(as_check(lambda: page.online() == {GPU0: False}), what="gpu0 offline")
