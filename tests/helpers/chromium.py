"""A real Chromium without a window, spoken to over two pipes in its own protocol.

No driver and no package beside the browser is needed. Everything that the page asks for, and every
error that it reports, is noted.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIABLE = "SAGSAE_CHROMIUM"
"""Environment variable with the path of the browser, where it has another name."""
CODES = {"Enter": 13, "Escape": 27}
"""Keys that the browser itself goes by, by the number that it knows them by."""


def find() -> str | None:
    """The browser of this machine, if there is one."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab.

    Attributes:
        requests: every address that was asked for.
        errors: what the console reports as an error or warning, and exceptions.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, os.fdopen(from_browser, "rb", buffering=0)
        self._rest, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._loaded = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the browser and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._from.read(2**16)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        self._note(received.get("method", ""), received.get("params", {}))
        return received

    def _note(self, method: str, values: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(values["exceptionDetails"])[:2000])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.errors.append(json.dumps(values["args"])[:2000])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.errors.append(values["entry"]["text"])
        elif method == "Page.loadEventFired":
            self._loaded += 1

    def size(self, width: int, height: int) -> None:
        """Give the window a size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, address: str) -> None:
        """Load a page anew, and wait until the latent browser is ready."""
        for each in ("about:blank", address):
            before = self._loaded
            self.call("Page.navigate", url=each)
            while self._loaded == before:
                self._receive()
        self.wait("document.body.dataset.ready === 'yes'")

    def run(self, script: str) -> Any:
        """The value of an expression, promises awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        met = self.run(
            "new Promise(done => { const end = performance.now() + "
            f"30_000; const look = () => (({condition}) ? done(true) : "
            "performance.now() > end ? done(false) : setTimeout(look, 10)); look(); })"
        )
        assert met, f"never came true: {condition}"

    def press(self, *keys: str) -> None:
        """Press and release keys, by their names in events."""
        for key in keys:
            more: dict[str, Any] = {"text": key} if len(key) == 1 else {}
            if key in CODES:
                more["windowsVirtualKeyCode"] = CODES[key]
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, **more)
                more.pop("text", None)

    def text(self, selector: str) -> str:
        """The text of an element as it is shown."""
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab in a browser that has just been started.

    Args:
        profile: an empty folder for what the browser writes.
    """
    program = find()
    assert program, f"no browser among {', '.join(NAMES)}: install one, or set {VARIABLE}"
    (read, ours_out), (ours_in, write) = os.pipe(), os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]  # neither is 3 or 4
    options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    options += ["--no-first-run", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--disable-background-networking", "--hide-scrollbars", "about:blank"]
    wired = 'exec "$@" 3<&{0} 4>&{1} {0}<&- {1}>&-'.format(*theirs)
    running = subprocess.Popen(
        ["bash", "-c", wired, "bash", program, *options],
        pass_fds=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (read, write, *theirs):
        os.close(end)
    try:
        yield Page(ours_out, ours_in)
    finally:
        running.terminate()
        running.wait(20)
        os.close(ours_out)
