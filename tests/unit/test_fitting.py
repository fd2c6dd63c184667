"""What a person sees on 80 and on 120 columns: whole words, a line a row where it can be, nothing silently lost."""

from __future__ import annotations

import re

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from viiwork.cli.board import board
from viiwork.cli.cardtable import card_table
from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.rates import Rates
from viiwork.cli.screen import PLAIN_COLUMNS, out, plain, reading_columns
from viiwork.cli.tables import fleet_view
from viiwork.cli.up import fleet_table
from viiwork.devices import Device, Link, Reading, Temperature
from viiwork.fleet.report import FleetReport, ProcessReport
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import CardStatus, FleetStatus, QueueDepth, WorkerCard, WorkerStatus

MODEL = "qwen3-30b-a3b-instruct-2507-awq"
HOST = "rig-in-the-lab"
GIB = 1 << 30
SCREENS = (80, 120, 200)


def shown(view: RenderableType, *, columns: int) -> list[str]:
    console = Console(width=columns, highlight=False)
    with console.capture() as text:
        console.print(view)
    return [line.rstrip() for line in text.get().splitlines()]


def words(lines: list[str]) -> set[str]:
    return {word.rstrip(":") for line in lines for word in line.split()}


def card(number: int) -> Device:
    return Device(f"simulated-{number}", "simulated", number, "simulated Radeon VII", "gfx906", 16 * GIB)


READING = Reading(
    state="ok",
    vram_used_bytes=14 * GIB,
    busy_percent=100.0,
    temperatures=(
        Temperature("edge", 81.0, 100.0),
        Temperature("junction", 99.0, 105.0),
        Temperature("mem", 84.0, 94.0),
    ),
    power_w=231.4,
    cap_w=250.0,
    core_mhz=1801,
    memory_mhz=1001,
    link=Link(8.0, 16),
)


def worker(*numbers: int, engine_state: str = "ready") -> WorkerStatus:
    told = [
        CardStatus(
            name="simulated Radeon VII",
            id=f"simulated-{number}",
            number=number,
            vram_used_bytes=14 * GIB,
            vram_total_bytes=16 * GIB,
            temperature_c=99.0,
            sensor="junction",
            critical_c=105.0,
            power_w=231.0,
            cap_w=250.0,
        )
        for number in numbers
    ]
    name = "+".join(f"gpu{number}" for number in numbers)
    return WorkerStatus(
        card=WorkerCard(
            name=f"{name}@{HOST}",
            incarnation=name,
            host=HOST,
            pid=1,
            engine="simulated Radeon VII",
            engine_state=engine_state,
            model=MODEL,
            slots=16,
            limit=12,
            kv_use=0.25,
            tokens_per_s=1088.4,
            cards=tuple(told),
        ),
        in_flight={Lane.INTERACTIVE: 2, Lane.BATCH: 10},
        beat_age_ms=700,
    )


def fleet_of(*groups: tuple[int, ...]) -> FleetStatus:
    reader = WorkerCard(
        name=f"reader0@{HOST}", incarnation="r", host=HOST, pid=1, engine="reader", model=READER_MODEL, slots=4
    )
    queues = tuple(QueueDepth(model=MODEL, lane=lane, waiting=123_456, running=96) for lane in Lane)
    workers = (*(worker(*each) for each in groups), WorkerStatus(card=reader))
    return FleetStatus(fleet="default", workers=workers, queues=queues)


EIGHT = fleet_of(*((number,) for number in range(8)))
TEN = fleet_of((0, 1), (2, 3), *((number,) for number in range(4, 10)))


@pytest.mark.parametrize("columns", SCREENS)
@pytest.mark.parametrize("fleet", [EIGHT, TEN], ids=["eight", "ten in groups"])
def test_gpus_has_a_line_a_card_and_tears_no_word(fleet: FleetStatus, columns: int) -> None:
    """Whose it is and how warm stand on every screen."""
    holders = {card.id: each for each in fleet.workers for card in each.card.cards}
    lines = shown(
        card_table([(card(number), READING) for number in range(len(holders))], holders=holders), columns=columns
    )
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if re.match(r" *\d+ ", line)]
    assert len(rows) == len(holders)
    assert all({"simulated", "99/105", "84/94", "231/250", "14.0/16.0"} <= set(row.split()) for row in rows)
    assert {each.card.name.partition("@")[0] for each in holders.values()} <= words(rows)


