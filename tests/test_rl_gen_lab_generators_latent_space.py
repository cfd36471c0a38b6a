"""Codes: what they tell of true numbers, ways between them, where samples come from."""

from __future__ import annotations

from dataclasses import replace

import generator_models
import numpy as np
import pytest
import torch
import vision_data

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.generators import latent_space


def test_squared_correlations_are_those_of_numpy_where_a_value_is_known() -> None:
    generator = torch.Generator().manual_seed(0)
    codes, value = torch.randn(50, 3, generator=generator), torch.randn(50, generator=generator)
    value[::7] = float("nan")
    value = value + 2 * codes[:, 1]
    known = value.isfinite().numpy()
    expected = [np.corrcoef(codes[known, i].numpy(), value[known].numpy())[0, 1] ** 2 for i in range(3)]
    assert np.allclose(latent_space.dependence(codes, {"x": value})[0].numpy(), expected, atol=1e-5)
    assert latent_space.dependence(codes, {}).shape == (0, 3)


def test_factors_are_the_numbers_of_the_labels_that_vary() -> None:
    split = vision_data.dataset().splits["train"]
    slots = [{"x": float(i), "still": 1.0, "gone": None, "x_velocity": float(i)} for i in range(len(split))]
    slots[2]["x"] = None
    labels = tuple(replace(label, slots=own) for label, own in zip(split.labels, slots, strict=True))
    found = latent_space.factors(replace(split, labels=labels))
    assert set(found) == {"x"} and bool(found["x"][2].isnan()) and float(found["x"][3]) == 3.0


def test_ways_begin_and_end_at_their_codes_and_change_one_number_only() -> None:
    first, last = torch.tensor([0.0, 1.0]), torch.tensor([2.0, -1.0])
    assert latent_space.between(first, last, 3).tolist() == [[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]]
    assert latent_space.traversal(first, 1, torch.tensor([5.0, 6.0])).tolist() == [[0.0, 5.0], [0.0, 6.0]]


def test_the_plane_is_that_of_the_largest_variance() -> None:
    codes = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 5.0, 0.1, 2.0])
    flat = latent_space.plane(codes)
    assert torch.allclose(flat.var(0), torch.ones(2), atol=1e-4)
    assert abs(float(torch.corrcoef(torch.stack((flat[:, 0], codes[:, 1])))[0, 1])) > 0.99


def test_codes_that_are_not_finite_have_no_plane() -> None:
    with pytest.raises(CheckpointError, match="codes of this generator are not finite"):
        latent_space.plane(torch.full((4, 3), torch.nan))


def test_samples_come_from_the_model_or_from_a_mixture() -> None:
    vae, tokens, auto = (generator_models.task_of(model=name).model for name in ("vae", "vq-vae", "autoencoder"))
    own = latent_space.draw_codes(vae, 3_000, "own", lambda: torch.zeros(0), 2, seed=0)
    assert own.shape == (3_000, 8) and abs(float(own.std()) - 1) < 0.05
    assert latent_space.draw_codes(tokens, 5, "own", lambda: torch.zeros(0), 2, seed=0).dtype == torch.int64
    codes = 4 + torch.randn(500, 8, generator=torch.Generator().manual_seed(1))
    drawn = latent_space.draw_codes(auto, 2_000, "mixture", lambda: codes, 2, seed=0)
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=0.2)
    assert torch.equal(drawn, latent_space.draw_codes(auto, 2_000, "mixture", lambda: codes, 2, seed=0))


@pytest.mark.parametrize(
    ("model", "prior", "codes", "message"),
    [
        ("autoencoder", "own", torch.zeros(9, 8), "use --prior mixture"),
        ("vq-vae", "mixture", torch.zeros(9, 2, dtype=torch.int64), "use --prior own"),
        ("vae", "mixture", torch.zeros(2, 8), "2 training images are too few for 2 components"),
    ],
)
def test_distributions_that_do_not_exist_are_refused(model: str, prior: str, codes: torch.Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        latent_space.draw_codes(generator_models.task_of(model=model).model, 3, prior, lambda: codes, 2, seed=0)
