"""A small recording of Pong with all its steps, made once."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from envs import scenes


@functools.cache
def pong_transitions() -> Path:
    """24 labeled frames in 10 episodes, some of them interventions."""
    out = Path(tempfile.mkdtemp()) / "pong"
    return scenes.write(scenes.Config("Pong", frames=24, seed=5, out=out, every=5, transitions=True))