@pytest.mark.parametrize("columns", SCREENS)
@pytest.mark.parametrize("fleet", [EIGHT, TEN], ids=["eight", "ten in groups"])
@pytest.mark.parametrize("view", ["status", "top"])
def test_status_and_top_tear_no_word(fleet: FleetStatus, columns: int, view: str) -> None:
    """A long model's name, a worker's and what each kind of card is called."""
    lines = shown(fleet_view(fleet) if view == "status" else board(fleet, Rates()), columns=columns)
    assert max(map(len, lines)) <= columns
    whole = {MODEL, "simulated", "Slots", "123456", "99/105", "231/250"}
    assert whole | {each.card.name for each in fleet.workers} <= words(lines)


def test_at_120_columns_a_worker_is_one_line() -> None:
    """Only what others tell in part is left out, and that is said."""
    lines = shown(fleet_view(EIGHT), columns=120)
    assert sum(MODEL in line for line in lines) == 8 + 2  # and its two lanes
    assert sum(line.startswith("gpu3@") for line in lines) == 2  # as a worker, and with its card
    assert all("Interactive" not in line for line in lines if line.startswith("Left out"))


def test_what_is_left_out_is_named() -> None:
    text = "\n".join(shown(card_table([(card(0), READING)]), columns=60))
    assert "Left out on so narrow a screen:" in text
    assert "Link GT/s, Arch." in " ".join(text.split())
    assert "gfx906" not in text
    assert "Left out" not in "\n".join(shown(card_table([(card(0), READING)]), columns=200))


def test_a_long_reason_breaks_between_its_words_and_takes_no_column_away() -> None:
    """One card's trouble must not cost the others their figures."""
    put_away = worker(0).model_copy(update={"quarantine": "It died twice with the only job that it had in it."})
    holders = {"simulated-0": put_away, "simulated-1": worker(1)}
    lines = shown(card_table([(card(number), READING) for number in range(2)], holders=holders), columns=120)
    assert {"quarantined", "died", "twice", "only"} <= words(lines)
    assert "99/105" in next(line for line in lines if line.startswith("1 "))


def test_a_screen_too_narrow_for_any_table_has_a_block_a_row() -> None:
    """With everything in it, each beside its heading."""
    table = FittedTable(
        Column("Name"), Column("What\nis it"), Column("Count", rank=1, right=True), Column("Said", wraps=True)
    )
    table.add_row(plain("a-rather-long-name"), plain("x" * 20), plain("7"), plain("one two three four five six"))
    lines = shown(table, columns=30)
    assert max(map(len, lines)) <= 30
    assert lines[0] == "a-rather-long-name"
    assert lines[1].split() == ["What", "is", "it:", "x" * 20][: len(lines[1].split())]
    assert {"x" * 20, "7", "six", "Count", "Said"} <= words(lines)


@pytest.mark.parametrize("columns", SCREENS)
def test_what_up_prints_has_a_line_a_process_and_tears_no_path(columns: int) -> None:
    """A socket's path is left out rather than broken, and that is said."""
    engine = ProcessReport(
        name="gpu0", role="engine", pid=18328, state="ready", engine="simulated Radeon VII", model=MODEL, slots=16
    )
    path = "unix:///home/kim/.local/state/viiwork/default/redis.sock"
    server = ProcessReport(name="redis", role="server", pid=18319, state="ready", engine="Valkey 9.1.2", address=path)
    report = FleetReport(fleet="default", state_dir="/", pid=1, api_url="", processes=(server, engine))
    lines = shown(fleet_table(report), columns=columns)
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("gpu0") and "engine: simulated" in line and MODEL in line for line in lines)
    assert path in words(lines) or lines[-1].startswith("Left out")


def test_a_mark_without_a_heading_stands_beside_the_name_in_a_block() -> None:
    """As `doctor` has its verdicts."""
    table = FittedTable(Column("Check"), Column(""), Column("Found", wraps=True))
    table.add_row(plain("Engine image"), plain("warn"), plain("y" * 25))
    assert shown(table, columns=34) == ["Engine image  warn", "  Found: " + "y" * 25]


def test_a_table_without_rows_is_its_headings() -> None:
    assert shown(FittedTable(Column("Name"), Column("Said", wraps=True)), columns=80)[0].split() == ["Name", "Said"]


def test_a_file_or_a_pipe_is_never_too_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`Left out on so narrow a screen` was said where there was no screen."""
    monkeypatch.delenv("COLUMNS", raising=False)
    table = FittedTable(Column("Name"), Column("Address", rank=1))
    table.add_row(Text("x" * 100), Text("y" * 100))
    out().print(table)
    shown = capsys.readouterr().out
    assert f"{'x' * 100}  {'y' * 100}" in shown
    assert "Left out" not in shown
    assert reading_columns(out()) == PLAIN_COLUMNS
