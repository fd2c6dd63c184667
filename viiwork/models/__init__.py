"""Language models' files: fetched from a hub, pinned to a commit, hashed, found again by name."""

from viiwork.models.find import find

__all__ = ["find"]
