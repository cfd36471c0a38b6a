"""A short run of a generator on the folder of `vision_data`."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import generator_models
import vision_data
import vision_runs

from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.run import train


@functools.cache
def run_of(model: str, likelihood: str = "palette") -> RunFolder:
    """A finished run of two epochs."""
    path = Path(tempfile.mkdtemp())
    settings = replace(generator_models.TINY, model=model, likelihood=likelihood)
    train(vision_runs.config(path, task="generate", generate=settings, epochs=2, data=vision_data.folder()))
    return vision_runs.only_run(path)
