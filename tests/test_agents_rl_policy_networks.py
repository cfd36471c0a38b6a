"""Policy networks: heads, statistics that standardize the input, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from fake_run import make_agent, network_of
from gymnasium import spaces
from policy_gradient_configs import A2C, PPO

from agents import actor_critic
from agents.rl.policy_networks import ActorCritic, PolicyHead
from agents.training.config import PolicyConfig
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_heads_are_float32_whatever_autocast_makes_of_the_backbone(critic: Literal["shared", "separate"]) -> None:
    torch.manual_seed(0)
    network = ActorCritic((4,), spaces.Discrete(3), PolicyConfig("mlp_small"), critic)
    obs, first = torch.randn(5, 8, 4), torch.zeros(5, 8, dtype=torch.bool)
    heard: list[torch.Tensor] = []
    network.head.out.register_forward_hook(lambda _, inputs, output: heard.append(output.detach()))
    with torch.autocast("cpu", torch.bfloat16):
        said = network(obs, first, None)
    assert said.value is not None
    for number in (*heard, said.value):
        assert number.dtype == torch.float32
        assert (number != number.bfloat16().float()).float().mean() > 0.9  # finer than bfloat16 can say


def test_the_black_frames_that_fill_the_stacks_of_new_games_do_not_count() -> None:
    agent, rollout = make_agent(
        replace(PPO, env="Pong", world=EnvConfig(image_size=36), policy=PolicyConfig("small", normalize_obs=True))
    )
    rollout.close()
    games = torch.randint(1, 256, (40, 4, 36, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    games[:4, 0] = 0
    network_of(agent).take_statistics(games)
    state, later = network_of(agent).state_dict(), games[4:].float()
    torch.testing.assert_close(state["backbone.conv.0.mean"], later.mean(0))
    std = (later - later.mean(0)).square().mean().sqrt()
    assert float(state["backbone.conv.0.scale"]) == pytest.approx(1 / float(std))


def test_bounds_as_wide_as_numbers_go_give_finite_actions() -> None:
    largest = float(np.finfo(np.float32).max)
    head = PolicyHead(4, spaces.Box(-largest, largest, (2,), np.float32), PolicyConfig())
    assert np.isfinite(head.to_env(torch.tensor([[0.0, 0.5]]))).all()


def test_a_memory_needs_one_backbone() -> None:
    with pytest.raises(ConfigError, match="shared_backbone"):
        make_agent(replace(A2C, lstm_units=8, shared_backbone=False))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.MultiBinary(3), "Discrete or a Box"),
        (spaces.Box(0, 5, (2,), np.int64), "Box of floats"),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), "squash needs bounds"),
    ],
)
def test_actions_that_no_policy_can_take_are_refused(space: spaces.Space[Any], said: str) -> None:
    config = replace(A2C, policy=PolicyConfig(squash=True))
    with pytest.raises(ConfigError, match=said):
        actor_critic.make_network(config, spaces.Box(-1, 1, (4,), np.float32), space)
