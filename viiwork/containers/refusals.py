"""What docker and podman say when they cannot: told in our own words, with what to do."""

from __future__ import annotations

import getpass
from contextlib import suppress

from viiwork.containers.client import Client, Said, ask
from viiwork.errors import StartupError

MAY_NOT = ("permission denied while trying to connect", "dial unix /var/run/docker.sock: connect: permission denied")
NO_DAEMON = ("cannot connect to the docker daemon", "is the docker daemon running", "error during connect")
NO_IMAGE = ("no such image", "image not known", "unable to find image")
SILENT = "timeoutexpired"


def refused(client: Client, said: Said) -> StartupError:
    """The error for an answer that is none."""
    err = said.err.lower()
    if any(words in err for words in MAY_NOT):
        who = _user()
        return _error(
            f"{who} may not use {client.kind}.",
            f"sudo usermod -aG docker {who}, then log in again. Whoever is in that group can become root: podman needs "
            "no such group.",
        )
    if any(words in err for words in NO_DAEMON):
        return _error("the Docker daemon does not answer.", "sudo systemctl start docker, or see why it ended.")
    if SILENT in err:
        return _error(f"{client.kind} does not answer.", "See whether its daemon hangs: `docker info`.")
    return _error(f"{client.kind} cannot do its work.", f"`{client.kind} info` says more.")


def server_version(client: Client) -> str:
    """Of the daemon, or of podman itself. Raises StartupError where it does not answer."""
    form = "{{.Server.Version}}" if client.kind == "docker" else "{{.Client.Version}}"
    said = ask(client, ["version", "--format", form])
    if said.code != 0:
        raise refused(client, said)
    return said.out.strip()


def lacks_image(said: Said) -> bool:
    """Whether all that is wrong is that the image is not there."""
    return any(words in said.err.lower() for words in NO_IMAGE)


def _error(message: str, hint: str) -> StartupError:
    return StartupError(message, hint=hint, param="engine.container")


def _user() -> str:
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return "this user"
