"""The mechanics that on-policy agents share: acting, the rollout, the optimizer step, and what a checkpoint holds.

PPO and actor-critic each hold an `OnPolicyActor` and say what is learned from its rollouts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from gymnasium import Space

from agents.rl import ops
from agents.rl.distributions import ActionNoise
from agents.rl.interfaces import Exchange, Step, TrainingRun
from agents.rl.optimizers import set_learning_rate
from agents.rl.rollout_buffer import RolloutBuffer
from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.policy_networks import ActorCritic, PolicySettings

# Of the actor, saved in checkpoints: the name there and here.
PARTS = {"network": "network", "optimizer": "optimizer", "rollout": "buffer", "noise": "noise"}
PARTS |= {"reward_scale": "reward_scaler"}


class OnPolicyActor:
    """Network, rollout buffer, recurrent state, action noise, reward scale, optimizer and counters of an agent.

    state: (2, N, units) of the LSTM now, state_at_start: at the start of the rollout; None without an LSTM.
    learned: metrics of the last update.
    """

    def __init__(
        self,
        network: ActorCritic,
        buffer: RolloutBuffer,
        noise: ActionNoise,
        optimizer: torch.optim.Optimizer,
        gamma: float,
        group: Exchange,
        precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """gamma: discount of the returns that rewards are scaled by; precision: a context to act in, e.g. autocast.

        group: the processes that train together, which average gradients and statistics.
        """
        from agents.rl.running_stats import RewardScaler  # here, so that --help needs no torch

        self.network, self.buffer, self.noise, self.optimizer = network, buffer, noise, optimizer
        self.device, num_envs = buffer.obs.device, buffer.reward.shape[1]
        self.reward_scaler = RewardScaler(num_envs, gamma, self.device)
        self.state = self.state_at_start = network.start(num_envs)
        self.env_steps = self.updates = 0
        self.learned: dict[str, Tensor] = {}
        self.log_prob: Tensor | None = None
        self.group, self.precision = group, precision
        self._parameters = list(network.parameters())

    def act(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Return sampled actions (N,) or (N, ...) for observations (N, ...); first: (N,) bool, an episode begins."""
        obs_now, first_now = ops.to_tensor(obs, self.device), ops.to_tensor(first, self.device)
        with torch.no_grad():
            with self.precision():
                policy, self.state = self.network.act(obs_now, first_now, self.state)
            self.action = self.noise.sample(policy)
        return self.network.head.to_env(self.action)

    def take(self, action: Tensor, log_prob: Tensor | None, state: Tensor | None) -> None:
        """Take over what a copy did in place of `act`. log_prob: (N,), if its policy is older than the network."""
        self.action, self.log_prob, self.state = action, log_prob, state

    def observe(self, step: Step) -> None:
        """Store what followed the last `act`."""
        self.buffer.push(step, self.action, self.log_prob)
        self.env_steps += len(step.action)

    def cut(self, learn: Callable[[], None]) -> None:
        """End all episodes under way as truncations, because the environments restart.

        The row that says so may fill the rollout: then it is learned from.
        """
        self.buffer.cut()
        if self.buffer.full:
            learn()

    def scaled_reward(self) -> Tensor:
        """Rewards (T, N) of the rollout over the standard deviation of the return, which takes them in first."""
        self.reward_scaler.update(self.buffer.reward, self.buffer.first[:-1], self.buffer.dummy)
        self.group.mean_([self.reward_scaler.moments.mean, self.reward_scaler.moments.var])
        return self.reward_scaler(self.buffer.reward)

    def descend(self, loss: Tensor, learning_rate: float, max_grad_norm: float) -> Tensor:
        """Take one step of the optimizer; return the norm of the gradient before clipping."""
        set_learning_rate(self.optimizer, learning_rate)
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        self.group.mean_gradients_(self._parameters)
        with torch.no_grad():  # torch.nn.utils.clip_grad_norm_, in its order, without its slower preparations
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            torch._foreach_mul_(gradients, (max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step()
        return norm

    def next_rollout(self) -> None:
        """Take the rollout's observations into the network's statistics, and empty the buffer."""
        if self.network.moments is not None or self.network.frames_known is not None:
            self.network.take_statistics(self.buffer.real_obs())
            self.group.mean_(self.network.buffers())
        self.buffer.clear()
        self.state_at_start = self.state

    def state_dict(self) -> dict[str, Any]:
        """Return all of it but the random generators, which are saved by their owner."""
        state = {name: getattr(self, part).state_dict() for name, part in PARTS.items()}
        names = ("state", "state_at_start", "env_steps", "updates", "learned")
        return state | {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name, part in PARTS.items():
            getattr(self, part).load_state_dict(state[name])
        if self.state is not None:
            self.state, self.state_at_start = (state[name].to(self.device) for name in ("state", "state_at_start"))
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
        self.learned = {name: value for name, value in state["learned"].items() if np.isfinite(float(value))}


class NetworkSettings(Protocol):
    """The settings that shape policy and critic, as agents/training/config.py has them."""

    @property
    def policy(self) -> PolicySettings:
        """Settings of the policy's network."""

    @property
    def shared_backbone(self) -> bool:
        """Return whether policy and value share the network up to their heads."""

    @property
    def lstm_units(self) -> int:
        """Units of an LSTM behind the shared backbone; 0: none."""


def make_network(settings: NetworkSettings, observation_space: Space[Any], action_space: Space[Any]) -> ActorCritic:
    """Make policy and critic, on the CPU. Raises: ConfigError for spaces or settings that have no such network."""
    from agents.rl.policy_networks import ActorCritic  # here, so that --help needs no torch

    assert observation_space.shape is not None
    critic: Literal["shared", "separate"] = "shared" if settings.shared_backbone else "separate"
    return ActorCritic(observation_space.shape, action_space, settings.policy, critic, settings.lstm_units)


def make_actor(
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    run: TrainingRun,
    *,
    rollout_steps: int,
    noise_hold_steps: int,
    gamma: float,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> OnPolicyActor:
    """Make the actor of a network, which is on the run's device, with an empty rollout buffer."""
    env, num_envs = run.env_runner, len(run.env_runner.obs)
    buffer = RolloutBuffer(rollout_steps, num_envs, env.observation_space, env.action_space, run.device)
    noise = ActionNoise(noise_hold_steps, num_envs, run.generators.torch("actions", run.device))
    return OnPolicyActor(network, buffer, noise, optimizer, gamma, run.group, precision)
