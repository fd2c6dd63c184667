"""What a guard decides, without a process: courses, watches, canaries, metrics, memory, logs."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from viiwork.recipes import Launch, Metrics
from viiwork_workers.engines.deaths import QUICK_S
from viiwork_workers.engines.guard.card import VRAM_STILL_S, Card, Freeing
from viiwork_workers.engines.guard.child import Address, free_port
from viiwork_workers.engines.guard.course import MANY_PORTS, MANY_QUICK, Course, Fall
from viiwork_workers.engines.guard.files import GuardFiles, GuardLock
from viiwork_workers.engines.guard.frames import Busy, Load
from viiwork_workers.engines.guard.http import Reply
from viiwork_workers.engines.guard.log import KEPT_BYTES, Diary, EngineLog, turn_over
from viiwork_workers.engines.guard.metrics import read_load
from viiwork_workers.engines.guard.probe import Standing
from viiwork_workers.engines.guard.record import GuardRecord, forget_record, read_record, write_record
from viiwork_workers.engines.guard.verdict import judged
from viiwork_workers.engines.guard.watch import LONGEST_GAP_S, PATIENCE, Look, Watch

QUICK = Fall("died", "it ended with code 1")
SERVED = Fall("died", "it ended with code 1", served_s=QUICK_S, was_ready=True)


def after(*falls: Fall) -> Course:
    course = Course()
    for fall in falls:
        course = course.after(fall)
    return course


def test_quick_deaths_in_a_row_end_it_and_one_that_served_breaks_the_row() -> None:
    assert not after(*[QUICK] * (MANY_QUICK - 1)).given_up
    assert after(*[QUICK] * MANY_QUICK).given_up
    assert not after(*[QUICK] * (MANY_QUICK - 1), SERVED, *[QUICK] * (MANY_QUICK - 2)).given_up


def test_pauses_grow() -> None:
    pauses = [after(*[QUICK] * n).pause_s for n in range(1, MANY_QUICK)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0] > 0


def test_what_cannot_get_better_ends_it_only_if_it_never_worked() -> None:
    """An engine that served has the right settings, whatever its log says."""
    hopeless = Fall("died", "the model is not there", hopeless=True)
    assert after(hopeless).given_up
    assert not after(SERVED, hopeless).given_up


def test_a_taken_port_is_neither_counted_nor_waited_for_unless_all_seem_taken() -> None:
    taken = Fall("died", "another process took the port", port_taken=True)
    assert after(*[taken] * MANY_PORTS).deaths.total == 0
    assert after(taken).pause_s == 0
    assert after(*[taken] * (MANY_PORTS + 1)).deaths.total == 1


def test_a_port_that_is_taken_each_time_is_a_death_like_any_other() -> None:
    """Starts without a pause are few, and a death between them gives no more of them."""
    taken = Fall("died", "another process took the port", port_taken=True)
    course, pauses = Course(), []
    while not course.given_up:
        course = course.after(taken)
        pauses.append(course.pause_s)
    assert pauses.count(0.0) == MANY_PORTS
    assert len(pauses) == MANY_PORTS + MANY_QUICK
    assert after(*[taken] * (MANY_PORTS + 1)).sane().after(taken).pause_s == 0


def test_two_failed_canaries_in_a_row_end_it_and_a_sane_one_between_them_does_not() -> None:
    garbage = Fall("garbage", "it makes no sense", served_s=QUICK_S, was_ready=True)
    assert after(garbage, garbage).given_up
    assert not after(garbage).sane().after(garbage).given_up


def test_a_server_that_is_away_is_looked_for_for_ever() -> None:
    course = after(*[Fall("away", "it does not answer")] * 50)
    assert not course.given_up
    assert course.pause_s == 30.0


def test_a_person_who_looked_gives_all_chances_back() -> None:
    course = after(*[QUICK] * MANY_QUICK).again()
    assert (course.given_up, course.deaths.quick, course.deaths.total) == (False, 0, MANY_QUICK)
    assert not course.after(QUICK).given_up


def watched(*looks: Look, ours: bool = True) -> Watch:
    watch = Watch.of(30.0, ours=ours)
    for look in looks:
        watch = watch.after(look)
    return watch


def looks(number: int, load: Load | None, *, streamed: bool = False, standing: Standing = "up") -> list[Look]:
    """Ten seconds apart, with one request in the engine."""
    return [Look(10.0 * n, standing, load, Busy(running=1, received_bytes=n * streamed)) for n in range(number)]


def test_bytes_tell_of_work_only_where_the_engine_counts_nothing() -> None:
    """Some servers send comments in a stream so that it is not cut off."""
    counts, silent = Load(running=1, output_tokens=7), Load(running=1)
    assert "while requests ran" in watched(*looks(5, counts, streamed=True)).why
    assert watched(*looks(5, silent, streamed=True)).why == ""
    assert watched(*looks(5, None, streamed=True)).why == ""
    assert "while requests ran" in watched(*looks(5, None)).why


def test_bytes_tell_of_work_where_the_count_is_not_to_be_had_any_more() -> None:
    """A page that begins to fail says nothing about the engine, and that it comes back is no work either."""
    first = looks(1, Load(running=1, output_tokens=7))[0]
    for gone in (None, Load()):
        assert watched(first, *looks(9, gone, streamed=True)[1:]).why == ""
        still = [replace(look, load=first.load if n % 2 else gone) for n, look in enumerate(looks(9, gone))]
        assert "while requests ran" in watched(first, *still[1:]).why


def test_a_counter_that_moves_is_no_hang_though_no_token_is_counted() -> None:
    moving = [
        Look(10.0 * n, "up", Load(output_tokens=7, progress=n + 1), Busy(running=1, received_bytes=0)) for n in range(8)
    ]
    assert watched(*moving).why == ""


def test_an_engine_that_computes_hangs_only_after_much_longer() -> None:
    """One long prompt takes minutes of which no counter tells; and a lost card's driver computes for ever."""
    still = looks(5 * 3 + 1, Load(output_tokens=7))
    computing = [replace(look, cpu_s=look.at_s) for look in still]
    waiting = [replace(look, cpu_s=look.at_s / 100) for look in still]
    assert watched(*computing[:-1]).why == ""
    assert watched(*computing).why == f"nothing came from the engine for {30 * PATIENCE} s while requests ran"
    assert watched(*waiting[:4]).why == "nothing came from the engine for 30 s while requests ran"


