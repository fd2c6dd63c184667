"""Redis: keys, Lua scripts (one file each) and a typed facade over them."""

from viiwork.store.blobs import BlobRef, BlobStore
from viiwork.store.facade import Store
from viiwork.store.intake import Fence
from viiwork.store.opening import open_store

__all__ = ["BlobRef", "BlobStore", "Fence", "Store", "open_store"]
