"""How much each tenant may ask for, where nothing is said of its key. Nobody is limited unless these say so."""

from __future__ import annotations

from viiwork.limits import LimitFields
from viiwork.settings.section import Section


class LimitsSection(Section, LimitFields):
    """The limits that a tenant's keys share; each by its name there."""
