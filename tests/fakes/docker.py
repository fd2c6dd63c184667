"""A fake `docker`: it writes down how it is called, and runs what is to be run as a process of this host."""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = """#!{python} -IS
import json, os, subprocess, sys
from pathlib import Path

here = Path({folder!r})
words = sys.argv[1:]
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps(words) + "\\n")
refusal = here / "refusal"
if refusal.exists():
    sys.stderr.write(refusal.read_text())
    sys.exit(125)
running = here / "running"


def value(name):
    return words[words.index(name) + 1]


if words[0] == "version":
    print("20.10.24")
elif words[:2] == ["image", "inspect"]:
    print(json.dumps([{{"Id": "sha256:" + "0" * 64, "RepoDigests": [], "Size": 5}}]))
elif words[:2] == ["container", "inspect"]:
    print(running.read_text().split()[0] if running.exists() else 0, "id-1")
elif words[0] == "ps":
    if running.exists():
        print("id-1", running.read_text().split(" ", 1)[1])
elif words[0] == "stop":
    if running.exists():
        os.kill(int(running.read_text().split()[0]), 15)
elif words[0] == "rm":
    running.unlink(missing_ok=True)
elif words[0] == "run":
    labels = dict(word.split("=", 1) for flag, word in zip(words, words[1:]) if flag == "--label")
    passed = [word for flag, word in zip(words, words[1:]) if flag == "--env"]
    env = {{name: os.environ[name] for name in passed if "=" not in name}}
    at = words.index("--entrypoint")
    child = subprocess.Popen([words[at + 1], *words[at + 3 :]], env=env, start_new_session=True)
    running.write_text(f"{{child.pid}} {{labels['viiwork.guard']}}")
    code = child.wait()
    sys.exit(128 - code if code < 0 else code)
"""


def fake_docker(folder: Path) -> Path:
    """The program `docker` in `folder`: its calls are in `calls.jsonl`; a file `refusal` is all that it then says."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(SCRIPT.format(python=sys.executable, folder=str(folder)), "utf-8")
    program.chmod(0o755)
    return program
