"""Environments that are no registered ids: `dream:RUN`, a dream of a trained model of a world."""

from __future__ import annotations

import importlib

from envs import names


def _register_dream(path: str) -> str:
    """Register the dream of a run, with torch, which is imported only if one is asked for."""
    env_id: str = importlib.import_module("agents.perception.dreams").register(path)
    return env_id


def register_schemes() -> None:
    """Let `envs.names` resolve them."""
    names.SCHEMES["dream"] = _register_dream
