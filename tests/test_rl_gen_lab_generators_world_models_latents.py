"""A dream in codes: one step at a time as many at once, drawn only where someone looks, its generator left alone."""

from __future__ import annotations

import latent_runs
import pytest
import torch

from rl_gen_lab.generators.world_models.latents import LatentDream
from rl_gen_lab.training.load import load_dream


def model_of(model: str) -> tuple[LatentDream, torch.Tensor, torch.Tensor]:
    with torch.enable_grad():  # it may be trained here first
        dream = load_dream(latent_runs.dream_run(model).path)
    assert isinstance(dream.model, LatentDream)
    return dream.model, *(part[:3] for part in dream.beginnings)


@pytest.mark.parametrize("model", ["vae", "vq-vae"])
@torch.no_grad()
def test_steps_one_by_one_are_steps_all_at_once(model: str) -> None:
    world, frames, executed = model_of(model)
    whole = world.begin(frames, executed)
    count = executed.shape[1] + 1
    codes = world.encode(frames[:, -count:].flatten(0, 1)).unflatten(0, (3, count))
    state = world.begin_in(codes[:, :1], executed[:, :0])
    for step in range(executed.shape[1]):
        _, (hidden, cell) = world(codes[:, step : step + 1], executed[:, step : step + 1], (state.hidden, state.cell))
        state = type(state)(codes[:, step + 1], hidden, cell)
    assert torch.allclose(whole.hidden, state.hidden, atol=1e-5) and torch.equal(whole.codes, codes[:, -1])


@torch.no_grad()
def test_a_step_that_is_drawn_is_the_step_that_is_not() -> None:
    world, frames, executed = model_of("vq-vae")
    state = world.begin(frames, executed)
    blind, rewards, ends = world.advance(state, executed[:, 0])
    drawn, imagined = world.imagine(state, executed[:, 0])
    assert torch.equal(blind.codes, drawn.codes) and torch.equal(rewards, imagined.rewards)
    assert torch.equal(ends, imagined.ends) and torch.equal(imagined.frames, world.decode(blind.codes))
    assert world.seen(blind).shape == (3, world.next_code.features + world.config.memory)


def test_the_generator_is_not_trained() -> None:
    world, _, _ = model_of("vae")
    world.train()
    assert not world.generator.training and not any(w.requires_grad for w in world.generator.parameters())
