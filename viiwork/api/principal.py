"""Who a request comes from: whose work it may see, and what it may do. The door puts it into the ASGI scope."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from viiwork.apikeys import EVERY_SCOPE, ApiKey, Scope

IN_SCOPE = "viiwork.principal"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Where keys are off `key` is None, the tenant is the submitter's label, and everything may be done."""

    tenant: str
    scopes: frozenset[Scope] = EVERY_SCOPE
    key: ApiKey | None = None

    @property
    def admin(self) -> bool:
        """Whether everything of everybody may be seen and done."""
        return Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether what needs this scope may be done."""
        return scope in self.scopes or self.admin

    def sees(self, tenant: str) -> bool:
        """Whether this tenant's things are there for whoever asks."""
        return self.admin or tenant == self.tenant

    @property
    def name(self) -> str:
        """As the audit log calls it."""
        return self.key.name if self.key else self.tenant


def principal(request: Request) -> Principal:
    """Who sends this request."""
    found: Principal = request.scope[IN_SCOPE]
    return found


def enter(scope: AsgiScope, who: Principal) -> None:
    """Let all that is inside know who it is."""
    scope[IN_SCOPE] = who
