"""`/v1/analyses`, besides starting and steering one: which there are, their documents, trying again, deleting."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from viiwork.api.analyses import MAX_POSITION, checked, whole
from viiwork.api.dead import came_before, once_of
from viiwork.api.intake import Intake
from viiwork.api.priced import priced
from viiwork.api.principal import principal
from viiwork.api.requests import check_query
from viiwork.documents.outcomes import OF_CONTENT
from viiwork.errors import UsageError
from viiwork.jobs import BatchState
from viiwork.outcomes import MOST, AnalysisPage, DocumentPage, Retried
from viiwork.receipts import Receipt
from viiwork.store.analyses import Wanted, listed
from viiwork.store.items import documents, retry_failed
from viiwork.store.removal import remove
from viiwork.wire import public

OF_METADATA = re.compile(r"metadata\[(.{1,64})\]\Z", re.DOTALL)
PARAMETERS = ("status", "submitter", "after", "limit")
METADATA = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "description": "`metadata[KEY]=VALUE`: only analyses with these metadata.",
    "schema": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string"},
    },
}

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])

After = Annotated[int | None, Query(ge=0, le=MAX_POSITION, description="The `after` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


@router.get("", response_model=AnalysisPage, openapi_extra={"parameters": [METADATA]})
async def list_analyses(
    request: Request,
    status: Annotated[list[BatchState] | None, Query(description="May be given several times.")] = None,
    submitter: Annotated[str, Query(max_length=128)] = "",
    after: After = None,
    limit: Limit = 100,
) -> JSONResponse:
    """Analyses and files of jobs, the newest first: one's own, for an admin everybody's.

    `metadata[KEY]=VALUE` asks for those with these metadata.
    """
    desk: Intake = request.app.state.intake
    who, metadata = principal(request), _metadata(request)
    if submitter and not who.sees(submitter):
        return JSONResponse(public(AnalysisPage()))
    wanted = Wanted(states=frozenset(status or ()), tenant=submitter if who.admin else who.tenant, metadata=metadata)
    page = await listed(desk.store, wanted, after=after, limit=limit)
    shown = tuple(priced(one, desk.settings.power) for one in page.analyses)
    return JSONResponse(public(page.model_copy(update={"analyses": shown})))


@router.get("/{analysis_id}/documents", response_model=DocumentPage)
async def list_documents(request: Request, analysis_id: str, after: After = None, limit: Limit = 100) -> JSONResponse:
    """How each document stands, in the order of sending."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(await documents(desk.store, checked(analysis_id), after=after or 0, limit=limit)))


@router.post("/{analysis_id}/retry", response_model=Retried)
async def retry(
    request: Request,
    analysis_id: str,
    *,
    every: Annotated[bool, Query(alias="all", description="Also those that cannot be read.")] = False,
) -> JSONResponse:
    """Try the documents again that failed, expired or died; rows with an answer stay as they are.

    Those that cannot be read, such as encrypted ones, would fail as they did: they are skipped, but for `all`.
    Sent again with its Idempotency-Key it starts none twice, whatever has failed since.
    """
    desk: Intake = request.app.state.intake
    analysis = whole(analysis_id, "retried")
    await came_before(request, desk, [analysis, "all"] if every else analysis)
    hopeless = () if every else OF_CONTENT
    return JSONResponse(public(await retry_failed(desk.store, analysis, once=once_of(request), but=hopeless)))


@router.delete("/{analysis_id}", response_model=Receipt, responses={202: {"model": Receipt}})
async def delete(request: Request, analysis_id: str) -> JSONResponse:
    """Delete it and all that is kept of it; what runs is stopped first. 202 while the last of it is still going."""
    desk: Intake = request.app.state.intake
    done = await remove(desk.store, whole(analysis_id, "deleted"))
    return JSONResponse(public(done), 200 if done.finished else 202)


def _metadata(request: Request) -> dict[str, str]:
    """What `metadata[KEY]` asks for. Raises UsageError for a parameter that there is not, or a key given twice."""
    asked: dict[str, str] = {}
    others = []
    for name, value in request.query_params.multi_items():
        found = OF_METADATA.match(name)
        if not found:
            others.append(name)
        elif found[1] in asked:
            raise UsageError(f"metadata[{found[1]}]: is given twice.", param="metadata")
        else:
            asked[found[1]] = value
    check_query(others, PARAMETERS, of="GET /v1/analyses")
    return asked
