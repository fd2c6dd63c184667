"""The seam to `huggingface_hub`: a model's files and their bytes, with its errors in our words.

It is imported only when something is pulled. Not used: its cache (files lie where an engine can be pointed at them)
and `hf_hub_download`, which since 1.x begins anew when a process that was downloading has died.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urlsplit

from huggingface_hub import HfApi, ModelInfo, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import (  # type: ignore[attr-defined] # exported, without saying so
    build_hf_headers,
    hf_raise_for_status,
)

from viiwork.errors import ModelError, NotFound, Unavailable, UsageError, ViiworkError
from viiwork.models.hub import Body
from viiwork.models.listing import HubFile, Listing
from viiwork.models.names import DEFAULT_REVISION, ModelName

US = "viiwork"
TIMEOUT_S = 30.0
"""Without a byte."""
BLOCK_BYTES = 1024 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TRANSPORT_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
"""The HTTP library's own root: httpx with huggingface_hub 1, httpx2 with 2."""
RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
LOGIN = "set HF_TOKEN to a token of an account that may, or log in with `hf auth login`"


class HuggingFace:
    """The hub at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.address = endpoint.rstrip("/")
        # Warnings that a hub sends along would go to the terminal as they are.
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
        self._token = None if _is_private(self.address) else False

    def listing(self, name: ModelName) -> Listing:
        """The files of the commit that `name` stands for now; unchecked."""
        api = HfApi(endpoint=self.address, token=self._token, library_name=US, library_version=version(US))
        revision = name.revision or DEFAULT_REVISION
        with self._translated(name.repo, revision):
            try:
                info = api.model_info(name.repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
                return _listing(name.repo, info)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError("no listing") from error

    @contextmanager
    def body(self, listing: Listing, file: HubFile, *, start: int) -> Iterator[Body]:
        """A file's bytes, from `start` on if the hub can."""
        url = hf_hub_url(listing.repo, file.path, revision=listing.commit, endpoint=self.address)
        headers: dict[str, str] = build_hf_headers(token=self._token, library_name=US, library_version=version(US))
        headers["Accept-Encoding"] = "identity"
        if start:
            headers["Range"] = f"bytes={start}-"
        with (
            self._translated(listing.repo, listing.commit, file.path),
            get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            said = RANGE.fullmatch(response.headers.get("Content-Range", ""))
            at = int(said[1]) if said and response.status_code == 206 else 0
            yield Body(at, response.iter_bytes(BLOCK_BYTES))

    @contextmanager
    def _translated(self, repo: str, revision: str, path: str = "") -> Iterator[None]:
        try:
            yield
        except ViiworkError:
            raise
        except HfHubHTTPError as error:
            raise self._refusal(error, repo, revision, path) from error
        except OfflineModeIsEnabled as error:
            raise Unavailable("HF_HUB_OFFLINE is set: nothing can be fetched.", hint="Unset it.") from error
        except TRANSPORT_ERROR as error:
            raise Unavailable(f"no connection to {self.address}: {_reason(error)}.", hint=_try_again(path)) from error
        except ValueError as error:
            raise ModelError(f"{self.address} does not answer as a hub does.", hint="Check models.endpoint.") from error

    def _refusal(self, error: HfHubHTTPError, repo: str, revision: str, path: str) -> ViiworkError:
        """What a status code means for whoever asked."""
        status = error.response.status_code
        page = f"{self.address}/{repo}"
        if isinstance(error, GatedRepoError):
            return UsageError(
                f"{repo} is gated: its owner wants its terms accepted.",
                hint=f"Accept them at {page}, then {LOGIN}.{self._no_token()}",
                code="gated_model",
            )
        if isinstance(error, RevisionNotFoundError):
            return NotFound(f"{repo} has no revision '{revision}'.", hint=f"Its branches and tags: {page}/tree/main")
        if isinstance(error, RemoteEntryNotFoundError):
            return ModelError(f"{repo} has lost its file '{path}'.", hint="Pull again: the list may have changed.")
        if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
            return NotFound(
                f"{self.address} has no model '{repo}', or it is private.",
                hint=f"Check the name. If it is private, {LOGIN}.{self._no_token()}",
            )
        if status in (408, 429) or status >= 500:
            return Unavailable(f"{self.address} answers {status}.", hint=_try_again(path))
        return ModelError(f"{self.address} answers {status}.", hint="Check models.endpoint.")

    def _no_token(self) -> str:
        return "" if self._token is None else " No token is sent to this hub: the way to it is not encrypted."


def _is_private(endpoint: str) -> bool:
    """Whether nobody on the way reads along, so that a token may be sent."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def _listing(repo: str, info: ModelInfo) -> Listing:
    card = info.card_data
    license_name = card.get("license") if card is not None else None
    files = tuple(_file(sibling) for sibling in info.siblings or ())
    return Listing(
        repo, str(info.sha), files, license_name if isinstance(license_name, str) else "", gated=bool(info.gated)
    )


def _file(sibling: RepoSibling) -> HubFile:
    size = sibling.lfs.size if sibling.lfs else sibling.size
    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    return HubFile(str(sibling.rfilename), int(-1 if size is None else size), str(sha256), str(sibling.blob_id))


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return (text or type(error).__name__).rstrip(".")[:200]


def _try_again(path: str) -> str:
    return "Check the network and pull again." + (" It goes on where it stopped." if path else "")
