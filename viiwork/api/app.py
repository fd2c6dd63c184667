"""Composition root of the HTTP door: routes, error translation and the store's life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware

from viiwork.api import (
    analyses,
    blobs,
    callbacks,
    dead,
    document,
    drains,
    endpoints,
    events,
    fleet,
    hold,
    jobs,
    keys,
    metrics,
    outcomes,
    problems,
    quarantine,
    swaps,
    usage,
)
from viiwork.api.door import Door
from viiwork.api.gate import Gate
from viiwork.api.intake import Intake
from viiwork.api.keyring import Keyring
from viiwork.api.openai import batches, files
from viiwork.api.openai import bodies as openai_bodies
from viiwork.api.openai import models as openai_models
from viiwork.api.openai import routes as openai_routes
from viiwork.api.openai.attachments import Attachments
from viiwork.api.openai.short import Short
from viiwork.api.requests import AnalysisBody, JobBody, LineBody
from viiwork.api.room import Room
from viiwork.api.tenancy import guard
from viiwork.api.workertokens import WorkerTokens
from viiwork.auditlog import AuditLog
from viiwork.settings import Settings
from viiwork.store import Store, open_store
from viiwork.store.gathering import Gathering
from viiwork.store.watch import Watch

FOR_PAGES = ("location", "retry-after", "x-request-id", "x-should-retry", "x-viiwork-durability")
"""Headers of answers that pages of `api.cors_origins` may read."""


def create_app(settings: Settings, store: Store | None = None) -> FastAPI:
    """The application. Without a `store` it opens one when it starts and closes it when it stops."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        opened = store or await open_store(settings)
        if store is None:
            _furnish(app, opened, settings)
        try:
            async with app.state.callbacks:
                yield
        finally:
            await app.state.watch.close()
            await app.state.attachments.close()
            if store is None:
                await opened.close()

    # The pages that FastAPI offers for its schema load scripts from elsewhere, so they stay off.
    app = FastAPI(
        title="VIIWork",
        version=installed_version(),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(guard)],
    )
    if store is not None:
        _furnish(app, store, settings)
    problems.install(app)
    app.add_exception_handler(blobs.Shut, blobs.refuse)
    for room in (
        openai_routes,
        openai_models,
        jobs,
        analyses,
        dead,
        events,
        fleet,
        hold,
        quarantine,
        metrics,
        outcomes,
        blobs,
        drains,
        swaps,
        endpoints,
        callbacks,
        files,
        keys,
        usage,
        batches,
    ):
        app.include_router(room.router)
    app.add_middleware(Short, handlers=openai_routes.HANDLERS)
    app.state.room = Room(max(settings.api.max_bodies_bytes, settings.api.max_json_bytes))
    app.add_middleware(Door, settings=settings.api, gate=Gate(settings.api), room=app.state.room)
    if settings.api.cors_origins:  # around the door, so that pages may read its refusals too
        app.add_middleware(
            CORSMiddleware,  # no cookies: there are none here
            allow_origins=settings.api.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=FOR_PAGES,
        )
    _describe_bodies(app)
    return app


def _furnish(app: FastAPI, store: Store, settings: Settings) -> None:
    app.state.intake = Intake(store, settings)
    app.state.watch = Watch(store.client, prefix=store.prefix)
    app.state.asker = Gathering(store)
    app.state.attachments = Attachments(store.directory)
    app.state.callbacks = app.state.intake.callbacks
    app.state.keyring = Keyring(store)
    app.state.audit = AuditLog(settings.state_dir)
    tokens = WorkerTokens(settings.state_dir)
    app.state.shelf = blobs.Shelf(store.directory, tokens, limit_bytes=settings.api.max_document_bytes)


def installed_version() -> str:
    """This package's version."""
    try:
        return version("viiwork")
    except PackageNotFoundError:
        return "unknown"


def _describe_bodies(app: FastAPI) -> None:
    """Bodies are read by hand (they stream, and have limits of their own), so their schemas are added by hand."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        described = document.completed(generate())
        template = "#/components/schemas/{model}"
        of_rooms = (
            *(analyses.PriorityBody, dead.SomeDead, hold.HoldBody, hold.LiftBody, quarantine.SomeWorkers),
            *(drains.DrainBody, drains.SomeCards, swaps.SwapBody),
            *(endpoints.EndpointBody, endpoints.RotationBody, callbacks.SomeCallbacks),
            *(keys.KeyBody, keys.KeyRotationBody, usage.LimitsBody),
            batches.BatchBody,
        )
        models = (AnalysisBody, JobBody, LineBody, *of_rooms, *openai_bodies.BODIES.values())
        _, bodies = models_json_schema([(model, "validation") for model in models], ref_template=template)
        described["components"]["schemas"].update(bodies["$defs"])
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
