"""Engines that are programs of others: how to start each, as data."""

from viiwork.recipes.launch import Launch
from viiwork.recipes.recipe import Dialect, Metrics, Recipe

__all__ = ["Dialect", "Launch", "Metrics", "Recipe"]
