"""What the power room of a running `viiwork up` holds a host to, as `viiwork power show` shows it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich import box
from rich.table import Table

from viiwork.cli.screen import one_line, out, plain, print_json
from viiwork.heldback import shown
from viiwork.jobs import Lane
from viiwork.powerfile import Order, PowerFile, read_power
from viiwork.wire import public


def ruling_now(state_dir: Path, *, now_s: float) -> PowerFile | None:
    """What holds, by the host's monotonic clock; None where no power room is kept, or it was silent for too long."""
    told = read_power(state_dir)
    return told if told is not None and 0.0 <= now_s - told.at_s <= told.believed_s else None


def print_ruling(told: PowerFile, *, as_json: bool) -> None:
    """One more object, or a few lines below the cards."""
    if as_json:
        print_json({"ruling": public(told)})
        return
    for line in ruling_lines(told, now=datetime.now().astimezone()):
        out().print(plain(line), soft_wrap=True)
    if told.workers:
        out().print(workers_table(told))


def ruling_lines(told: PowerFile, *, now: datetime) -> list[str]:
    """Budget, draw, hours, lanes, and why something was taken away."""
    lines = []
    if told.host_watts is not None and told.room_w is not None:
        lines.append(f"Budget: {told.host_watts:,.0f} W at the wall, which leaves {told.room_w:,.0f} W for cards.")
    if told.wall_w is not None and told.drawn_w is not None:
        over = f", {told.over_w:,.0f} W too much" if told.over_w else ""
        lines.append(f"Drawn: {told.drawn_w:,.0f} W by the cards{over}; about {told.wall_w:,.0f} W at the wall.")
    until = f" until {shown(datetime.fromisoformat(told.until), now=now)}" if told.until else ""
    lines.append(f"Hours: {told.entry or 'outside of all entries of the schedule'}{until}.")
    if len(told.lanes) < len(Lane):
        lines.append(f"Lanes: {' and '.join(told.lanes) or 'none'} alone.")
    return [*lines, *([f"Why: {told.why}."] if told.why else [])]


def workers_table(told: PowerFile) -> Table:
    """What each worker may do."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(plain("Worker"))
    table.add_column(plain("Slots"), justify="right")
    table.add_column(plain("Why"), overflow="fold")
    for name, order in told.workers.items():
        table.add_row(plain(one_line(name)), plain(f"{order.share:.0%}" if order.may_run else "0%"), plain(_why(order)))
    return table


def _why(order: Order) -> str:
    return one_line(order.why) or ("" if order.may_load else "its turn to load has not come")
