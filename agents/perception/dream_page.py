"""The local page on which a dream is played beside the game: a small server on the loopback address alone."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agents.perception.twin import NEAR, Twin
from rl_gen_lab.cli.errors import UserError

PAGE = Path(__file__).with_name("dream_page.html")
HOST = "127.0.0.1"
LONGEST_BODY = 1_000  # bytes of a request
MOST_FRAMES = 9_000  # of a film: ten minutes
Player = Callable[[np.ndarray, bool], int]  # an observation, and whether it is an episode's first -> an action

FilmWriter = Callable[[Path, list[np.ndarray]], None]  # writes frames (H, W, 3) uint8


class Session:
    """A twin as a page plays it; its methods return what the page shows."""

    def __init__(
        self, twin: Twin, player: Player | None, videos: Path, write_film: Callable[[Path, list[np.ndarray]], None]
    ):
        """player: the agent, if one plays; videos: folder of films; write_film: writes frames (H, W, 3) uint8."""
        self.twin, self.player, self.videos, self._write_film = twin, player, videos, write_film
        self._lock = threading.Lock()
        self._first, self._over = True, False
        self._film: list[np.ndarray] | None = None
        self._message = ""
        self._errors: dict[str, float | None] = {}
        self._wrong = 0

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of the page."""
        with self._lock:
            self._message = ""
            if path == "/step":
                self._step(body.get("action"))
            elif path == "/anchor":
                self._anchor()
            elif path == "/new":
                self._new_game()
            elif path == "/record":
                self._record()
            elif path != "/state":
                return {"error": f"no such request: {path}"}
            return self._state()

    def _step(self, action: Any) -> None:
        if self._over:
            self._new_game()
            return
        if action == "agent" and self.player is not None:
            action = self.player(np.asarray(self.twin.obs), self._first)
        known = isinstance(action, int) and 0 <= action < len(self.twin.meanings)
        step = self.twin.step(action if known else 0)
        self._first, self._over = False, step.over
        self._errors, self._wrong = step.errors, step.wrong_pixels
        if step.over:
            self._message = f"the {'dream' if step.dreamed_end > 0.5 else 'game'} is over: the next step begins another"
        if self._film is not None:
            self._film.append(np.concatenate((step.real, step.dreamed), 1))
            if len(self._film) >= MOST_FRAMES:
                self._record()

    def _anchor(self) -> None:
        self.twin.anchor()
        self._errors, self._wrong = {}, 0

    def _new_game(self) -> None:
        self.twin.new_game()
        self._errors, self._wrong, self._first, self._over = {}, 0, True, False

    def _record(self) -> None:
        """Begin a film, or write the one under way."""
        if self._film is None:
            self._film = []
            return
        frames, self._film = self._film, None
        if not frames:
            self._message = "nothing was recorded"
            return
        file = self.videos / f"twin-{time.strftime('%Y%m%d-%H%M%S')}.mp4"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._write_film(file, frames)
            self._message = f"{len(frames)} steps in {file}"
        except (UserError, OSError, RuntimeError) as error:
            self._message = f"could not write {file}: {error}"

    def _state(self) -> dict[str, Any]:
        twin = self.twin
        real, dreamed = (twin.painted(numbers) for numbers in (twin.frames[-1], twin.dreamed))
        difference = np.repeat((real != dreamed).any(2, keepdims=True), 3, 2).astype(np.uint8) * 255
        return {
            "name": twin.name,
            "dream": f"run {twin.dream.digest}, {twin.dream.updates:,} updates",
            "meanings": twin.meanings,
            "real": _png(real),
            "dreamed": _png(dreamed),
            "difference": _png(difference),
            "real_score": f"{twin.scores.real:g}",
            "dreamed_score": f"{twin.scores.dreamed:g}",
            "errors": self._errors,
            "near": NEAR,
            "wrong_pixels": self._wrong,
            "dreamed_steps": twin.counters.dreamed,
            "true_steps": twin.counters.true,
            "longest": twin.longest,
            "recording": self._film is not None,
            "has_agent": self.player is not None,
            "message": self._message,
        }


def _png(image: np.ndarray) -> str:
    with io.BytesIO() as stream:
        Image.fromarray(image).save(stream, "PNG")
        return base64.b64encode(stream.getvalue()).decode()


def make_server(session: Session, port: int) -> ThreadingHTTPServer:
    """Make the server; port 0 takes a free one. Raises: OSError for a port in use."""

    class Handler(BaseHTTPRequestHandler):
        """Answers the page."""

        def do_GET(self) -> None:
            """Send the page, or the present state."""
            if not self._is_local():
                return
            if self.path == "/":
                self._send(200, "text/html; charset=utf-8", PAGE.read_bytes())
            elif self.path == "/state":
                self._answer({})
            else:
                self._send(404, "text/plain", b"not found")

        def do_POST(self) -> None:
            """Carry out what the page asks."""
            if not self._is_local():
                return
            # A page of another site can send no JSON without asking first, and gets no permission.
            if self.headers.get("Content-Type", "").partition(";")[0] != "application/json":
                self._send(415, "text/plain", b"JSON only")
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LONGEST_BODY:
                self._send(413, "text/plain", b"too long")
                return
            try:
                body = json.loads(self.rfile.read(int(length)) or b"{}")
            except ValueError:
                body = None
            if not isinstance(body, dict):
                self._send(400, "text/plain", b"no JSON object")
                return
            self._answer(body)

        def _answer(self, body: dict[str, Any]) -> None:
            state = session.answer(self.path, body)
            self._send(200, "application/json", json.dumps(state).encode())

        def _is_local(self) -> bool:
            """Refuse requests under another name than this machine's own, as a foreign page could make them."""
            name = self.headers.get("Host", "").rpartition(":")[0]
            if name in (HOST, "localhost"):
                return True
            self._send(403, "text/plain", b"local only")
            return False

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of single requests."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    return server
