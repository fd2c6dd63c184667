"""`/v1/models`: what is served, and by how many workers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from viiwork.api.intake import Intake
from viiwork.api.openai.orders import context_of
from viiwork.api.openai.problems import refusal
from viiwork.api.openai.shapes import ServedModel, ServedModels
from viiwork.errors import ModelNotServed
from viiwork.roster import FleetStatus, WorkerStatus

router = APIRouter(prefix="/v1/models", tags=["openai"])
READY = ("", "ready")


@router.get("", response_model=ServedModels)
async def models(request: Request) -> JSONResponse:
    """The models that are served now."""
    desk: Intake = request.app.state.intake
    fleet = await desk.fleet(fresh=True)
    return JSONResponse({"object": "list", "data": [model_of(fleet, name) for name in fleet.models]})


@router.get("/{model_id}", response_model=ServedModel)
async def model(request: Request, model_id: str) -> JSONResponse:
    """One of them."""
    desk: Intake = request.app.state.intake
    fleet = await desk.fleet(fresh=True)
    if model_id not in fleet.models:
        return refusal(
            ModelNotServed("model: nobody serves this model.", hint=f"Served here: {_names(fleet)}.", param="model")
        )
    return JSONResponse(model_of(fleet, model_id))


def model_of(fleet: FleetStatus, name: str) -> dict[str, Any]:
    """A model as the API has it; besides, how long its prompts may be and who serves it."""
    workers = [worker for worker in fleet.workers if worker.card.model == name and worker.card.engine != "reader"]
    cards = [worker.card for worker in workers]
    first = cards[0]
    told = {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "viiwork",
        "context_length": context_of(fleet, name) or None,
        "max_model_len": context_of(fleet, name) or None,
        "replicas": len(workers),
        "ready": sum(map(is_ready, workers)),
        "slots": sum(card.slots for card in cards),
        "engine": first.engine,
        "quantization": first.quantization or None,
        "revision": first.revision or None,
        "cannot": sorted(set.intersection(*(set(card.cannot) for card in cards))),
    }
    return told | ({"notice": first.notice} if first.notice else {})


def is_ready(worker: WorkerStatus) -> bool:
    """Whether it takes jobs now."""
    return worker.card.engine_state in READY and not worker.quarantine


def _names(fleet: FleetStatus) -> str:
    return ", ".join(fleet.models) or "nothing yet"
