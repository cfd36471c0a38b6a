"""The gradient norms of SB3: those that it clips by, and learning is what it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO

from agents.reference.gradient_norms import GradientNorms

MODELS: dict[str, Any] = {
    "dqn": lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=8, batch_size=8, buffer_size=99, seed=1),
    "a2c": lambda: A2C("MlpPolicy", "CartPole-v1", seed=1),
    "ppo": lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=16, n_epochs=2, seed=1),
}


def test_the_norm_is_that_before_clipping_averaged_over_a_round() -> None:
    norms, weight = GradientNorms(), torch.nn.Parameter(torch.zeros(2))
    assert norms.latest() is None
    original = torch.nn.utils.clip_grad_norm_
    with norms.recorded():
        for gradient in ([3.0, 4.0], [0.0, 1.0]):
            weight.grad = torch.tensor(gradient)
            torch.nn.utils.clip_grad_norm_([weight], 0.5)
            assert float(weight.grad.norm()) == pytest.approx(0.5, abs=1e-4)
    assert norms.latest() == norms.latest() == pytest.approx(3.0)
    assert torch.nn.utils.clip_grad_norm_ is original


def test_torch_is_as_before_after_an_error() -> None:
    original = torch.nn.utils.clip_grad_norm_
    with pytest.raises(ZeroDivisionError), GradientNorms().recorded():
        raise ZeroDivisionError
    assert torch.nn.utils.clip_grad_norm_ is original


@pytest.mark.parametrize("algo", MODELS)
def test_sb3_learns_the_same_and_every_algorithm_has_a_norm(algo: str) -> None:
    plain = MODELS[algo]().learn(64).policy.state_dict()  # SB3 seeds torch where it makes a model
    norms = GradientNorms()
    with norms.recorded():
        heard = MODELS[algo]().learn(64).policy.state_dict()
    assert all(torch.equal(tensor, heard[name]) for name, tensor in plain.items())
    assert 0 < (norms.latest() or 0.0) < 1e6
