"""Pictures of the figures: a headless Chromium photographs the written page. IO.

It is spoken to over a pipe in the DevTools protocol, so that nothing listens on a port.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tokentide_deploy.errors import DeployError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH_PX: Final = 1240
SCALE: Final = 2
_ANSWER_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 10
# The protocol's file descriptors are 3 and 4, which a child sets before it becomes the browser.
_PLACE_PIPES: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class NoBrowserError(DeployError):
    """There is no Chromium to make pictures with."""


class BrowserError(DeployError):
    """Chromium ended, refused something, or did not answer."""


def find_browser() -> str:
    """Path of a Chromium: TOKENTIDE_CHROMIUM, else the first known name on the PATH. Raises NoBrowserError."""
    given = os.environ.get("TOKENTIDE_CHROMIUM")
    if given and not Path(given).is_file():
        raise NoBrowserError(f"TOKENTIDE_CHROMIUM is {given!r}, which is no file: correct it or unset it.")
    found = given or next((path for name in NAMES if (path := shutil.which(name))), None)
    if not found:
        raise NoBrowserError(
            f"--png-dir needs Chromium or Chrome, and none of {', '.join(NAMES)} is on the PATH. Install one, set "
            "TOKENTIDE_CHROMIUM to its path, or leave --png-dir out: the HTML and --csv-dir need no browser."
        )
    return found


def photograph(
    page: Path, ids: Sequence[str], folder: Path, path: str, report: Callable[[str, float], None]
) -> list[Path]:
    """Write one PNG for each id of an element of the page; `report` hears each and its seconds. Raises BrowserError."""
    written = []
    with tempfile.TemporaryDirectory() as profile, _Browser(path, Path(profile)) as browser:
        browser.open(page)
        for id_ in ids:
            started_s = time.monotonic()
            target = folder / f"{id_}.png"
            target.write_bytes(browser.picture(id_))
            written.append(target)
            report(target.name, time.monotonic() - started_s)
    return written


class _Browser:
    def __init__(self, path: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        pipes = tuple(fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (to_browser, from_browser))
        command = [
            path, "--headless", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        if os.geteuid() == 0:
            # Chromium refuses to run its sandbox as root; it sees nothing but the page that we wrote.
            command.insert(1, "--no-sandbox")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLACE_PIPES, *map(str, pipes), *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=pipes,
        )  # fmt: skip
        for one in (*pipes, to_browser, from_browser):
            os.close(one)
        self._buffer = b""
        self._next_id = 0
        self._session = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_TIMEOUT_S)
        os.close(self._read)

    def open(self, page: Path) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call(
            "Emulation.setDeviceMetricsOverride", width=WIDTH_PX, height=1000, deviceScaleFactor=SCALE, mobile=False
        )
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
        self._call("Page.enable")
        # Given as its text: a browser in a sandbox of its own, as some systems install it, may not read the folder.
        frame = self._call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        self._call("Page.setDocumentContent", frameId=frame, html=page.read_text(encoding="utf-8"))

    def picture(self, id_: str) -> bytes:
        """PNG of the element with this id."""
        script = (
            f"(() => {{ const b = document.getElementById({json.dumps(id_)}).getBoundingClientRect();"
            " return [b.left + scrollX, b.top + scrollY, b.width, b.height]; })()"
        )
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"Chromium does not find figure {id_} on the page; this is a fault of tokentide.")
        x, y, width, height = answer["result"]["value"]
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        try:
            rest = json.dumps(message).encode() + b"\0"
            while rest:
                rest = rest[os.write(self._write, rest) :]
        except BrokenPipeError as error:
            raise BrowserError("Chromium ended; the HTML is written, run again without --png-dir.") from error
        deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
        while True:
            for answer in self._take(deadline_s, method):
                if answer.get("id") == self._next_id:
                    if "error" in answer:
                        raise BrowserError(f"Chromium refused {method}: {answer['error'].get('message')}")
                    result: dict[str, Any] = answer["result"]
                    return result

    def _take(self, deadline_s: float, method: str) -> list[dict[str, Any]]:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([self._read], [], [], left_s)[0]:
            raise BrowserError(f"Chromium did not answer {method} within {_ANSWER_TIMEOUT_S:g} s; the HTML is written.")
        chunk = os.read(self._read, 1 << 20)
        if not chunk:
            raise BrowserError("Chromium ended; the HTML is written, run again without --png-dir.")
        *messages, self._buffer = (self._buffer + chunk).split(b"\0")
        return [json.loads(text) for text in messages]
