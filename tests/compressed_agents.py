"""A tiny trained agent of Pong, and recipes of a few updates."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from unittest import mock

from agents import compress, dqn
from rl_gen_lab.compression import pipeline

RECIPE = """
batch_size = 8
memory = 16
num_envs = 2
first_steps = 4

[[stages]]
kind = "learn"
backbone = "2x8s4-2x4s2-4"
updates = 4

[[stages]]
kind = "prune"
kept = 0.5
updates = 3

[[stages]]
kind = "quantize"
bits = 3
updates = 2
"""
QUIET = ["--wandb.mode", "disabled"]


@functools.cache
def teacher_run(ensemble_size: int = 2) -> Path:
    path = Path(tempfile.mkdtemp())
    words = ["--env", "Pong", "--preset", "defaults", "--total-env-steps", "24", "--num-envs", "2"]
    words += ["--learning-starts-env-steps", "12", "--replay.capacity", "200", "--batch-size", "8", "--no-film"]
    words += ["--ensemble-size", str(ensemble_size), "--ensemble-every-env-steps", "4", "--standardize"]
    words += ["--world.max-episode-frames", "80", "--eval.episodes", "1", "--eval.final-episodes", "1"]
    dqn.main([*words, "--runs-dir", str(path), *QUIET])
    (run,) = path.iterdir()
    return run


def recipe_file(folder: Path, text: str = RECIPE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def compress_into(folder: Path, *words: str) -> Path:
    """Compress in segments of two updates; every stage is scored by one game."""
    flags = ["--recipe", str(recipe_file(folder)), "--episodes", "1", "--runs-dir", str(folder), *QUIET]
    with mock.patch.object(pipeline, "SEGMENT", 2):
        compress.main([str(teacher_run()), *flags, *words])
    return only_compression(folder)


@functools.cache
def compression_run() -> Path:
    return compress_into(Path(tempfile.mkdtemp()))


def only_compression(folder: Path) -> Path:
    (run,) = folder.glob("compress__*")
    return run
