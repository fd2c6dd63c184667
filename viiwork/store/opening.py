"""Opening the store: find the server, check it, make the scripts known."""

from __future__ import annotations

from redis.exceptions import RedisError

from viiwork.queues import make_envelope
from viiwork.settings import Settings
from viiwork.store.blobcache import BlobCache
from viiwork.store.blobs import Blobs, BlobStore
from viiwork.store.connection import unavailable
from viiwork.store.embedded import locate
from viiwork.store.endpoint import connect
from viiwork.store.facade import Store
from viiwork.store.halfway import check_whole
from viiwork.store.server_check import check_server


async def open_store(settings: Settings) -> Store:
    """The fleet's store, on the embedded server or the one that `redis.url` names.

    Raises StoreUnavailable, in one line, for a server that is not there, too old, or a Redis Cluster,
    and for a fleet that is only half restored.
    """
    url = locate(settings)
    store = make_store(settings, url)
    try:
        await check_server(store.client, url=url)
        await check_whole(store)
        await store.scripts.load(store.client)
    except (RedisError, OSError) as error:
        await store.close()
        raise unavailable(error) from error
    except BaseException:
        await store.close()
        raise
    return store


def make_store(settings: Settings, url: str) -> Store:
    """A store on `url`; nothing is sent yet."""
    return Store(
        connect(url, decode_responses=True),
        fleet=settings.fleet.name,
        prefix=settings.prefix,
        envelope=make_envelope(),
        blobs=open_blobs(settings),
        ttl_ms=settings.results.ttl_ms,
    )


def open_blobs(settings: Settings) -> Blobs:
    """The fleet's blobs: the directory, or the head's API where `blobs.url` names one. Nothing is sent yet."""
    where = settings.blobs
    if not where.url:
        return BlobStore(settings.blobs_dir)
    from viiwork.store.blobhttp import RemoteBlobs  # noqa: PLC0415 - aiohttp: most processes have no use for it

    cache = BlobCache(settings.state_dir / "blob-copies", limit_bytes=where.cache_bytes)
    return RemoteBlobs(where.url, token=where.token, cache=cache, ca_file=where.ca_file, token_file=where.token_file)
