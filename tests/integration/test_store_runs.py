"""What the fleet remembers of analyses that ended: tokens, calls and seconds, by which the next one is reckoned."""

from __future__ import annotations

from tests.hands import Hands, sealed_batch
from viiwork.power.energy import Energy
from viiwork.store import Store
from viiwork.store.leases import Verdict, commit_call
from viiwork.store.runs import last_runs
from viiwork.work import Answer, Usage


async def answer(store: Store, hands: Hands, *, prompt: int, output: int, joules: float) -> None:
    """Take the next job and answer it."""
    claim = await hands.take()
    said = Answer(text="done", usage=Usage(prompt_tokens=prompt, output_tokens=output))
    call = await commit_call(store, claim.fence, Verdict.SUCCEEDED, said, max_attempts=4, energy=Energy(joules, 1.0))
    await store.call(call.script, *call.args)
    await store.release("batch.noop", "batch.read")


async def finished(store: Store, hands: Hands, jobs: int) -> None:
    await sealed_batch(store, jobs, tenant="anna@lab")
    for _ in range(jobs):
        await answer(store, hands, prompt=100, output=7, joules=2.5)


async def test_an_ended_analysis_tells_what_its_calls_took(store: Store) -> None:
    """Tokens, calls and joules are sums; its slots are those of the model's workers in its lane."""
    hands = Hands(store)
    await hands.beat()
    await finished(store, hands, 3)
    (run,) = await last_runs(store, "noop")
    assert (run.calls, run.prompt_tokens, run.output_tokens, run.energy_j) == (3, 300, 21, 7.5)
    assert (run.model, run.slots) == ("noop", 4)
    assert run.seconds >= 0
    assert "anna" not in run.model_dump_json()


async def test_one_that_goes_on_or_was_paused_is_no_measure(store: Store) -> None:
    """Hours in which nobody worked on it would look like slow cards."""
    hands = Hands(store)
    await hands.beat()
    await sealed_batch(store, 2)
    await answer(store, hands, prompt=1, output=1, joules=1.0)
    assert await last_runs(store, "noop") == ()
    await answer(store, hands, prompt=1, output=1, joules=1.0)
    assert len(await last_runs(store, "noop")) == 1
    rested = await sealed_batch(store, 1)
    await store.pause(rested)
    await store.resume(rested)
    await store.release("batch.noop")
    await answer(store, hands, prompt=1, output=1, joules=1.0)
    assert len(await last_runs(store, "noop")) == 1


async def test_the_last_twenty_are_remembered_the_last_one_first(store: Store) -> None:
    hands = Hands(store)
    await hands.beat()
    for jobs in (*[1] * 21, 2):
        await finished(store, hands, jobs)
    runs = await last_runs(store, "noop")
    assert len(runs) == 20
    assert [run.calls for run in runs[:2]] == [2, 1]
