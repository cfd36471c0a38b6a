"""A tiny world in the codes of a tiny generator, trained on the small recording of Pong."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import generator_models
import vision_runs
from transition_folders import pong_transitions

from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.run import train


@functools.cache
def generator_run(model: str) -> RunFolder:
    path = Path(tempfile.mkdtemp())
    settings = replace(generator_models.TINY, model=model)
    if model == "vq-vae":
        settings = replace(settings, levels=(3, 3))
    train(vision_runs.config(path, task="generate", generate=settings, epochs=1, data=pong_transitions()))
    return vision_runs.only_run(path)


@functools.cache
def dream_run(model: str) -> RunFolder:
    """model: of the generator, vae or vq-vae; "pixels" for a world of pixels."""
    path = Path(tempfile.mkdtemp())
    settings = DreamConfig(steps=6, width=4, memory=8, context=2, codes=2, code_values=4, plain_updates=0)
    if model != "pixels":
        settings = DreamConfig(model="latent", generator=generator_run(model).path, steps=6, memory=8, noise=0.05)
    train(vision_runs.config(path, task="dream", dream=settings, epochs=1, batch_size=8, data=pong_transitions()))
    return vision_runs.only_run(path)
