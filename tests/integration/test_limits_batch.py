"""A batch that came as a file takes its lines in as its sender's limits let it, and goes on where they ended."""

from __future__ import annotations

import json

import pytest

from tests.hands import Hands
from viiwork.errors import Full
from viiwork.jobs import READER_MODEL, Job, Lane, TaskName, new_id
from viiwork.limits import Account, Limits
from viiwork.store import Fence, Store, filebatches
from viiwork.store.accounts import Tab, look
from viiwork.store.filebatches import Opening
from viiwork.store.leases import Claim
from viiwork.work import CloseInput, LinesInput
from viiwork_workers.linefiles import LineFiles
from viiwork_workers.linesin import LinesIn

CHAT = "/v1/chat/completions"
CLAIM = Claim(
    fence=Fence("job_1", 1, "token"),
    seconds_left=60.0,
    ends_by="timeout",
    task=TaskName.READ,
    lane=Lane.BATCH,
    model=READER_MODEL,
    tenant="anna@lab",
    batch="",
    item="",
    input_json="",
    input_blob="",
)


async def test_lines_come_in_as_the_limit_lets_them_and_none_twice(store: Store) -> None:
    """The step is given back where the limit ends, and takes the rest in when it comes again."""
    tab = Tab(Account("anna@lab", "key_1", own=Limits(batch_requests_per_minute=3, batch_backlog=4)))
    work, lines = (
        await begun(store, tab, 5),
        LinesIn(store, LineFiles(store), max_line_bytes=10_000, max_backlog=1000, timeout_s=60),
    )
    with pytest.raises(Full, match="This key may send 3 requests a minute"):
        await lines(CLAIM, work)
    told = await store.batch(work.batch)
    assert told.counts.total == 3
    assert told.held is not None and told.held.startswith("This key may send 3 requests a minute")
    await store.client.delete(*[key async for key in store.client.scan_iter(match=f"{store.prefix}rate:*")])
    with pytest.raises(Full, match="4 unfinished jobs"):
        await lines(CLAIM, work)
    hands = Hands(store)
    await hands.beat()
    assert len(await hands.do_all()) == 4
    await lines(CLAIM, work)
    status = await store.batch(work.batch)
    assert status.held is None
    assert (status.counts.total, status.counts.succeeded) == (5, 4)
    left = await look(store, tab, Lane.BATCH)
    assert left is not None and left.requests is not None
    assert left.requests.remaining == 1


async def test_a_month_that_is_used_up_keeps_the_rest_waiting(store: Store) -> None:
    """Until the next one, or until the batch's window closes."""
    tab = Tab(Account("anna@lab", "key_1", own=Limits(monthly_tokens=100)))
    work, lines = (
        await begun(store, tab, 3),
        LinesIn(store, LineFiles(store), max_line_bytes=10_000, max_backlog=1000, timeout_s=60),
    )
    with pytest.raises(Full, match="calendar month"):
        await lines(CLAIM, work)
    assert (await store.batch(work.batch)).counts.total == 1


async def begun(store: Store, tab: Tab, count: int) -> LinesInput:
    """The step of a batch with so many lines of some 60 tokens."""
    await Hands(store).beat()
    body = {"model": "noop", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 60}
    said = [{"custom_id": f"c{n}", "method": "POST", "url": CHAT, "body": body} for n in range(count)]
    blob = await store.blobs.put("\n".join(map(json.dumps, said)).encode())
    batch = Opening(new_id("an"), "anna@lab", CHAT, "file-1", "24h", 86_400.0)
    work = LinesInput(batch=batch.id, blob=blob.id, endpoint=CHAT, account=tab.line(Lane.BATCH))
    where = {"tenant": "anna@lab", "lane": Lane.BATCH, "model": READER_MODEL}
    step = Job(id=new_id("job"), task=TaskName.READ, input=work, **where)
    close = CloseInput(batch=batch.id, blob=blob.id)
    end = Job(id=new_id("job"), task=TaskName.MERGE, input=close, waits_for=1, **where)
    await filebatches.begin(store, batch, lines=step, close=end)
    return work
