"""Analyses as a list, their documents one by one, and the failed ones tried again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hands import Hands, document, items_of, moment_after, open_batch, parts_of, sealed_batch, upkeep
from viiwork.errors import Conflict, Gone
from viiwork.jobs import BatchState, Lane, State, new_id
from viiwork.store import Store
from viiwork.store.analyses import Wanted, listed
from viiwork.store.items import documents, retry_failed
from viiwork.store.leases import Verdict
from viiwork.store.removal import remove
from viiwork.work import Answer, Usage


async def ids(
    store: Store, *, after: int | None = None, limit: int = 100, **wanted: Any
) -> tuple[list[str], int | None]:
    page = await listed(store, Wanted(**wanted), after=after, limit=limit)
    return [status.id for status in page.analyses], page.after


async def labelled(store: Store, **metadata: str) -> str:
    batch = new_id("an")
    told: dict[str, Any] = {"tenant": "anna@lab", "lane": Lane.BATCH, "model": "noop", "task": "ask", "total": 1}
    await store.open_batch(id=batch, metadata=metadata, **told)
    return batch


async def test_pages_are_exact_whatever_is_made_or_goes_meanwhile(store: Store) -> None:
    """Newest first; what is made between two pages is on neither, what is deleted moves nothing."""
    made = [await open_batch(store) for _ in range(7)]
    first, after = await ids(store, limit=3)
    assert first == made[:3:-1]
    await open_batch(store)
    await remove(store, made[5])
    second, after = await ids(store, after=after, limit=3)
    assert second == made[3:0:-1]
    last, after = await ids(store, after=after, limit=3)
    assert (last, after) == (made[:1], None)
    assert (await ids(store, limit=7))[1] is None, "a page that holds all of them is the last"


async def test_a_list_may_be_of_a_state_a_submitter_and_metadata(store: Store) -> None:
    done = await sealed_batch(store, 1)
    await Hands(store).do_all()
    waits = await sealed_batch(store, 1, tenant="bob@lab")
    study = await labelled(store, study="a", year="2019")
    await labelled(store, study="b", year="2019")
    assert (await ids(store, states=frozenset({BatchState.COMPLETED})))[0] == [done]
    assert (await ids(store, tenant="bob@lab"))[0] == [waits]
    assert (await ids(store, metadata={"study": "a", "year": "2019"}))[0] == [study]
    assert (await store.batch(study)).metadata == {"study": "a", "year": "2019"}


async def test_a_tenants_list_looks_at_no_others(store: Store) -> None:
    """Page after page; those of before there were such lists, the first three here, are found behind the others."""
    made = {tenant: [await open_batch(store, tenant=tenant) for _ in range(3)] for tenant in ("anna@lab", "bob@lab")}
    for tenant, known in made.items():
        await store.client.zrem(f"{store.prefix}batches.t:{tenant}", *known)
    await store.client.delete(f"{store.prefix}batches.t")
    assert (await ids(store, tenant="bob@lab"))[0] == made["bob@lab"][::-1], "also while there is no such list at all"
    for _ in range(2):
        for tenant, known in made.items():
            known.append(await open_batch(store, tenant=tenant))
    for tenant, known in made.items():
        pages, after = list[str](), None
        while len(pages) < len(known) or after is not None:
            page, after = await ids(store, tenant=tenant, after=after, limit=2)
            pages += page
        assert pages == known[::-1]
    await remove(store, made["anna@lab"][-1])
    assert made["anna@lab"][-1] not in await store.client.zrange(f"{store.prefix}batches.t:anna@lab", 0, -1)


async def test_what_is_deleted_or_over_is_on_no_list(store: Store) -> None:
    """Before it is cleared away as after."""
    kept, over, deleted = [await sealed_batch(store, 1) for _ in range(3)]
    await Hands(store).do_all()
    past_ms = await upkeep(store).server_ms() - 1000
    await store.client.hset(f"{store.prefix}batch:{over}", "expires_ms", past_ms)
    await store.client.zadd(f"{store.prefix}expiry", {over: past_ms})
    await store.call("batch", "remove", deleted, 60_000)
    assert (await ids(store))[0] == [kept]
    await upkeep(store).sweep()
    assert (await ids(store))[0] == [kept]
    assert await store.client.zcard(f"{store.prefix}batches") == 1


async def test_what_is_kept_for_less_time_is_cleared_away_after_it(store: Store) -> None:
    """Whatever the fleet keeps others for; its callbacks that are still owed lose their metadata and are sent."""
    batch = new_id("an")
    told: dict[str, Any] = {"tenant": "anna@lab", "lane": Lane.BATCH, "model": "noop", "task": "ask", "total": 1}
    url = "http://example.test/hook"
    await store.open_batch(id=batch, retain_s=0.001, metadata={"a": "b"}, callback_url=url, **told)
    await store.submit(items_of(batch, 1))
    await store.seal(batch)
    await Hands(store).do_all()
    await moment_after(store, int(await store.client.hget(f"{store.prefix}batch:{batch}", "expires_ms") or 0))
    await upkeep(store).sweep()
    with pytest.raises(Gone, match="kept until"):
        await store.batch(batch)
    (callback,) = [key async for key in store.client.scan_iter(match=f"{store.prefix}callback:*")]
    assert await store.client.hget(callback, "state") == "pending"
    assert await store.client.hget(callback, "metadata") is None
    assert (
        await store.client.exists(f"{store.prefix}batch:{batch}:items", f"{store.prefix}batch:{batch}:callbacks") == 0
    )


async def test_documents_are_told_one_by_one_in_the_order_of_sending(store: Store) -> None:
    """State, reason, pages, tokens, attempts; one whose parts are under way is running."""
    batch = await open_batch(store, total=4)
    await store.submit([document(batch, n) for n in range(3)] + items_of(batch, 1, first=3))
    await store.seal(batch)
    reader, engine = Hands(store, "reader0", model="read"), Hands(store)
    unfolded = (await reader.take()).fence
    await store.submit(parts_of(unfolded.job, batch, 2), fence=unfolded)
    await reader.commit(unfolded, Verdict.CONTINUES)
    await reader.commit((await reader.take()).fence, Verdict.FAILED)
    answer = Answer(text="x", pages=3, parts=2, usage=Usage(prompt_tokens=7, output_tokens=2))
    while (claim := await engine.take()).fence.job != f"{batch}-3":
        await engine.commit(claim.fence)
        await store.release("batch.noop")
    await engine.commit(claim.fence, result=answer)
    page = await documents(store, batch, after=0, limit=3)
    assert [one.index for one in page.documents] == [0, 1, 2]
    assert [one.state for one in page.documents][:2] == [State.RUNNING, State.FAILED]
    assert page.documents[2].state in (State.WAITING, State.QUEUED)
    assert [one.attempts for one in page.documents] == [1, 1, 0]
    failed = page.documents[1]
    assert failed.error is not None
    assert failed.error.code == "engine_fault"
    assert page.after == 3
    rest = await documents(store, batch, after=3, limit=3)
    (last,) = rest.documents
    assert (last.state, last.pages, last.parts, last.usage, rest.after) == (State.SUCCEEDED, 3, 2, answer.usage, None)


async def test_failed_documents_are_tried_again_and_no_others(store: Store) -> None:
    """Their rows make way for new ones with new attempt numbers; asking twice starts nothing twice."""
    batch = await sealed_batch(store, 4)
    hands = Hands(store, slots=9)
    for verdict in (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.SUCCEEDED, Verdict.FAILED):
        await hands.do(verdict)
    assert (await store.batch(batch)).state is BatchState.COMPLETED
    assert (await retry_failed(store, batch)).retried == 2
    assert (await retry_failed(store, batch)).retried == 0
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded, status.counts.failed) == (BatchState.RUNNING, 2, 0)
    assert sorted(await hands.do_all()) == [f"{batch}-1", f"{batch}-3"]
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded, status.expires_ms is None) == (BatchState.COMPLETED, 4, False)
    attempts = {row.index: row.made.attempt async for row in store.rows(batch) if row.made}
    assert attempts == {0: 1, 1: 2, 2: 1, 3: 2}


async def test_each_of_several_requests_starts_a_document_once_however_they_come_again(store: Store) -> None:
    """K, then L, then K again: the last one finds its key behind that of the other."""
    batch = await sealed_batch(store, 1)
    hands = Hands(store)
    await hands.do(Verdict.FAILED)
    for key, starts in (("K", True), ("L", True), ("K", False), ("L", False), ("M", True)):
        assert (await retry_failed(store, batch, once=key)).retried == 1
        assert ((await store.batch(batch)).state is BatchState.RUNNING) is starts
        if starts:
            await hands.do(Verdict.FAILED)
        assert await hands.pop() is None


async def test_a_document_whose_part_failed_is_read_again_under_new_names(store: Store) -> None:
    batch = await open_batch(store, total=1)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader, engine = Hands(store, "reader0", model="read"), Hands(store)
    for generation in ("", "1"):
        claim = await reader.take()
        assert claim.generation == generation
        await store.submit(parts_of(claim.fence.job, batch, 1, generation=generation), fence=claim.fence)
        await reader.commit(claim.fence, Verdict.CONTINUES)
        await engine.do(Verdict.SUCCEEDED if generation else Verdict.FAILED)
        await store.release("batch.read")
        await reader.do(Verdict.SUCCEEDED if generation else Verdict.FAILED)
        await store.release("batch.read")
        if not generation:
            assert (await retry_failed(store, batch)).retried == 1
    (row,) = [row async for row in store.rows(batch)]
    assert (row.state, row.made and row.made.attempt) == (State.SUCCEEDED, 2)


async def test_what_was_cancelled_is_not_tried_again(store: Store) -> None:
    batch = await sealed_batch(store, 2)
    await store.cancel_batch(batch)
    with pytest.raises(Conflict, match="has ended: it is cancelled"):
        await retry_failed(store, batch)