def test_a_request_that_an_engine_of_ours_has_leaked_is_nobodys() -> None:
    """Of a server with other clients it counts."""
    leaked = [
        Look(10.0 * n, "up", Load(running=1, output_tokens=500), Busy(running=0, received_bytes=9)) for n in range(5)
    ]
    assert watched(*leaked).why == ""
    assert "while requests ran" in watched(*leaked, ours=False).why


@pytest.mark.parametrize("standing", ["loading", "odd"])
def test_an_engine_that_says_twice_in_a_row_that_it_cannot_work_is_sick(standing: Standing) -> None:
    up = Look(0.0, "up")
    assert not watched(up, Look(1.0, standing), up, Look(2.0, standing)).sick
    assert watched(up, Look(1.0, standing), Look(2.0, standing)).sick
    assert not watched(up, Look(1.0, "silent"), Look(2.0, "silent")).sick  # a busy one may be slow to answer


def test_an_idle_engine_must_answer_its_health_page() -> None:
    assert "did not answer" in watched(*(Look(10.0 * n, "silent") for n in range(5))).why
    assert watched(*(Look(10.0 * n, "up", Load()) for n in range(9))).why == ""


def test_time_in_which_the_guard_itself_was_stopped_does_not_count() -> None:
    """A machine that slept for an hour has no hanging engine."""
    busy = Busy(running=1, received_bytes=0)
    times = (0.0, 3600.0, 3600.0 + LONGEST_GAP_S)
    assert watched(*(Look(at_s, "up", None, busy) for at_s in times)).why == ""


