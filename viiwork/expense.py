"""What energy costs, as it is told on the wire."""

from __future__ import annotations

from viiwork.wire import Wire


class Cost(Wire):
    """Of the joules that stand beside it, by the settings of the service that tells it."""

    cards_kwh_at_wall: float
    """Those joules, and what the power supply lost on the way. What the machine draws beside its cards is not in it."""
    money: float | None = None
    """In `currency`; None where the settings have no tariff."""
    currency: str | None = None
    co2_g: float | None = None
    """None where the settings do not say what a kilowatt-hour emits."""
