"""A headless Chromium, driven over its debugging pipe with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
    *("--window-size=1100,900", "--disable-dev-shm-usage"),
)


class Browser:
    """One page of a browser; use as a context manager."""

    def __enter__(self) -> Browser:
        assert CHROMIUM is not None
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        command = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        words = ["bash", "-c", command, CHROMIUM, *FLAGS, f"--user-data-dir={self.folder.name}", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._write)
        os.close(self._read)
        self.folder.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                chunk = os.read(self._read, 1 << 16)
                assert chunk, "the browser ended"
                self._buffer += chunk
            text, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20.0) -> Any:
        """Wait until an expression is true, and return it."""
        until = time.monotonic() + seconds
        safe = f"(() => {{ try {{ return {expression} }} catch (error) {{ return false }} }})()"
        while not (found := self.value(safe)):
            assert time.monotonic() < until, f"{expression} never came true"
            time.sleep(0.05)
        return found

    def key(self, code: str, down: bool) -> None:
        """Press or release a key."""
        self.send("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", code=code, key=code)

    def tap(self, code: str) -> None:
        self.key(code, True)
        self.key(code, False)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