PAGE = """# HELP vllm:num_requests_running Requests
vllm:num_requests_running{engine="0",model_name="a } b"} 2.0
vllm:num_requests_running{engine="1",model_name="x"} 3.0
vllm:num_requests_running_more 50
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:generation_tokens_total{engine="0"} 1.2e+03 1700000000
vllm:prompt_tokens_total NaN
vllm:num_preemptions_total none
"""


def test_samples_of_one_name_are_added_up_and_shares_are_not() -> None:
    names = Metrics(
        running="vllm:num_requests_running",
        kv_use="vllm:kv_cache_usage_perc",
        output_tokens="vllm:generation_tokens_total",
        prompt_tokens="vllm:prompt_tokens_total",
        preemptions="vllm:num_preemptions_total",
    )
    assert read_load(PAGE, names) == Load(running=5, kv_use=0.75, output_tokens=1200)


def test_a_page_without_the_counters_that_the_recipe_names_is_told() -> None:
    """Some servers have a switch that turns them off: only streams tell of a hang then."""
    names = Metrics(running="vllm:num_requests_running", output_tokens="vllm:generation_tokens_total")
    assert not read_load(PAGE, names).uncounted
    assert read_load("process_cpu_seconds_total 3\n", names).uncounted
    assert not read_load("", Metrics(running="vllm:num_requests_running")).uncounted


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("answer", "sense"),
    [
        (reply({"choices": [{"message": {"content": "The sky is blue."}}]}), "sane"),
        (reply({"choices": [{"message": {"content": None, "reasoning_content": "Let me think."}}]}), "sane"),
        (reply({"choices": [{"text": "The sky is blue."}]}), "sane"),
        (reply({"choices": [{"text": "!" * 60}]}), "garbage"),
        (reply({"choices": [{"message": {"content": ""}}]}), "garbage"),
        (reply({"choices": []}), "garbage"),
        (reply({"data": [{"embedding": [0.1, -0.2]}]}), "sane"),
        (reply({"data": [{"embedding": [0.0, 0.0]}]}), "garbage"),
        (Reply(200, b'{"data": [{"embedding": [NaN, 1]}]}'), "garbage"),
        (reply({"data": [{"embedding": [10**400, 1]}]}), "garbage"),
        (reply({"choices": [{"message": {"content": None, "tool_calls": [{}]}}]}), "sane"),
        (reply({"error": {"message": "CUDA error"}}), "broken"),
        (Reply(200, b"<html>"), "broken"),
        (reply({}, 500), "broken"),
        (reply({}, 503), "silent"),
        (reply({}, 429), "silent"),
        (Reply(), "silent"),
    ],
)
def test_what_an_answer_to_the_canary_is_worth(answer: Reply, sense: str) -> None:
    canary = judged(answer, expect="")
    assert canary.sense == sense
    assert bool(canary.why) == (sense != "sane")
    assert "CUDA" not in canary.why


def test_memory_is_back_when_little_is_left_or_when_it_falls_no_more() -> None:
    freeing = Freeing(16_000, 16_000, 0.0)
    assert not freeing.over(1.0)
    assert freeing.after(700, now_s=1.0).over(1.0)
    falling = freeing.after(9_000, now_s=1.5)
    assert not falling.over(1.5 + VRAM_STILL_S / 2)
    assert falling.after(9_500, now_s=3.0).over(1.5 + VRAM_STILL_S)


async def test_the_next_start_waits_for_the_card_to_be_free(tmp_path: Path) -> None:
    """Not at all where nobody knows; not for ever where it stays in use."""
    file = tmp_path / "mem_info_vram_used"
    card = Card(str(file))
    assert await card.look() is None
    await card.freed(None)
    file.write_text("16000\n", encoding="ascii")
    before_bytes = await card.before_end()
    waiting = asyncio.create_task(card.freed(before_bytes))
    await asyncio.sleep(0)
    assert not waiting.done()
    file.write_text("120\n", encoding="ascii")
    await waiting


