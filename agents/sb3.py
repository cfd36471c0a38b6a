"""Stable-Baselines3 as the reference: its DQN, A2C and PPO on the same worlds, with the same record.

    python -m agents.sb3 --algo dqn --env Pong

The algorithms run as published. Around them, only this differs from SB3's own scripts:
1. The worlds are `envs.factory.make_vec` behind `WorldVecEnv`. Learning sees clipped rewards, lost lives and
   points as our agents do; every reported return is of the whole game, unclipped.
2. Agents are evaluated greedily, by `agents.training.env_runner.evaluate` (the zoo samples A2C's and PPO's actions on
   Atari).
3. A run ends with the rollout in which its steps are spent, as in SB3, and at once when its minutes are.
4. `--resume` is not exact, since SB3 saves no generator: it continues with networks, optimiser, counters and
   running statistics in new games; DQN first fills a new replay memory by `learning_starts` random steps.

Source: Raffin et al. 2021, "Stable-Baselines3: reliable reinforcement learning implementations", JMLR 22.
Settings: RL Baselines3 Zoo, see configs/sb3_*.toml.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn
from torch import Tensor, nn

from agents.reference.settings import Config, refuse_impossible, translate
from agents.reference.vec_env import LearnerWorld
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import load_network
from agents.training.cli import command, parse
from agents.training.env_runner import Episode
from agents.training.session import Session
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.flags import peek_flag
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.seeding import Generators

# Settings that are not arguments of the algorithm but of its policy, its optimiser or a schedule.
OURS_ONLY = {"learning_rate_end", "clip_range_end", "rms_prop_tf_like", "log_std_init", "ortho_init"}


class WorldVecEnv(VecEnv):
    """A `LearnerWorld` as SB3's VecEnv."""

    def __init__(self, world: LearnerWorld) -> None:
        self.world = world
        super().__init__(world.num_envs, world.observation_space, world.action_space)

    def reset(self) -> np.ndarray:
        """Begin every copy anew; consecutive seeds from the one given to `seed`, if any."""
        seed = self._seeds[0]
        self._reset_seeds()
        self._reset_options()
        return self.world.reset(seed)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (N,) or (N, A) in `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Observations, rewards, dones and infos after the actions. Raises: EnvStepError."""
        return self.world.step(self._actions)

    def close(self) -> None:
        """Free the environments."""
        self.world.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector world, once for each copy asked for."""
        return [getattr(self.world.vec, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: the copies are one object."""
        raise NotImplementedError("the copies of a vector world have no attributes of their own")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Not possible: the copies are one object."""
        raise NotImplementedError("the copies of a vector world have no methods of their own")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for every copy: SB3's wrappers are not used."""
        return [False for _ in self._get_indices(indices)]


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


class Player(nn.Module):
    """What plays and is saved as weights: SB3's network and the statistics that standardise its input."""

    obs_mean: Tensor
    obs_var: Tensor

    def __init__(self, network: nn.Module, normalizer: VecNormalize | None) -> None:
        super().__init__()
        self.network = network
        self.normalizer = normalizer
        shape = () if normalizer is None else normalizer.observation_space.shape
        self.register_buffer("obs_mean", torch.zeros(shape or (), dtype=torch.float64))
        self.register_buffer("obs_var", torch.ones(shape or (), dtype=torch.float64))

    def take_statistics(self) -> None:
        """Take over the statistics of training so far."""
        if self.normalizer is not None:
            seen: Any = self.normalizer.obs_rms  # a RunningMeanStd; typed as if it could be a dict of them
            self.obs_mean.copy_(torch.from_numpy(seen.mean))
            self.obs_var.copy_(torch.from_numpy(seen.var))

    def standardised(self, obs: np.ndarray) -> np.ndarray:
        """Observations (N, ...) as the network reads them."""
        if self.normalizer is None:
            return obs
        scale = np.sqrt(self.obs_var.numpy() + self.normalizer.epsilon)
        limit = self.normalizer.clip_obs
        centred: np.ndarray = obs - self.obs_mean.numpy()
        return np.clip(centred / scale, -limit, limit).astype(np.float32)

    @torch.no_grad()
    def values(self, obs: np.ndarray) -> np.ndarray:
        """DQN's action values (N, A) float32 of observations (N, ...)."""
        device = next(self.network.parameters()).device
        q: Tensor = self.network(torch.as_tensor(self.standardised(obs), device=device))
        return q.cpu().numpy()

    def act(self, obs: np.ndarray) -> np.ndarray:
        """The likeliest actions (N,) or (N, A) for observations (N, ...)."""
        if isinstance(self.network, ActorCriticPolicy):
            return np.asarray(self.network.predict(self.standardised(obs), deterministic=True)[0])
        return self.values(obs).argmax(1)


class Reference:
    """An algorithm of SB3 with its world, its network and what a checkpoint holds of it."""

    def __init__(self, config: Config, device: torch.device) -> None:
        """Raises: ConfigError for what SB3 cannot do."""
        self.config = config
        self.world = LearnerWorld(config.env, config.num_envs, config.world)
        refuse_impossible(config, self.world.observation_space, self.world.action_space)
        env = WorldVecEnv(self.world)
        self.normalizer = VecNormalize(env, gamma=config.settings.gamma) if config.normalize else None
        self.model = make_model(config, self.normalizer or env, device)
        network = self.model.q_net if isinstance(self.model, DQN) else self.model.policy
        self.player = Player(network, self.normalizer)
        self.policy = Policy(self.player.act, self.player.values if config.algo == "dqn" else None)

    @property
    def updates(self) -> int:
        """Gradient steps so far; PPO itself counts passes over a rollout."""
        done, ppo = self.model._n_updates, self.config.ppo
        if self.config.algo == "ppo":
            done *= math.ceil(ppo.n_steps * self.config.num_envs / ppo.batch_size)
        return done

    def learn(self, session: Session) -> None:
        """Train until the session says that it is over."""
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        done = self.model.num_timesteps
        steps = max(self.config.total_env_steps - done, 0)
        reporter = Reporter(self, session)
        # No log interval: at each dump SB3 would clear what the reporter reads.
        self.model.learn(steps, reporter, log_interval=None, reset_num_timesteps=done == 0)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, counters and running statistics; no replay memory."""
        statistics: dict[str, Any] = {}
        if self.normalizer is not None:
            statistics = {"obs": vars(self.normalizer.obs_rms), "returns": vars(self.normalizer.ret_rms)}
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "num_timesteps": self.model.num_timesteps,
            "n_updates": self.model._n_updates,
            "statistics": statistics,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave, in new games; DQN's replay memory is to be filled first."""
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self.model.num_timesteps, self.model._n_updates = int(state["num_timesteps"]), int(state["n_updates"])
        if isinstance(self.model, DQN):
            self.model.learning_starts += self.model.num_timesteps
        if self.normalizer is not None:
            vars(self.normalizer.obs_rms).update(state["statistics"]["obs"])
            vars(self.normalizer.ret_rms).update(state["statistics"]["returns"])
        self.player.take_statistics()

    def close(self) -> None:
        """Free the environments."""
        self.world.close()


class Reporter(BaseCallback):
    """Tells the session what SB3 does, and SB3 when to stop."""

    def __init__(self, reference: Reference, session: Session) -> None:
        super().__init__()
        self.reference, self.session = reference, session

    def _on_step(self) -> bool:
        self._report(self.reference.world.episodes)
        if self.session.checkpoint_due():
            self.session.save()
        # The rollout under way when the steps are spent is finished and learned from, as in SB3.
        return self.session.running() or self.num_timesteps >= self.reference.config.total_env_steps

    def _on_training_end(self) -> None:
        self._report([])  # the last updates came after the last step

    def _report(self, episodes: list[Episode]) -> None:
        reference = self.reference
        reference.player.take_statistics()
        losses, status = translate(reference.config.algo, self.logger.name_to_value)
        self.session.record(self.num_timesteps, reference.updates, episodes, losses, status)


def make_model(config: Config, env: VecEnv, device: torch.device) -> DQN | A2C | PPO:
    """SB3's algorithm with these settings."""
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


def load_policy(config: Config, weights: dict[str, Tensor], source: str) -> Policy:
    """A trained agent from its configuration and weights. Raises: CheckpointError naming `source`."""
    small = replace(
        config,
        num_envs=1,
        dqn=replace(config.dqn, buffer_size=1),
        ppo=replace(config.ppo, n_steps=config.ppo.batch_size),
    )
    reference = Reference(small, torch.device("cpu"))
    reference.close()
    load_network(reference.player, weights, source)
    return reference.policy


@command
def main(argv: list[str] | None = None) -> None:
    """Train an algorithm of Stable-Baselines3."""
    config = parse(Config, f"sb3_{peek_flag(argv, 'algo') or Config.algo}", argv)
    reference = Reference(config, devices.setup(config.device))
    with Session(f"sb3_{config.algo}", config) as session:
        session.begin({"reference": reference}, reference.policy, reference.player)
        reference.learn(session)
        session.end()
    reference.close()


if __name__ == "__main__":
    main()
