"""What the audit log is told: acts of admins, and whatever is done to what is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.types import Scope

from viiwork.api.principal import IN_SCOPE, Principal
from viiwork.api.tenancy import OWNER
from viiwork.auditlog import AuditLog

ACTS: Mapping[str, str] = {
    "POST /v1/keys": "key.created",
    "POST /v1/keys/{key_name}/rotate": "key.rotated",
    "DELETE /v1/keys/{key_name}": "key.revoked",
    "POST /v1/keys/{key_name}/limits": "key.limited",
    "POST /v1/fleet/drains": "card.drained",
    "POST /v1/fleet/drains/lift": "card.undrained",
    "POST /v1/fleet/swaps": "model.swapped",
    "POST /v1/fleet/quarantine/lift": "quarantine.lifted",
    "POST /v1/dead/retry": "dead.retried",
    "POST /v1/dead/purge": "dead.purged",
    "POST /v1/dead/{job_id}/retry": "dead.retried",
    "DELETE /v1/dead/{job_id}": "dead.purged",
}
"""By address. A hold is none of them: it is said again every few seconds, and over by itself."""
BODY = "body"
"""Where a request's state has its body, once it is read and checked."""


def act_of(scope: Scope) -> str:
    """What to call what was done; empty for what nobody needs to know of."""
    route = scope.get("route")
    address = f"{scope['method']} {route.path}" if route is not None and hasattr(route, "path") else ""
    if address in ACTS:
        return ACTS[address]
    who: Principal = scope[IN_SCOPE]
    owner = scope.get(OWNER, who.tenant)
    return f"others.{address}" if address and owner != who.tenant and scope["method"] != "GET" else ""


async def note(scope: Scope, *, request_id: str) -> None:
    """Write down what was done, before it is answered."""
    if IN_SCOPE not in scope or not (act := act_of(scope)):
        return
    who: Principal = scope[IN_SCOPE]
    body = scope.get("state", {}).get(BODY)
    said: dict[str, Any] = dict(scope.get("path_params", {}))
    said |= body.model_dump(mode="json", exclude_defaults=True) if isinstance(body, BaseModel) else {}
    more = {"key": who.key.id if who.key else "", "owner": scope.get(OWNER, ""), "request": request_id}
    log: AuditLog = scope["app"].state.audit
    known = {name: value for name, value in more.items() if value}
    await asyncio.to_thread(log.write, act, by=who.name, said=said, **known)
