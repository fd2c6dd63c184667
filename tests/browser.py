"""A real browser (Chromium without a window) that presses and reads as a person does, by the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.workers import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium on this machine; on Debian: apt-get install --no-install-recommends chromium"
SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # root has none, and only pages of ours are opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--window-size=1600,1000",
    "--remote-debugging-port=0",
)


def chromium() -> str | None:
    """Where it is; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page. What an expression of JavaScript comes to is answered as plain data."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        """What the page's own scripts stumbled over, and alerts."""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = json.loads(await self._socket.receive_str(timeout=60))
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            await self._hear(told)

    async def _hear(self, told: dict[str, Any]) -> None:
        if told["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(told["params"]["exceptionDetails"]))
        elif told["method"] == "Page.javascriptDialogOpening":
            self.errors.append(told["params"]["message"])
            closes = {"id": next(self._numbers), "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            await self._socket.send_json(closes)

    async def js(self, expression: str) -> Any:
        """What it comes to; promises are waited for."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    async def open(self, url: str) -> None:
        """Go there, and wait until the page and its scripts are loaded."""
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def until(self, expression: str, *, within_s: float = 30.0) -> None:
        """Wait until it holds."""

        async def holds() -> bool:
            return bool(await self.js(expression))

        await eventually(holds, within_s=within_s, what=expression)

    async def texts(self, selector: str) -> list[str]:
        """What a person reads there, of each that can be seen."""
        seen = f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.checkVisibility())"
        return list(await self.js(f"{seen}.map(e => e.innerText.trim())"))

    async def press(self, selector: str) -> None:
        """With the mouse, in the middle of what can be seen of it, as soon as nothing covers it."""
        found = f"document.querySelector({json.dumps(selector)})"
        middle = (
            f"(() => {{ const e = {found}; if (!e || !e.checkVisibility() || e.disabled) return null;"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect();"
            " const at = [r.x + r.width / 2, r.y + r.height / 2]; const top = document.elementFromPoint(...at);"
            " return e === top || e.contains(top) ? at : null })()"
        )
        seen: list[Any] = [None]

        async def rests() -> bool:
            seen.append(await self.js(middle))
            return seen[-1] is not None and seen[-1] == seen[-2]

        await eventually(rests, what=f"{selector} is there to be pressed")
        x, y = seen[-1]
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type_into(self, selector: str, text: str) -> None:
        """In the place of what stands there."""
        await self.press(selector)
        await self.js(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)

    async def picture(self, path: Path) -> None:
        """What a person sees, as a PNG."""
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))


@asynccontextmanager
async def browse(profile: Path, *, headers: dict[str, str]) -> AsyncIterator[Tab]:
    """A browser of its own, which sends these headers with whatever it asks for; nothing of it is left."""
    program = chromium()
    assert program, MISSING
    profile.mkdir(parents=True)
    argv = [program, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
    with (profile / "chromium.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        address = await _address(profile, process)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Runtime", "Network"):
                await tab.call(f"{domain}.enable")
            await tab.call("Network.setExtraHTTPHeaders", headers=headers)
            still = {"name": "prefers-reduced-motion", "value": "reduce"}
            await tab.call("Emulation.setEmulatedMedia", features=[still])
            yield tab
    finally:
        _end_session(process)


async def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where its one page is spoken to; it writes its port down when it is up."""
    port_file = profile / "DevToolsActivePort"

    async def up() -> bool:
        assert process.poll() is None, (profile / "chromium.log").read_text(errors="replace")
        return port_file.exists() and "\n" in port_file.read_text()

    await eventually(up, within_s=60, what="Chromium is up")
    port = port_file.read_text().splitlines()[0]
    pages: list[dict[str, str]] = []

    async with aiohttp.ClientSession() as session:

        async def shown() -> bool:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages[:] = [page for page in await answer.json() if page["type"] == "page"]
            return bool(pages)

        await eventually(shown, what="a page in Chromium")
    return pages[0]["webSocketDebuggerUrl"]


def _end_session(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
