"""The store's Lua scripts on kombu's own connections, which the hub reads by hand."""

from __future__ import annotations

import hashlib
from typing import Any

from redis.exceptions import NoScriptError

from viiwork.store.scripts import Arg, Scripts


class HubScript:
    """One script, called on a connection that is idle at that moment."""

    def __init__(self, name: str, *, prefix: str) -> None:
        self._prefix = prefix
        self._source = Scripts(prefix=prefix).source(name)
        self._digest = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, connection: Any, *args: Arg) -> Any:
        """Its reply as it comes, text as bytes. Raises redis' errors."""
        connection.send_command("EVALSHA", self._digest, 1, self._prefix, *args)
        try:
            return connection.read_response()
        except NoScriptError:  # the server was restarted
            connection.send_command("EVAL", self._source, 1, self._prefix, *args)
            return connection.read_response()
