"""`python -I -S small_engine.py PORT KEY PLAN`: a server for the tests of guards, up in a few hundredths of a second.

PLAN is a JSON file that is read again at every request, so that a test can change its mind:
say (lines for its log), exit (at once, with this code), loading (so many looks answer 503), answer (to the canary),
odd (so many canaries are answered with nothing at first), slow (seconds that each takes), status (of the answer to the
canary), sick (status of the health page), metrics (the page), helper (start a process that outlives it), stubborn
(ignores SIGTERM), late (binds its port when this file is there), models (that it lists).
With only (a pid) the rest of the plan is that process' alone, with first (a number) that of so many lives: the next
life does well, however late a test looks.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

PORT, KEY, PLAN = int(sys.argv[1]), os.environ.get("API_KEY", sys.argv[2]), sys.argv[3]
LOOKS = [0]
ASKED = [0]


def plan():
    with open(PLAN, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes longer to import than all of this
        told = json.load(file)
    return told if told.get("only", os.getpid()) == os.getpid() else {}


def first_lives():
    """The plan at the start of this life, if it is one of those that it is for."""
    now = plan()
    if "first" not in now:
        return now
    with open(PLAN + ".lives", "a", encoding="utf-8") as lives:  # noqa: PTH123 - as above
        lives.write("x")
        lives.flush()
        return now if lives.tell() <= now["first"] else {}


def help_me():
    """A process in a session of its own, as EngineCore is; it loses its parent when that dies."""
    if os.fork() == 0:
        os.setsid()
        if plan().get("stubborn"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()


def answer(path, key):
    now = plan()
    if path == "/health":
        LOOKS[0] += 1
        if "sick" in now:
            return now["sick"], ""
        return (503 if LOOKS[0] <= now.get("loading", 0) else 200), ""
    if key != f"Bearer {KEY}":
        return 401, ""
    if path == "/v1/models":
        return 200, json.dumps({"data": [{"id": name} for name in now.get("models", ["small"])]})
    if path == "/metrics":
        return 200, now.get("metrics", "")
    if path == "/v1/chat/completions":
        ASKED[0] += 1
        time.sleep(now.get("slow", 0))
        text = now.get("answer", "The sky is blue on a clear day.")
        if ASKED[0] <= now.get("odd", 0):
            text = ""
        return now.get("status", 200), json.dumps({"choices": [{"message": {"content": text}}]})
    return 404, ""


def serve(line):
    with line:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = line.recv(65536)
            if not piece:
                return
            head += piece
        text = head.decode("latin-1")
        headers = dict(each.split(": ", 1) for each in text.split("\r\n\r\n")[0].split("\r\n")[1:])
        headers = {name.lower(): value for name, value in headers.items()}
        wanted, body = int(headers.get("content-length", 0)), head.split(b"\r\n\r\n", 1)[1]
        while len(body) < wanted:
            body += line.recv(65536)
        status, reply = answer(text.split(" ")[1], headers.get("authorization", ""))
        line.sendall(
            f"HTTP/1.1 {status} So\r\nContent-Length: {len(reply)}\r\nConnection: close\r\n\r\n{reply}".encode()
        )


def main():
    now = first_lives()
    for said in now.get("say", []):
        print(said, flush=True)
    if "exit" in now:
        sys.exit(now["exit"])
    if now.get("helper"):
        help_me()
    while "late" in now and not os.path.exists(now["late"]):  # noqa: PTH110 - as above
        time.sleep(0.02)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT))
        listener.listen(64)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


main()
