"""The pixel model: what it copies at first, one step at a time as many at once, no look into the future."""

from __future__ import annotations

import math
from dataclasses import replace

import dot_world
import pytest
import torch
from dot_world import CONFIG

from rl_gen_lab.generators.world_models.patches import to_patches
from rl_gen_lab.generators.world_models.pixels import COPY_BONUS, PixelDream

CODES = replace(CONFIG, context=2, codes=2, code_values=3)


def model_of(config: object = CONFIG) -> PixelDream:
    torch.manual_seed(1)
    data = dot_world.loaded()
    return PixelDream(config, data.world, data.frequencies).eval().requires_grad_(False)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [replace(CONFIG, context=2), replace(CODES, codes=0)])
def test_steps_one_by_one_are_steps_all_at_once(config: object) -> None:
    model, data = model_of(config), dot_world.loaded()
    windows = data.splits["test"].windows([0, 1])
    frames = windows.frames[:, :-1]
    patches = to_patches(torch.cat((frames[:, :1], frames), 1), model.grid)
    whole, memory = model(patches, windows.executed)
    state, rows = None, []
    for step in range(windows.executed.shape[1]):
        prediction, state = model(patches[:, step : step + 2], windows.executed[:, step : step + 1], state)
        rows.append(prediction.logits)
    assert torch.allclose(torch.stack(rows, 1).flatten(0, 1), whole.logits, atol=1e-5)
    assert state is not None and torch.allclose(state, memory, atol=1e-6)


def test_at_first_a_pixel_keeps_its_color_by_its_bonus() -> None:
    model, data = model_of(), dot_world.loaded()
    for layer in model.up.last:
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    windows = data.splits["test"].windows([0])
    patches = to_patches(windows.frames[:, :1], model.grid)
    logits = model(patches, windows.executed[:, :1])[0].logits
    place = patches[0, 0].nonzero()[0]
    shares = model.mean[(slice(None), *place)]
    kept = shares[1] * math.exp(COPY_BONUS) / (shares[0] + shares[1] * math.exp(COPY_BONUS) + shares[2])
    assert float(logits.softmax(1)[(0, 1, *place)]) == pytest.approx(float(kept), rel=1e-4)


def test_no_prediction_depends_on_later_frames_or_actions() -> None:
    model, data = model_of(replace(CONFIG, context=1)), dot_world.loaded()
    windows = data.splits["test"].windows([0])
    patches, executed = to_patches(windows.frames[:, :-1], model.grid), windows.executed.clone()
    before = model(patches, executed)[0].logits
    later = patches.clone()
    later[:, 5:] = 1 - later[:, 5:].clamp_max(1)
    executed[:, 5:] = 0
    after = model(later, executed)[0].logits
    assert torch.equal(before[:5], after[:5]) and not torch.equal(before[5:], after[5:])


def test_codes_come_from_the_next_frame_in_training_and_from_the_prior_in_dreams() -> None:
    model, data = model_of(CODES), dot_world.loaded()
    windows = data.splits["test"].windows([0])
    frames = windows.frames[:, :-1]
    patches = to_patches(torch.cat((frames[:, :1], frames), 1), model.grid)
    target = to_patches(windows.frames[:, 1:], model.grid).flatten(0, 1)
    told = model(patches, windows.executed, following=target)[0]
    alone = model(patches, windows.executed)[0]
    assert told.code_nats.shape == (CONFIG.steps,) and (told.code_nats > 0).all() and (alone.code_nats == 0).all()
    draws = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    one, same, other = (model(patches, windows.executed, generator=g)[0].logits for g in draws)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_dream_that_begins_with_fewer_frames_repeats_the_first() -> None:
    model = model_of(replace(CONFIG, context=3))
    frames = dot_world.loaded().splits["test"].windows([0]).frames[:, :1]
    state = model.begin(frames, torch.zeros(1, 0, 1, dtype=torch.int64))
    assert state.patches.shape[1] == 3 and torch.equal(state.patches[:, 0], state.patches[:, 2])
