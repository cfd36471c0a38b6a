"""Stable-Baselines3's models made from our settings: networks, defaults, schedules."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from agents.reference.agent import Reference
from agents.reference.learner_env import LearnerEnv
from agents.reference.models import OURS_ONLY, BackboneExtractor, make_model
from agents.reference.settings import A2CSettings, Config, DQNSettings, PPOSettings
from agents.reference.vec_env import LearnerVecEnv
from envs.config import EnvConfig
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.settings import DeviceConfig


def adapter(name: str, num_envs: int = 1, world: EnvConfig = EnvConfig()) -> LearnerVecEnv:
    return LearnerVecEnv(LearnerEnv(name, num_envs, world))


def small(algo: str = "dqn", **changes: Any) -> Config:
    """A configuration that is quick to build and to train."""
    tables = {
        "dqn": DQNSettings(buffer_size=200, learning_starts=8, batch_size=8, target_update_interval=10_000),
        "ppo": PPOSettings(n_steps=16, batch_size=8, n_epochs=2),
    }
    return Config(algo=algo, **{"env": "CartPole", **tables, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh), (None, nn.Tanh)])
def test_the_activation_is_between_the_layers(name: Any, kind: type[nn.Module]) -> None:
    config = Config(algo="ppo", env="CartPole", activation=name, device=DeviceConfig(device="cpu"))
    layers = make_model(config, adapter("CartPole"), torch.device("cpu")).policy.mlp_extractor.modules()
    assert {type(layer) for layer in layers if isinstance(layer, nn.ReLU | nn.Tanh)} == {kind}


def test_online_and_target_network_have_a_backbone_each() -> None:
    reference = Reference(small(env="Pong", backbone="small"), torch.device("cpu"))
    model = reference.model
    assert isinstance(model, DQN)
    own = {p.data_ptr() for p in model.q_net.parameters()}
    assert own.isdisjoint({p.data_ptr() for p in model.q_net_target.parameters()})
    before = [p.clone() for p in model.q_net_target.parameters()]
    model.learn(40)
    assert model._n_updates > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.q_net_target.parameters(), strict=True))
    assert not torch.equal(model.q_net.features_extractor.backbone.fc.weight, before[-4])  # type: ignore[union-attr]
    reference.close()


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_our_backbone_sees_frames_scaled_once(algo: str) -> None:
    reference = Reference(small(algo, env="Pong", backbone="nature"), torch.device("cpu"))
    policy = reference.model.q_net if isinstance(reference.model, DQN) else reference.model.policy
    assert isinstance(policy.features_extractor, BackboneExtractor)
    alone = build("nature", (4, 84, 84))
    alone.load_state_dict(policy.features_extractor.backbone.state_dict())
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    torch.testing.assert_close(policy.extract_features(frames, policy.features_extractor), alone(frames))  # type: ignore[arg-type, operator]
    reference.close()


@pytest.mark.parametrize(("table", "algorithm"), [(DQNSettings, DQN), (A2CSettings, A2C), (PPOSettings, PPO)])
def test_defaults_are_sb3s_own(table: Any, algorithm: Any) -> None:
    theirs = inspect.signature(algorithm.__init__).parameters
    ours = {name: value for name, value in asdict(table()).items() if name not in OURS_ONLY}
    assert ours == {name: theirs[name].default for name in ours}


def test_schedules_fall_linearly_over_the_run() -> None:
    ppo = PPOSettings(n_steps=16, batch_size=8, learning_rate_end=0.0, clip_range_end=0.1)
    reference = Reference(small("ppo", ppo=ppo), torch.device("cpu"))
    model = reference.model
    assert isinstance(model, PPO)
    assert [model.lr_schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([3e-4, 1.5e-4, 0.0])
    assert model.clip_range(0.5) == pytest.approx(0.15)  # type: ignore[operator]
