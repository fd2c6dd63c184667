"""A hub of models on loopback: it speaks what huggingface_hub asks for, and misbehaves when told to."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

LFS_ENDINGS = (".safetensors", ".gguf", ".bin", ".pt")
HALF = 2


def commit_of(number: int) -> str:
    """A commit's id."""
    return f"{number:040x}"


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sibling(path: str, content: bytes) -> dict[str, Any]:
    """A file as the listing has it."""
    entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git_sha1(content)}
    if path.endswith(LFS_ENDINGS):
        entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
    return entry


@dataclass
class Repo:
    """A model: its commits, and what its branches and tags stand for."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    license: str = ""
    token: str = ""
    """Who does not show it gets no file: the model is gated."""
    private: bool = False
    also_listed: list[dict[str, Any]] = field(default_factory=list)
    answers_commit: str = ""

    def commit(self, revision: str) -> str:
        return revision if revision in self.commits else self.names.get(revision, "")


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    start: int
    authorization: str
    agent: str
    cdn: bool


class FakeHub:
    """`with FakeHub() as hub:`; large files come from a second server, as from a content network."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[Asked] = []
        self.cut_once: set[str] = set()
        """Files whose connection breaks in the middle, the first time."""
        self.wrong: dict[str, int] = {}
        """How often a file's bytes come wrong."""
        self.held: dict[str, threading.Event] = {}
        """Files that stop in the middle until the event is set."""
        self.reached = threading.Event()
        """Somebody waits in the middle of a held file."""
        self.no_ranges = False
        self.too_long: set[str] = set()
        self.page = b""
        """Answered to everything instead, if it is set."""
        self.status = 0
        self._hub = _serve(self, cdn=False)
        self._cdn = _serve(self, cdn=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._hub.server_address[1]}"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self._cdn.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], *, commit: int = 1, revision: str = "main", **more: Any) -> Repo:
        """A commit of a model, and the branch that stands for it."""
        repo = self.repos.setdefault(name, Repo())
        repo.commits[commit_of(commit)] = files
        repo.names[revision] = commit_of(commit)
        for key, value in more.items():
            setattr(repo, key, value)
        return repo

    def got(self, path: str) -> list[Asked]:
        """The requests for a file's bytes, whichever server sent them."""
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.endswith(f"/{path}")]

    def __enter__(self) -> FakeHub:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for event in self.held.values():
            event.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


def _serve(hub: FakeHub, *, cdn: bool) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "cdn": cdn})
    return _Server(("127.0.0.1", 0), handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    cdn: bool

    def log_message(self, *args: Any, **kwargs: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        said = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.start = int(said[1]) if said and not self.hub.no_ranges else 0
        authorization, agent = self.headers.get("Authorization", ""), self.headers.get("User-Agent", "")
        self.hub.asked.append(Asked(self.command, path, int(said[1]) if said else 0, authorization, agent, self.cdn))
        if self.hub.page or self.hub.status:
            self._send(self.hub.status or 200, self.hub.page)
        elif listing := re.fullmatch(r"/api/models/(.+)/revision/(.+)", path):
            self._with_repo(listing[1], listing[2], self._listing)
        elif file := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self._with_repo(file[1], file[2], lambda repo, commit: self._file(repo, commit, file[3]))
        else:
            self._send(404, b"")

    def _with_repo(self, name: str, revision: str, answer: Callable[[Repo, str], None]) -> None:
        repo = self.hub.repos.get(name)
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo is None or (repo.private and shown != repo.token):
            # What the real hub says to those without a token: it does not tell which of the two it is.
            self._send(401, b"Invalid username or password.", {"X-Error-Code": "RepoNotFound"} if shown else {})
        elif not (commit := repo.commit(revision)):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            answer(repo, commit)

    def _listing(self, repo: Repo, commit: str) -> None:
        told = {
            "id": "the/model",
            "sha": repo.answers_commit or commit,
            "gated": "manual" if repo.token else False,
            "cardData": {"license": repo.license} if repo.license else None,
            "siblings": [sibling(path, content) for path, content in repo.commits[commit].items()] + repo.also_listed,
        }
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json", "X-Repo-Commit": commit})

    def _file(self, repo: Repo, commit: str, path: str) -> None:
        content = repo.commits[commit].get(path)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo.token and shown != repo.token and not self.cdn:
            self._send(403 if shown else 401, b"", {"X-Error-Code": "GatedRepo"})  # its list is public
            return
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{git_sha1(content)}"'}
        if path.endswith(LFS_ENDINGS):
            headers |= {"X-Linked-ETag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
            if not self.cdn:
                self._send(302, b"", {**headers, "Location": f"{self.hub.cdn_url}{self.path}?signature=secret"})
                return
        self._bytes(path, content, headers)

    def _bytes(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        if self.hub.wrong.get(path, 0) and self.command == "GET":
            self.hub.wrong[path] -= 1
            content = bytes(byte ^ 1 for byte in content)
        total = len(content)
        sent = content[self.start :] + (b"more" * 64 if path in self.hub.too_long else b"")
        if self.start:
            headers["Content-Range"] = f"bytes {self.start}-{total - 1}/{total}"
        self.send_response(206 if self.start else 200)
        for name, value in {**headers, "Content-Length": str(len(sent))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._body(path, sent)

    def _body(self, path: str, sent: bytes) -> None:
        half = len(sent) // HALF
        self.wfile.write(sent[:half])
        self.wfile.flush()
        if path in self.hub.cut_once:
            self.hub.cut_once.discard(path)
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if path in self.hub.held:
            self.hub.reached.set()
            self.hub.held[path].wait()
        self.wfile.write(sent[half:])

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
