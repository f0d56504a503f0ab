"""A headless Chromium, spoken to over a pipe in the DevTools protocol: no driver, no socket, no extra package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PLACE_PIPES = """
import os, sys
read, write = map(int, sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.nice(5)
os.execv(sys.argv[3], sys.argv[3:])
"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """The browser's path: TOKENTIDE_CHROMIUM, else the first known name; None when there is none."""
    return os.environ.get("TOKENTIDE_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser process with pages. Use as a context manager; it ends with the block."""

    def __init__(self, path: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The protocol's file descriptors are 3 and 4, which a child sets before it becomes the browser.
        pipes = tuple(fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (to_browser, from_browser))
        command = [
            path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
            "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLACE_PIPES, *map(str, pipes), *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pipes,
        )
        for one in pipes:
            os.close(one)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._next_id = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.close(self._write)
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._read)

    def call(self, method: str, session: str | None = None, timeout_s: float = 60.0, **parameters: Any) -> Any:
        """Send a command and return its result. Fails with the browser's error."""
        self._next_id += 1
        number = self._next_id
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + timeout_s
        while number not in self._answers:
            assert time.monotonic() < deadline_s, f"{method}: no answer within {timeout_s:g} s"
            self.pump(0.2)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def pump(self, wait_s: float) -> None:
        """Take in what the browser says."""
        if not select.select([self._read], [], [], wait_s)[0]:
            return
        chunk = os.read(self._read, 1 << 20)
        assert chunk, "the browser has ended"
        *messages, self._buffer = (self._buffer + chunk).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)

    def page(self, width: int, height: int, *, dark: bool, touch: bool = False) -> Page:
        """A new, empty page of this size in CSS pixels, which knows nothing of what others kept in the browser."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, context, session, (width, height), dark=dark, touch=touch)


class Page:
    """One tab."""

    def __init__(
        self, browser: Chromium, context: str, session: str, size: tuple[int, int], *, dark: bool, touch: bool
    ) -> None:
        self._browser = browser
        self._context = context
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(*size)
        if touch:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def call(self, method: str, **parameters: Any) -> Any:
        """A protocol command for this page."""
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int) -> None:
        """Another size in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url: str) -> None:
        """Go to an address; does not wait."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 60.0) -> Any:
        """Until the expression is true in the page; returns its value."""
        deadline_s = time.monotonic() + timeout_s
        while not (
            value := self.run(f"(() => {{ const value = {expression}; return value instanceof Node || value; }})()")
        ):
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {expression}"
            self._browser.pump(0.05)
        return value

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        at = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
        )
        self.mouse("mouseMoved", *at)
        self.mouse("mousePressed", *at)
        self.mouse("mouseReleased", *at)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """One mouse event at a place of the viewport."""
        button = "none" if kind == "mouseMoved" else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1, buttons=1)

    def key(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path) -> None:
        """Write what the viewport shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def problems(self) -> list[str]:
        """Console errors, uncaught exceptions, failed requests and refusals of the content policy so far."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            method, detail = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(str(detail["exceptionDetails"].get("exception", {}).get("description")))
            elif method == "Runtime.consoleAPICalled" and detail["type"] in ("error", "assert"):
                found.append(str([one.get("value", one.get("description")) for one in detail["args"]]))
            elif method == "Log.entryAdded" and detail["entry"]["level"] == "error":
                found.append(detail["entry"]["text"] + " " + detail["entry"].get("url", ""))
        return found

    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)
