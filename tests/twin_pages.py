"""A twin of a tiny dream, and the page that plays it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import latent_runs
import numpy as np

from agents.perception.dream_page import HOST, Session, make_server
from agents.perception.twin import Twin


@functools.cache
def twin() -> Twin:
    return Twin(latent_runs.dream_run("pixels").path, seed=1)


def written(file: Path, frames: list[np.ndarray]) -> None:
    file.write_bytes(b"film of %d" % len(frames))


@contextmanager
def served(videos: Path) -> Iterator[str]:
    """Serve the page; an agent that always takes action 3 can play."""
    twin().new_game()  # whatever other tests did with it
    server = make_server(Session(twin(), lambda obs, first: 3, videos, written), 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
