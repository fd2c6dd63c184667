"""What each address asks of a key. What is not in the table is for admins alone; a test holds it against the API."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from viiwork.api.principal import Principal
from viiwork.apikeys import Scope
from viiwork.errors import Forbidden
from viiwork.store.blobwire import BLOBS_PATH


class Need(StrEnum):
    """What an address asks for that no scope says."""

    NOTHING = "nothing"
    """Not even a key."""
    ANY_KEY = "any key"
    WORKER_TOKEN = "worker token"  # noqa: S105 - its name
    """It looks for that itself."""


READ, SUBMIT, ADMIN = Scope.READ, Scope.SUBMIT, Scope.ADMIN
NEEDS: Mapping[str, Scope | Need] = {
    "GET /health/live": Need.NOTHING,
    "GET /health/ready": Need.NOTHING,
    "GET /v1/whoami": Need.ANY_KEY,
    "GET /v1/limits": Need.ANY_KEY,
    "GET /metrics": READ,
    # the OpenAI-compatible side
    "POST /v1/chat/completions": SUBMIT,
    "POST /v1/completions": SUBMIT,
    "POST /v1/embeddings": SUBMIT,
    "GET /v1/models": READ,
    "GET /v1/models/{model_id}": READ,
    "POST /v1/files": SUBMIT,
    "GET /v1/files": READ,
    "GET /v1/files/{file_id}": READ,
    "GET /v1/files/{file_id}/content": READ,
    "DELETE /v1/files/{file_id}": SUBMIT,
    "POST /v1/batches": SUBMIT,
    "GET /v1/batches": READ,
    "GET /v1/batches/{batch_id}": READ,
    "GET /v1/batches/{batch_id}/output": READ,
    "POST /v1/batches/{batch_id}/cancel": SUBMIT,
    "POST /v1/batches/{batch_id}/pause": SUBMIT,
    "POST /v1/batches/{batch_id}/resume": SUBMIT,
    # jobs and analyses
    "POST /v1/jobs": SUBMIT,
    "GET /v1/jobs/{job_id}": READ,
    "GET /v1/jobs/{job_id}/events": READ,
    "POST /v1/jobs/{job_id}/cancel": SUBMIT,
    "POST /v1/analyses": SUBMIT,
    "GET /v1/analyses": READ,
    "GET /v1/analyses/{analysis_id}": READ,
    "GET /v1/analyses/{analysis_id}/documents": READ,
    "GET /v1/analyses/{analysis_id}/events": READ,
    "GET /v1/analyses/{analysis_id}/results": READ,
    "POST /v1/analyses/{analysis_id}/cancel": SUBMIT,
    "POST /v1/analyses/{analysis_id}/pause": SUBMIT,
    "POST /v1/analyses/{analysis_id}/resume": SUBMIT,
    "POST /v1/analyses/{analysis_id}/priority": SUBMIT,
    "POST /v1/analyses/{analysis_id}/retry": SUBMIT,
    "DELETE /v1/analyses/{analysis_id}": SUBMIT,
    "GET /v1/dead": READ,
    "GET /v1/dead/{job_id}": READ,
    "POST /v1/dead/retry": SUBMIT,
    "POST /v1/dead/purge": SUBMIT,
    "POST /v1/dead/{job_id}/retry": SUBMIT,
    "DELETE /v1/dead/{job_id}": SUBMIT,
    # callbacks
    "GET /v1/callbacks": READ,
    "POST /v1/callbacks/replay": SUBMIT,
    "POST /v1/callbacks/secret": SUBMIT,
    "GET /v1/callbacks/endpoints": READ,
    "POST /v1/callbacks/endpoints": SUBMIT,
    "POST /v1/callbacks/endpoints/{endpoint_id}/rotate": SUBMIT,
    "POST /v1/callbacks/endpoints/{endpoint_id}/test": SUBMIT,
    "DELETE /v1/callbacks/endpoints/{endpoint_id}": SUBMIT,
    # the fleet
    "GET /v1/fleet": READ,
    "GET /v1/fleet/runs": READ,
    "GET /v1/fleet/drains": READ,
    "GET /v1/fleet/swaps": READ,
    "GET /v1/fleet/quarantine": READ,
    "POST /v1/fleet/drains": ADMIN,
    "POST /v1/fleet/drains/lift": ADMIN,
    "POST /v1/fleet/swaps": ADMIN,
    "POST /v1/fleet/quarantine/lift": ADMIN,
    "POST /v1/fleet/hold": ADMIN,
    "POST /v1/fleet/hold/lift": ADMIN,
    "GET /v1/keys": ADMIN,
    "POST /v1/keys": ADMIN,
    "POST /v1/keys/{key_name}/rotate": ADMIN,
    "DELETE /v1/keys/{key_name}": ADMIN,
    "GET /v1/keys/{key_name}/limits": ADMIN,
    "POST /v1/keys/{key_name}/limits": ADMIN,
    f"GET {BLOBS_PATH}": Need.WORKER_TOKEN,
    f"GET {BLOBS_PATH}/{{blob_id}}": Need.WORKER_TOKEN,
    f"PUT {BLOBS_PATH}/{{blob_id}}": Need.WORKER_TOKEN,
}
"""By method and path. Submitting is also steering and deleting what is one's own."""


def check_scope(who: Principal, address: str) -> None:
    """Raises Forbidden where the key is not for this."""
    need = NEEDS.get(address, Scope.ADMIN)
    if need in (Need.NOTHING, Need.WORKER_TOKEN) or (need is Need.ANY_KEY and who.scopes):
        return
    if isinstance(need, Scope) and who.may(need):
        return
    has = ", ".join(sorted(who.scopes)) or "none"
    hint = f"This one has {has}. Ask whoever runs this service for another."
    raise Forbidden(f"This needs a key with the scope {need}.", hint=hint)
