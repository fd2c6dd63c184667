"""Whether an image is the one that was meant, and is here. Nothing is fetched: 20 GB are a person's decision."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from viiwork.containers.client import Client, Said, ask
from viiwork.containers.refusals import lacks_image, refused
from viiwork.errors import SettingsError, StartupError

DIGEST = re.compile(r"[a-z0-9][a-zA-Z0-9._/:-]*@sha256:[0-9a-f]{64}")
LOCAL = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
"""An image's own id, as `docker images --no-trunc` shows it: what was built here has no digest."""
NAME = re.compile(r"[a-z0-9][a-zA-Z0-9._/:-]{0,254}")

Ask = Callable[[Client, Sequence[str]], Said]


@dataclass(frozen=True, slots=True)
class Image:
    """One that is here."""

    id: str
    digests: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def pin(self) -> str:
        """What names it and nothing else, on any computer if that can be."""
        return self.digests[0] if self.digests else self.id


def is_pinned(image: str) -> bool:
    """Whether it can only ever be one image: a tag is another one tomorrow."""
    return bool(DIGEST.fullmatch(image) or LOCAL.fullmatch(image))


def check_pinned(image: str) -> None:
    """What its name alone tells, where nobody can be asked for the image. Raises SettingsError."""
    if not is_pinned(image):
        message = f"'{image}' is not pinned: what a tag names may be another image tomorrow."
        raise SettingsError(message, hint=PINNED, param="engine.image")


def checked_image(client: Client, image: str, *, ask: Ask = ask) -> Image:
    """The image, if it is pinned and here. Raises SettingsError or StartupError with the words that mend it."""
    if not is_pinned(image) and not NAME.fullmatch(image):
        raise SettingsError(f"'{image}' is no name of an image.", hint=PINNED, param="engine.image")
    here = look(client, image, ask=ask)
    if not is_pinned(image):
        raise _unpinned(client, image, here)
    if here is None:
        raise _absent(client, image)
    return here


def look(client: Client, image: str, *, ask: Ask = ask) -> Image | None:
    """What is known of it; None when it is not here. Raises StartupError when that cannot be told."""
    said = ask(client, ["image", "inspect", image])
    if said.code != 0:
        if lacks_image(said):
            return None
        raise refused(client, said)
    try:
        told = json.loads(said.out)[0]
        number = str(told["Id"])
        return Image(
            id=number if number.startswith("sha256:") else f"sha256:{number}",  # podman leaves that out
            digests=tuple(told.get("RepoDigests") or ()),
            size_bytes=int(told.get("Size") or 0),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise refused(client, said) from error


PINNED = "Set engine.image to name@sha256:<digest>, or to the id of an image that was built here."


def _unpinned(client: Client, image: str, here: Image | None) -> SettingsError:
    message = f"the image {image} is not pinned: what a tag names may be another image tomorrow."
    if here is not None:
        return SettingsError(message, hint=f'Set engine.image = "{here.pin}".', param="engine.image")
    told = "{{index .RepoDigests 0}}"
    hint = (
        f"Fetch it: `{client.kind} pull {image}` (some 20 GB), then set engine.image to what "
        f"`{client.kind} image inspect --format '{told}' {image}` prints."
    )
    return SettingsError(message, hint=hint, param="engine.image")


def _absent(client: Client, image: str) -> StartupError:
    if LOCAL.fullmatch(image):
        hint = f"`{client.kind} images --no-trunc` lists what is here; build or load it first."
    else:
        hint = f"Fetch it: `{client.kind} pull {image}`. Images of engines take some 20 GB; nothing is fetched unasked."
    return StartupError(f"the image {image} is not on this computer.", hint=hint, param="engine.image")