async def test_a_card_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    """A pipe that nobody writes to stands for a driver that is lost: one read of it waits, and no second one."""
    file = tmp_path / "mem_info_vram_used"
    file.write_text("16000", encoding="ascii")
    card = Card(str(file))
    assert await card.look() == 16_000
    file.unlink()
    os.mkfifo(file)
    assert await card.look() is None
    threads = threading.active_count()
    assert await card.look() is None
    assert await card.before_end() is None
    assert threading.active_count() == threads
    file.write_text("9", encoding="ascii")  # lets the reader go


def test_port_and_key_are_filled_in_wherever_they_stand() -> None:
    address = Address(4000, "k")
    assert address.fill("--bind=127.0.0.1:{port}/{key}{x}") == "--bind=127.0.0.1:4000/k{x}"
    assert len({free_port() for _ in range(20)}) > 1


async def test_a_log_is_cut_back_while_it_is_written_and_read_on(tmp_path: Path) -> None:
    """The writer keeps its handle; one older copy is kept; what it said stays known."""
    log = EngineLog(tmp_path / "engine.log", limit_bytes=1000)
    handle = log.open()
    os.write(handle, b"OSError: [Errno 98] Address already in use\n" + b"x" * 1000 + b"\n")
    log.look()
    await log.trim()
    assert (tmp_path / "engine.log").stat().st_size == 0
    assert (tmp_path / "engine.log.1").stat().st_size > 1000
    os.write(handle, b"more\n")
    os.close(handle)
    log.look()
    await log.trim()
    assert (tmp_path / "engine.log").read_bytes() == b"more\n"
    known = log.known(recent=False)
    assert known is not None
    assert known.id == "port-taken"
    os.close(log.open())
    assert log.known(recent=False) is None  # another life has said nothing yet


def test_of_a_large_log_the_last_part_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"x" * KEPT_BYTES + b"the end")
    turn_over(log)
    kept = (tmp_path / "engine.log.1").read_bytes()
    assert (len(kept), kept[-7:], log.stat().st_size) == (KEPT_BYTES, b"the end", 0)


def test_a_log_is_cut_back_though_no_copy_of_it_can_be_kept(tmp_path: Path) -> None:
    """On a full disk that is what helps. A directory in the way stands for one."""
    log = tmp_path / "engine.log"
    log.write_bytes(b"x" * 5000)
    (tmp_path / "engine.log.1").mkdir()
    turn_over(log)
    assert log.stat().st_size == 0


def test_the_last_words_count_though_their_line_never_ended(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "engine.log")
    handle = log.open()
    os.write(handle, b"z" * 3_000_000 + b"\nOSError: [Errno 98] Address already in use")
    os.close(handle)
    known = log.known(recent=True)
    assert known is not None
    assert known.id == "port-taken"


def test_a_diary_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    Diary(tmp_path / "no" / "such" / "directory").note("unheard")


def test_a_worker_has_one_guard(tmp_path: Path) -> None:
    files = GuardFiles.of(tmp_path, "gpu0")
    files.prepare()
    first, second = GuardLock(files.lock), GuardLock(files.lock)
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    second.release()


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    files = GuardFiles.of(tmp_path, "gpu0")
    files.prepare()
    record = GuardRecord(guard=(1, "x"), people=((2, "y"),), stop_grace_s=3.0)
    write_record(files, record)
    assert read_record(files) == record
    files.record.write_text("{", encoding="utf-8")
    assert read_record(files) is None
    forget_record(files)
    forget_record(files)
    assert read_record(files) is None


def test_another_flag_is_another_engine() -> None:
    launch = Launch(worker="gpu0", title="small", alias="small", argv=("a",))
    assert launch.fingerprint != launch.model_copy(update={"argv": ("a", "b")}).fingerprint
