"""A dataset folder of a few Pong frames, and what its files hold."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from envs import scenes


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def read(path: Path, content_name: str, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "annotations" / f"{content_name}_{split}.json").read_text())
    return content


@functools.cache
def pong_folder() -> Path:
    """40 frames: 32 of 8 episodes for train, 4 for val, 4 for test. Not to be changed: tests share it."""
    return scenes.write(scenes.Config("Pong", frames=40, seed=3, out=Path(tempfile.mkdtemp()) / "data", every=5))
