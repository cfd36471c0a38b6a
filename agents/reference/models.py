"""Stable-Baselines3's algorithms made from our settings, and their networks as policies that play."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor, nn

from agents.reference.settings import Config
from agents.rl.interfaces import Policy
from agents.rl.sampled_policy import NO_POLICY
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.seeding import Generators

# Settings that are not arguments of the algorithm but of its policy, its optimizer or a schedule.
OURS_ONLY = {"learning_rate_end", "clip_range_end", "rms_prop_tf_like", "log_std_init", "ortho_init"}


class BackboneExtractor(BaseFeaturesExtractor):
    """One of our backbones as SB3's features extractor, built anew wherever SB3 makes one, so never shared.

    Our backbones scale frames themselves, so the policy must be made with `normalize_images=False`.
    """

    def __init__(self, observation_space: spaces.Box, backbone: str) -> None:
        module = build(backbone, observation_space.shape)
        features = module.out_features
        assert isinstance(features, int)
        super().__init__(observation_space, features)
        self.backbone = module

    def forward(self, observations: Tensor) -> Tensor:
        """observations: (B, C, H, W) float32 in [0, 255], or (B, D) float32 -> (B, features) float32."""
        features: Tensor = self.backbone(observations)
        return features


class SB3Policy(nn.Module):
    """SB3's network with the statistics that standardize its input; it acts, and its weights are saved."""

    obs_mean: Tensor
    obs_var: Tensor

    def __init__(
        self,
        network: nn.Module,
        normalizer: VecNormalize | None,
        export: Callable[[Path], None] | None = None,
    ) -> None:
        """export: writes SB3's own files beside the weights; file: their path without a suffix."""
        super().__init__()
        self.network, self.normalizer, self.export = network, normalizer, export
        self._randomness: list[Tensor] = []  # of `sample`: states of torch's generators, of the CPU and of a GPU
        shape = () if normalizer is None else normalizer.observation_space.shape
        self.register_buffer("obs_mean", torch.zeros(shape or (), dtype=torch.float64))
        self.register_buffer("obs_var", torch.ones(shape or (), dtype=torch.float64))

    def policy(self, stochastic: bool = False) -> Policy:
        """Return this as a policy, with action values if it has any. Raises: ConfigError for sampling by values."""
        if not isinstance(self.network, ActorCriticPolicy):
            if stochastic:
                raise ConfigError(NO_POLICY)
            return Policy(self.act, self.values)
        if not stochastic:
            return Policy(self.act)
        self.seed(0)
        return Policy(lambda obs: self.sample(obs)[0], sample=self.sample, seed=self.seed)

    def seed(self, seed: int) -> None:
        """Let `sample` depend on `seed` alone from now on."""
        with self._own_randomness(new=True):
            torch.manual_seed(seed)

    @contextlib.contextmanager
    def _own_randomness(self, new: bool = False) -> Iterator[None]:
        """Use a separate torch RNG state within this context: SB3 draws from the global one, as training does."""
        device = next(self.network.parameters()).device
        gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(gpus):
            if not new:
                torch.set_rng_state(self._randomness[0])
                for gpu, state in zip(gpus, self._randomness[1:], strict=True):
                    torch.cuda.set_rng_state(state, gpu)
            yield
            self._randomness = [torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in gpus)]

    def sample(self, obs: np.ndarray) -> tuple[np.ndarray, None]:
        """Return actions (N,) or (N, A) drawn from an actor's policy for observations (N, ...)."""
        assert isinstance(self.network, ActorCriticPolicy)
        with self._own_randomness():
            return np.asarray(self.network.predict(self.standardized(obs), deterministic=False)[0]), None

    def take_statistics(self) -> None:
        """Copy the statistics of training so far."""
        if self.normalizer is not None:
            running: Any = self.normalizer.obs_rms  # a RunningMeanStd; typed as if it could be a dict of them
            self.obs_mean.copy_(torch.from_numpy(running.mean))
            self.obs_var.copy_(torch.from_numpy(running.var))

    def standardized(self, obs: np.ndarray) -> np.ndarray:
        """Return observations (N, ...) as the network reads them."""
        if self.normalizer is None:
            return obs
        scale = np.sqrt(self.obs_var.numpy() + self.normalizer.epsilon)
        limit = self.normalizer.clip_obs
        centered: np.ndarray = obs - self.obs_mean.numpy()
        return np.clip(centered / scale, -limit, limit).astype(np.float32)

    @torch.no_grad()
    def values(self, obs: np.ndarray) -> np.ndarray:
        """Return DQN's action values (N, A) float32 of observations (N, ...)."""
        device = next(self.network.parameters()).device
        q: Tensor = self.network(torch.as_tensor(self.standardized(obs), device=device))
        return q.cpu().numpy()

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return the best actions (N,), or the most probable ones (N,) or (N, A), for observations (N, ...)."""
        if isinstance(self.network, ActorCriticPolicy):
            return np.asarray(self.network.predict(self.standardized(obs), deterministic=True)[0])
        return self.values(obs).argmax(1)


def make_model(config: Config, env: VecEnv, device: torch.device) -> DQN | A2C | PPO:
    """Make SB3's algorithm with these settings."""
    pixels = len(env.observation_space.shape or ()) == 3
    policy: dict[str, Any] = {}
    if config.backbone is not None:
        policy["features_extractor_class"] = BackboneExtractor
        policy["features_extractor_kwargs"] = {"backbone": config.backbone}
        policy |= {"normalize_images": False, "net_arch": []}
    if config.net_arch is not None:
        policy["net_arch"] = list(config.net_arch)
    if config.activation is not None:
        policy["activation_fn"] = {"tanh": nn.Tanh, "relu": nn.ReLU}[config.activation]
    keywords = {k: v for k, v in asdict(config.settings).items() if k not in OURS_ONLY}
    keywords["learning_rate"] = _schedule(config.settings.learning_rate, config.settings.learning_rate_end)
    if config.algo == "dqn":
        if config.dqn.optimize_memory_usage:  # SB3 cannot tell the end of a time limit in this layout
            keywords["replay_buffer_kwargs"] = {"handle_timeout_termination": False}
    else:
        settings = config.a2c if config.algo == "a2c" else config.ppo
        policy |= {"log_std_init": settings.log_std_init, "ortho_init": settings.ortho_init}
    if config.algo == "a2c" and config.a2c.rms_prop_tf_like:
        policy |= {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": config.a2c.rms_prop_eps}}
    if config.algo == "ppo":
        keywords["clip_range"] = _schedule(config.ppo.clip_range, config.ppo.clip_range_end)
    algorithm: Any = {"dqn": DQN, "a2c": A2C, "ppo": PPO}[config.algo]
    model: DQN | A2C | PPO = algorithm(
        "CnnPolicy" if pixels else "MlpPolicy",
        env,
        policy_kwargs=policy,
        seed=Generators(config.seed).integer("sb3"),
        device=device,
        **keywords,
    )
    return model


def _schedule(start: float, end: float | None) -> float | LinearSchedule:
    return start if end is None else LinearSchedule(start, end, 1.0)
