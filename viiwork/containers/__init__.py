"""Containers: which program runs them here, how one is started, found and ended. Images are never fetched from here."""
