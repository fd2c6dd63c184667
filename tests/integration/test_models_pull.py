"""`viiwork models`, the real command, against a hub on loopback that breaks, lies, refuses and dawdles."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from huggingface_hub import close_session

from tests.fakes.hub import FakeHub, commit_of, sha256, sibling
from viiwork.cli.main import run
from viiwork.errors import NotFound, UsageError
from viiwork.models import find
from viiwork.models.openhub import QUIET
from viiwork.settings import Settings, load_settings

PATIENCE_S = 60
TOKEN = "hf_nobodyMustSeeThis"
MIB = 1024 * 1024
WEIGHTS = random.Random(4).randbytes(3 * MIB)
SMALL = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "merges.txt": b"",
}
FILES = {**SMALL, "model.safetensors": WEIGHTS}
NOT_TAKEN = {"README.md": b"# A model", ".gitattributes": b"*", "pytorch_model.bin": WEIGHTS[:64], "plot.png": b"png"}


class Ended:
    """How a command ended, and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def object(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.out)
        return told


class Box:
    """A home of its own, the fake hub, and the command line between them."""

    def __init__(self, root: Path, hub: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
        self.root, self.hub, self.dir, self._capfd = root, hub, root / "models", capfd
        self.started: list[subprocess.Popen[str]] = []

    @property
    def settings(self) -> Settings:
        return load_settings({"models": {"dir": str(self.dir)}})

    def models(self, *arguments: str) -> Ended:
        """Run one command to its end, in this process: a start costs more than most pulls here."""
        self._capfd.readouterr()
        code = run(["models", *arguments])
        said = self._capfd.readouterr()
        assert "should not have happened" not in said.err
        return Ended(code, said.out, said.err)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """A process of its own, to be killed or told something by its environment."""
        argv = [sys.executable, "-m", "viiwork.cli.main", "models", *arguments]
        process = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def alone(self, *arguments: str, **env: str) -> Ended:
        """Run one command to its end in a process of its own."""
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in err
        assert TOKEN not in out + err
        return Ended(process.returncode, out, err)

    def find(self, name: str) -> Path:
        return find(name, settings=self.settings)

    def folder(self, commit: int = 1, name: str = "org--name") -> Path:
        return self.dir / name / commit_of(commit)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        running.add("org/name", {**FILES, **NOT_TAKEN}, license="apache-2.0")
        yield running


@pytest.fixture
def box(
    tmp_path: Path, hub: FakeHub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    for name in os.environ:
        if name.upper().startswith(("HF_", "VIIWORK_", "XDG_")):
            monkeypatch.delenv(name)
    for name in QUIET:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("VIIWORK_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("VIIWORK_MODELS_ENDPOINT", hub.url)
    monkeypatch.chdir(tmp_path)
    made = Box(tmp_path, hub, capfd)
    yield made
    made.close()
    close_session()


def held(folder: Path) -> dict[str, bytes]:
    """All files below a directory, hidden ones too."""
    return {str(at.relative_to(folder)): at.read_bytes() for at in folder.rglob("*") if at.is_file()}


def half_and_held(box: Box, *, commit: int = 1) -> subprocess.Popen[str]:
    """A pull that has kept a mebibyte of the weights, which is all that comes in one piece, and waits for the rest."""
    box.hub.held["model.safetensors"] = threading.Event()
    process = box.start("pull", "org/name")
    assert box.hub.reached.wait(PATIENCE_S)
    parts = box.folder(commit) / ".parts"
    while not any(part.stat().st_size >= MIB for part in parts.glob("*.part")):  # a write may be seen half done
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_a_pull_leaves_a_plain_directory_and_a_record_pinned_to_the_commit(box: Box) -> None:
    """Real files, nothing that was not chosen, no cache; the second pull fetches nothing."""
    pulled = box.models("pull", "org/name", "--json")
    assert pulled.code == 0, pulled.err
    there = held(box.folder())
    record = json.loads(there.pop("viiwork-model.json"))
    assert there == FILES
    assert not any(path.is_symlink() for path in box.dir.rglob("*"))
    assert {path.name for path in box.root.iterdir()} == {"models"}
    assert (record["repo"], record["commit"], list(record["revisions"])) == ("org/name", commit_of(1), ["main"])
    assert (record["license"], record["source"]) == ("apache-2.0", box.hub.url)
    assert {file["path"]: file["sha256"] for file in record["files"]} == {
        path: sha256(content) for path, content in FILES.items()
    }
    assert pulled.object["fetched_bytes"] == sum(map(len, FILES.values()))
    assert box.find("org/name") == box.find("org/name@main") == box.folder()
    again = box.models("pull", "org/name", "--json")
    assert again.object["fetched_bytes"] == 0
    assert len(box.hub.got("model.safetensors")) == 2  # the hub's redirection, and the content network


def test_a_pull_says_what_it_fetches_a_line_a_file(box: Box) -> None:
    """On standard error, so that standard output holds the outcome alone."""
    pulled = box.models("pull", "org/name")
    assert f"commit {commit_of(1)}: 5 files, 3.0 MiB" in pulled.err
    assert [line.split(" (")[0] for line in pulled.err.splitlines()[1:]] == sorted(FILES)
    assert f"org/name: 3.0 MiB, commit {commit_of(1)}, licence apache-2.0" in pulled.out
    assert str(box.folder()) in pulled.out


def test_a_connection_that_breaks_is_made_anew_and_goes_on(box: Box) -> None:
    """Within one pull: the second request asks for the rest only."""
    box.hub.cut_once.add("model.safetensors")
    pulled = box.models("pull", "org/name", "--json")
    assert pulled.code == 0, pulled.err
    assert [asked.start for asked in box.hub.got("model.safetensors") if asked.cdn] == [0, MIB]
    assert held(box.folder())["model.safetensors"] == WEIGHTS
    assert pulled.object["fetched_bytes"] == sum(map(len, FILES.values()))


def test_a_pull_that_was_killed_goes_on_where_it_stopped(box: Box) -> None:
    """Until then it is listed as unfinished, and no engine is pointed at it."""
    process = half_and_held(box)
    process.kill()
    process.wait()
    box.hub.held.pop("model.safetensors").set()
    assert box.models("list", "--json").object["state"] == "unfinished"
    with pytest.raises(NotFound, match="not finished"):
        box.find("org/name")
    assert box.models("pull", "org/name").code == 0
    assert [asked.start for asked in box.hub.got("model.safetensors") if asked.cdn] == [0, MIB]
    assert held(box.folder())["model.safetensors"] == WEIGHTS
    assert len(box.hub.got("config.json")) == 1


def test_ctrl_c_says_that_what_has_come_stays(box: Box) -> None:
    """And the exit code is that of an interrupted program."""
    process = half_and_held(box)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "What has come stays" in err


def test_a_model_is_pulled_by_one_at_a_time(box: Box) -> None:
    """The second is told who the first is; when that dies, however it dies, the way is free."""
    process = half_and_held(box)
    second = box.models("pull", "org/name")
    assert second.code == 3
    assert f"pid {process.pid}" in second.err
    assert box.models("rm", "org/name", "--yes").code == 3
    process.kill()
    process.wait()
    box.hub.held.pop("model.safetensors").set()
    assert box.models("pull", "org/name").code == 0


def test_a_hub_that_cannot_go_on_sends_all_of_it_again(box: Box) -> None:
    """Two halves of different answers are never joined."""
    box.hub.no_ranges = True
    box.hub.cut_once.add("model.safetensors")
    assert box.models("pull", "org/name").code == 0
    assert held(box.folder())["model.safetensors"] == WEIGHTS


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_bytes_that_come_wrong_are_named_and_fetched_once_more(box: Box, path: str) -> None:
    """By the sha256 of a large file, by the git hash of a small one."""
    box.hub.wrong[path] = 1
    pulled = box.models("pull", "org/name")
    assert pulled.code == 0, pulled.err
    assert f"{path} is not what the hub says it is: fetched again." in pulled.err
    assert held(box.folder())[path] == FILES[path]


def test_bytes_that_come_wrong_twice_end_the_pull(box: Box) -> None:
    """The file is named, nothing of it stays, and the directory has no record."""
    box.hub.wrong["model.safetensors"] = 2
    pulled = box.models("pull", "org/name")
    assert pulled.code == 1
    assert "model.safetensors came twice with another hash" in pulled.err
    assert "viiwork-model.json" not in held(box.folder())
    assert sha256(WEIGHTS) not in " ".join(held(box.folder()))
    assert box.models("pull", "org/name").code == 0


def test_more_than_was_announced_is_not_written_without_end(box: Box) -> None:
    """A hub cannot fill the disk with a small file."""
    box.hub.too_long.add("config.json")
    pulled = box.models("pull", "org/name")
    assert pulled.code == 1
    assert "config.json came twice" in pulled.err


@pytest.mark.parametrize("path", ["../evil.json", "/tmp/viiwork-evil.json", "a/../../evil.json", "a\\..\\evil.json"])
def test_a_hub_that_lists_a_path_outside_gets_nothing_written(box: Box, path: str) -> None:
    """The whole pull is refused before the first file."""
    box.hub.repos["org/name"].also_listed.append(sibling(path, b"{}"))
    pulled = box.models("pull", "org/name")
    assert pulled.code == 1
    assert "cannot be trusted" in pulled.err
    assert held(box.root) == {}


def test_a_hub_cannot_write_the_record_itself(box: Box) -> None:
    """A file of the record's name is not fetched."""
    box.hub.repos["org/name"].commits[commit_of(1)]["viiwork-model.json"] = b'{"repo": "evil/model"}'
    assert box.models("pull", "org/name", "--include", "*.json").code == 0
    assert json.loads((box.folder() / "viiwork-model.json").read_text())["repo"] == "org/name"


def test_a_hub_that_is_asked_for_a_commit_must_answer_with_that_one(box: Box) -> None:
    """Pinned means pinned."""
    box.hub.repos["org/name"].answers_commit = commit_of(2)
    pulled = box.models("pull", f"org/name@{commit_of(1)}")
    assert pulled.code == 1
    assert "answers with" in pulled.err


def test_a_gated_model_is_explained_and_comes_with_a_token(box: Box) -> None:
    """The token goes to the hub alone: not to the content network, not to the screen, not to the disk."""
    box.hub.repos["org/name"].token = TOKEN
    refused = box.alone("pull", "org/name")
    assert refused.code == 2
    assert (
        f"org/name is gated: its owner wants its terms accepted. Accept them at {box.hub.url}/org/name" in refused.err
    )
    assert "HF_TOKEN" in refused.err
    assert box.alone("list").out.startswith("There are no models")
    assert box.alone("pull", "org/name", HF_TOKEN=TOKEN).code == 0
    assert {asked.authorization for asked in box.hub.asked if asked.cdn} == {""}
    assert f"Bearer {TOKEN}" in {asked.authorization for asked in box.hub.asked if not asked.cdn}
    assert not [path for path, content in held(box.root).items() if TOKEN.encode() in content]


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_model_that_is_not_there_is_named(box: Box, token: str) -> None:
    """A hub does not tell whether it is missing or private."""
    refused = box.alone("pull", "org/other", HF_TOKEN=token)
    assert refused.code == 2
    assert f"{box.hub.url} has no model 'org/other', or it is private." in refused.err


def test_a_revision_that_is_not_there_is_named(box: Box) -> None:
    """And where the others are to be found."""
    refused = box.models("pull", "org/name@v9")
    assert refused.code == 2
    assert "org/name has no revision 'v9'" in refused.err


def test_without_a_network_it_says_so(box: Box) -> None:
    """Exit code 3: the same command may do later."""
    refused = box.models("pull", "org/name", "--endpoint", "http://127.0.0.1:9")
    assert refused.code == 3
    assert "no connection to http://127.0.0.1:9" in refused.err
    offline = box.alone("pull", "org/name", HF_HUB_OFFLINE="1")
    assert offline.code == 3
    assert "HF_HUB_OFFLINE is set" in offline.err


@pytest.mark.parametrize(
    "page", [b"<html>Log in to the wireless network</html>", b"[]", b'{"id": "x", "siblings": [{}]}']
)
def test_an_address_that_is_no_hub_is_told_from_one(box: Box, page: bytes) -> None:
    """Such as the page of a network that wants a login first."""
    box.hub.page = page
    refused = box.models("pull", "org/name")
    assert refused.code == 1
    assert "does not answer as a hub does" in refused.err


def test_a_hub_in_trouble_is_named_with_its_answer(box: Box) -> None:
    """500 and the like pass; exit code 3 says so."""
    box.hub.status = 503
    refused = box.models("pull", "org/name")
    assert refused.code == 3
    assert "answers 503" in refused.err


def test_a_model_that_does_not_fit_is_refused_before_anything_is_fetched(box: Box) -> None:
    """With both figures; 1 GiB of the disk stays free."""
    vast = {
        **sibling("vast.safetensors", b""),
        "size": 2**60,
        "lfs": {"sha256": "0" * 64, "size": 2**60, "pointerSize": 1},
    }
    box.hub.repos["org/name"].also_listed.append(vast)
    refused = box.models("pull", "org/name")
    assert refused.code == 3
    assert "org/name needs 1073741825.0 GiB (1 GiB of it stays free), and the disk of" in refused.err
    assert not [asked for asked in box.hub.asked if "resolve" in asked.path]
    assert box.models("list").out.startswith("There are no models")


def test_a_directory_that_cannot_be_written_is_named(box: Box) -> None:
    """One line, no stack trace."""
    box.dir.write_text("a file is in the way")
    refused = box.models("pull", "org/name")
    assert refused.code == 1
    assert str(box.dir) in refused.err
    assert "models.dir" in refused.err


def test_of_a_gguf_repository_one_file_is_taken_and_found(box: Box) -> None:
    """Two of them can be here; then the name must say which."""
    files = {"m.Q4.gguf": b"4" * 99, "m.Q8.gguf": b"8" * 99, "README.md": b""}
    box.hub.add("org/many", files)
    refused = box.models("pull", "org/many")
    assert refused.code == 2
    assert "Take one by --file: m.Q4.gguf" in refused.err
    assert box.models("pull", "org/many", "--file", "*Q4*").code == 0
    folder = box.folder(name="org--many")
    assert box.find("org/many") == folder / "m.Q4.gguf"
    assert set(held(folder)) == {"m.Q4.gguf", "viiwork-model.json"}
    assert box.models("pull", "org/many/m.Q8.gguf").code == 0
    assert len(box.hub.got("m.Q4.gguf")) == 2
    with pytest.raises(UsageError, match=r"org/many/m\.Q4\.gguf, org/many/m\.Q8\.gguf"):
        box.find("org/many")
    assert box.find("org/many/m.Q8.gguf@main") == folder / "m.Q8.gguf"
    assert box.models("list", "--verify").code == 0


def test_a_branch_that_moves_is_found_anew_and_shares_what_did_not_change(box: Box) -> None:
    """Weights of the same hash are hard links: not fetched again, and freed with the last of them."""
    box.models("pull", "org/name")
    box.hub.add("org/name", {**FILES, "config.json": b'{"model_type": "mistral"}'}, commit=2)
    box.hub.asked.clear()
    assert box.models("pull", "org/name").code == 0
    assert not box.hub.got("model.safetensors")
    assert box.find("org/name") == box.folder(2)
    assert box.find(f"org/name@{commit_of(1)}") == box.folder(1)
    assert box.models("pull", f"org/name@{commit_of(1)}").code == 0
    assert box.find("org/name") == box.folder(2)
    first = box.models("rm", f"org/name@{commit_of(2)}", "--yes", "--json").object
    assert first["freed_bytes"] < MIB
    last = box.models("rm", "org/name", "--yes", "--json").object
    assert last["freed_bytes"] > len(WEIGHTS)
    assert set(held(box.dir)) == {".locks/org--name"}


def test_a_tag_and_a_branch_of_one_commit_are_one_directory(box: Box) -> None:
    """Both names find it; a revision that was not pulled is not guessed."""
    box.hub.repos["org/name"].names["v1"] = commit_of(1)
    box.models("pull", "org/name@v1")
    assert box.find("org/name") == box.folder()
    box.models("pull", "org/name")
    assert box.find("org/name@v1") == box.find("org/name@main") == box.folder()
    with pytest.raises(NotFound, match="viiwork models pull org/name@v2"):
        box.find("org/name@v2")


def test_what_a_disk_has_spoilt_is_found_by_verify_and_mended_by_a_pull(box: Box) -> None:
    """A size that fits proves nothing; a missing file is seen without reading any."""
    box.models("pull", "org/name")
    weights = box.folder() / "model.safetensors"
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    assert box.models("list").code == 0
    spoilt = box.models("list", "org/name", "--verify", "--json")
    assert (spoilt.code, spoilt.object["wrong"]) == (1, ["model.safetensors"])
    assert "model.safetensors is not what it was when it came" in box.models("pull", "org/name").err
    assert weights.read_bytes() == WEIGHTS
    (box.folder() / "config.json").unlink()
    missing = box.models("list")
    assert missing.code == 1
    assert "missing: config.json" in missing.out


def test_a_directory_of_one_s_own_gets_a_name_and_stays_where_it_is(box: Box, tmp_path: Path) -> None:
    """Hashed, found, checked; nothing is written into it, and `rm` removes the name only."""
    own = tmp_path / "own"
    own.mkdir()
    for path, content in FILES.items():
        (own / path).write_bytes(content)
    (own / ".git").mkdir()
    (own / ".git" / "HEAD").write_text("x")
    before = held(own)
    assert box.models("pull", str(own)).code == 2
    assert box.models("pull", str(own), "--name", "mine").code == 0
    assert box.find("mine") == own
    assert held(own) == before
    listed = box.models("list", "mine", "--verify", "--json")
    assert (listed.code, listed.object["path"]) == (0, str(own))
    (own / "config.json").write_bytes(b"{}")
    assert box.models("list", "--verify").code == 1
    assert box.models("pull", str(own), "--name", "mine").code == 0
    assert box.models("list", "--verify", "--json").object["state"] == "ok"
    assert box.models("rm", "mine", "--yes").code == 0
    assert own.is_dir()
    with pytest.raises(NotFound):
        box.find("mine")
    assert box.models("pull", str(tmp_path / "nothing"), "--name", "x").code == 2
    (tmp_path / "empty").mkdir()
    assert "holds no model" in box.models("pull", str(tmp_path / "empty"), "--name", "x").err


def test_a_path_is_found_as_it_is(box: Box, tmp_path: Path) -> None:
    """A directory or a file needs no name; one that is not there is an error that says so."""
    assert box.find(str(tmp_path)) == tmp_path
    with pytest.raises(NotFound, match="no file or directory"):
        box.find(str(tmp_path / "nothing"))


def test_a_model_s_directory_is_the_same_wherever_a_process_runs(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one is taken from where it was named; names that no file can have are no paths."""
    box.models("pull", "org/name", "--dir", "here")
    settings = load_settings({"models": {"dir": "here"}})
    monkeypatch.chdir("/")
    assert find("org/name", settings=settings) == box.root / "here" / "org--name" / commit_of(1)
    for name in ("x" * 300, "~nobody-by-this-name/x", "\0", ""):
        with pytest.raises(UsageError):
            find(name, settings=settings)


def test_a_model_in_use_is_not_removed(box: Box) -> None:
    """An engine that was started with its path, and a fleet that was told to serve it by its name."""
    box.models("pull", "org/name")
    sleeper = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    link = box.root / "linked"
    link.symlink_to(box.folder().parent)
    for argv, env in (
        ([*sleeper, "--model", str(box.folder())], {}),
        ([*sleeper, "--model", str(link / box.folder().name)], {}),
        ([*sleeper, f"--config={box.folder()}/config.json"], {}),
        (sleeper, {"VIIWORK_ENGINE_MODEL": "org/name"}),
    ):
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, env={**os.environ, **env}, stdin=pipe, stdout=pipe) as user:
            assert user.stdout is not None
            user.stdout.readline()  # only by now can its arguments be read for certain
            refused = box.models("rm", "org/name", "--yes")
            user.kill()
        assert refused.code == 2
        assert f"org/name is in use (pid {user.pid})" in refused.err
    assert box.models("rm", "org/name", "--yes").code == 0


def test_rm_asks_and_without_a_person_wants_yes(box: Box) -> None:
    """A typing error removes nothing; a name that is not here is an error."""
    box.models("pull", "org/name")
    refused = box.models("rm", "org/name")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert box.folder().is_dir()
    assert box.models("rm", "org/name@v9", "--yes").code == 2
    assert box.models("rm", "org/other", "--yes").code == 2


def test_the_hub_hears_nothing_but_the_list_and_the_files(box: Box) -> None:
    """No telemetry: no other address, and a user agent that names programs and no more."""
    box.alone("pull", "org/name")
    assert {asked.path.split("/")[1] for asked in box.hub.asked} == {"api", "org"}
    assert len([asked for asked in box.hub.asked if asked.path.startswith("/api/")]) == 1
    for asked in box.hub.asked:
        assert {part.split("/")[0].strip() for part in asked.agent.split(";")} == {"viiwork", "hf_hub", "python"}


def test_other_commands_do_not_load_the_hub_s_library() -> None:
    """It takes half a second and reads its variables when it is imported."""
    program = "import sys, viiwork.cli.commands as c; c.app_of(*c.PLACES); sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_stranger_with_the_lock_of_a_dead_pull_is_no_obstacle(box: Box) -> None:
    """The lock's file stays; what counts is who holds it."""
    (box.dir / ".locks").mkdir(parents=True)
    (box.dir / ".locks" / "org--name").write_text(f"{max(psutil.pids()) + 1}\n")
    assert box.models("pull", "org/name").code == 0
