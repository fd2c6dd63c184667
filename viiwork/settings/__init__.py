"""Everything that can be set: tables of `viiwork.toml`, `VIIWORK_*` variables, flags."""

from viiwork.settings.blobs import BlobsSection
from viiwork.settings.callbacks import CallbacksSection
from viiwork.settings.engines import DevicesSection, EngineSection, ModelsSection, ServeEntry, WorkersSection
from viiwork.settings.known import names, section_of, tables, variables
from viiwork.settings.load import load_settings
from viiwork.settings.naming import LISTS, SCHEDULE, SERVE, meant, variable_of
from viiwork.settings.places import default_models_dir, default_state_dir
from viiwork.settings.power import PowerSection, ScheduleEntry
from viiwork.settings.section import MIB, NAME_PATTERN, Port, Positive, Section
from viiwork.settings.service import ApiSection, FleetSection, FlowerSection, QueueSection, RedisSection, ResultsSection
from viiwork.settings.settings import Settings
from viiwork.settings.settled import held_in

__all__ = [
    "LISTS",
    "MIB",
    "NAME_PATTERN",
    "SCHEDULE",
    "SERVE",
    "ApiSection",
    "BlobsSection",
    "CallbacksSection",
    "DevicesSection",
    "EngineSection",
    "FleetSection",
    "FlowerSection",
    "ModelsSection",
    "Port",
    "Positive",
    "PowerSection",
    "QueueSection",
    "RedisSection",
    "ResultsSection",
    "ScheduleEntry",
    "Section",
    "ServeEntry",
    "Settings",
    "WorkersSection",
    "default_models_dir",
    "default_state_dir",
    "held_in",
    "load_settings",
    "meant",
    "names",
    "section_of",
    "tables",
    "variable_of",
    "variables",
]
