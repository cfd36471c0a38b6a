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
    actions = head.to_env(torch.tensor([[0.0, 0.5], [-3.0, 3.0]]))  # the last two would be infinite
    assert np.isfinite(actions).all() and (actions[1] == [-largest, largest]).all()


def test_a_memory_needs_one_backbone() -> None:
    with pytest.raises(ConfigError, match="shared_backbone"):
        make_agent(replace(A2C, lstm_units=8, shared_backbone=False))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))), "MultiDiscrete, MultiBinary or a Box"),
        (spaces.Dict(a=spaces.Discrete(2)), "MultiDiscrete, MultiBinary or a Box"),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), "squash needs bounds"),
    ],
)
def test_actions_that_no_policy_can_take_are_refused(space: spaces.Space[Any], said: str) -> None:
    config = replace(A2C, policy=PolicyConfig(squash=True))
    with pytest.raises(ConfigError, match=said):
        actor_critic.make_network(config, spaces.Box(-1, 1, (4,), np.float32), space)


def head_of(space: spaces.Space[Any], **settings: Any) -> PolicyHead:
    torch.manual_seed(0)
    return PolicyHead(4, space, PolicyConfig(**settings))


@pytest.mark.parametrize(
    ("space", "actions"),
    [
        (spaces.Box(5.0, np.inf, (1,), np.float32), [5.0, 5.0, 6.0]),
        (spaces.Box(-np.inf, 5.0, (1,), np.float32), [4.0, 5.0, 5.0]),
        (spaces.Box(-np.inf, np.inf, (1,), np.float32), [-1.0, 0.0, 1.0]),
        (spaces.Box(-2.0, 6.0, (1,), np.float64), [-2.0, 2.0, 6.0]),
    ],
    ids=str,
)
def test_an_action_of_zero_lies_in_the_middle_or_at_the_one_bound(space: spaces.Box, actions: list[float]) -> None:
    found = head_of(space).to_env(torch.tensor([[-1.0], [0.0], [1.0]]))
    assert found[:, 0].tolist() == actions and found.dtype == space.dtype
    assert all(space.contains(action) for action in found)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bounds", [(-0.3, 0.7), (-np.inf, np.inf), (0.1, np.inf)])
def test_far_actions_stay_within_the_space_and_finite(dtype: Any, bounds: tuple[float, float]) -> None:
    space = spaces.Box(*bounds, (2,), dtype)
    for squash in {False, bool(np.isfinite(bounds).all())}:
        found = head_of(space, squash=squash).to_env(torch.tensor([[-1e30, 1e30], [-1.0, 1.0]]))
        assert np.isfinite(found).all() and all(space.contains(action) for action in found)


@pytest.mark.parametrize(
    ("space", "counts"),
    [(spaces.MultiDiscrete([3, 1, 4]), [3, 1, 4]), (spaces.MultiBinary(3), [2, 2, 2])],
    ids=str,
)
def test_an_entry_s_probabilities_come_from_outputs_of_its_own(space: Any, counts: list[int]) -> None:
    head = head_of(space)
    outputs = torch.randn(5, sum(counts), generator=torch.Generator().manual_seed(1))
    head.out.register_forward_hook(lambda *_: outputs)
    policy = head(torch.zeros(5, 4))
    ours = [torch.distributions.Categorical(logits=part) for part in outputs.split(counts, 1)]
    actions = torch.stack([torch.arange(5) % count for count in counts], 1)
    expected = sum(part.log_prob(actions[:, i]) for i, part in enumerate(ours))
    torch.testing.assert_close(policy.log_prob(actions), expected)
    torch.testing.assert_close(policy.entropy(), sum(part.entropy() for part in ours))
    draws = policy.sample(torch.Generator().manual_seed(2))
    assert all(space.contains(action.astype(space.dtype)) for action in head.to_env(draws))
    assert "layout" not in head.state_dict()  # a constant; checkpoints hold what is learned
