"""REINFORCE, the Monte-Carlo policy gradient. Source: Williams 1992, "Simple statistical gradient-following algorithms
for connectionist reinforcement learning"; with baselines: Sutton & Barto 2018, sections 13.3 and 13.4.

    python -m agents.reinforce --env CartPole

Each environment plays one whole episode with the same policy; then comes one update, and all begin anew. So no episode
is cut by an update, and short ones are not over-represented; steps after an episode's end are ignored, but counted.

Deviations from Williams (those that can be switched are fields of `Config`):
1. Rewards before an action are left out of its return (Sutton & Barto 2018, eq. 13.8), a baseline is subtracted, and
   the advantages may be standardized. Only the baseline `mean` brings a bias, of about 1 / `num_envs`.
2. The factor gamma^t of Sutton & Barto, eq. 13.8, is left out, and the mean is over steps instead of episodes.
3. Adam; an entropy bonus; the learned baseline is fitted to the returns by its own optimizer after the policy's update.
4. Episodes cut by a time limit (`truncation`): with the learned baseline their return is bootstrapped from the value of
   the true last observation; without one they count as ended ("end"), or are not learned from ("drop").
5. Observations and rewards may be standardized by running statistics, which change between updates only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import Space

from agents.rl import ops
from agents.rl.baselines import MovingAverage, batch_baseline
from agents.rl.distributions import ActionNoise
from agents.rl.episode_buffer import EpisodeBuffer
from agents.rl.interfaces import Step, TrainingRun
from agents.rl.optimizers import parameter_groups, set_learning_rate
from agents.training.config import Copies, PolicyGradientConfig
from agents.training.launch import launch
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Count, Few, NotNegative, Positive, Share

if TYPE_CHECKING:
    from torch import Tensor, nn

    from agents.rl.distributions import Distribution
    from agents.rl.policy_networks import ActorCritic


@dataclass(frozen=True)
class Config(PolicyGradientConfig):
    """Settings of a REINFORCE run; presets in configs/reinforce_*.toml change only what differs from these."""

    # Copies of the environment that step together: the episodes of an update.
    num_envs: Copies = 16
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Subtracted from returns: nothing, the mean of the batch, a moving average over batches, for each time step the
    # mean of the other episodes, or a value network.
    baseline: Literal["none", "mean", "moving-average", "leave-one-out", "learned"] = "learned"
    # Share of its old value that the moving average keeps at each update.
    baseline_decay: Share = 0.9
    # Treat an episode cut by a time limit as ended, bootstrap it from the value network, or drop the steps whose return
    # the cut reaches (auto: bootstrap with the learned baseline, end without).
    truncation: Literal["auto", "end", "bootstrap", "drop"] = "auto"
    # Standardize the advantages of each batch.
    normalize_advantages: bool = True
    # Divide rewards by the running standard deviation of the discounted return.
    normalize_rewards: bool = False
    # Adam's learning rate for the policy at the start.
    learning_rate: Positive = 3e-3
    # Adam's learning rate for the policy at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Adam's learning rate for the value network.
    value_learning_rate: Positive = 3e-3
    # Updates of the value network after each update of the policy.
    value_updates: Few = 20
    # Agent steps in each of them.
    value_batch_size: Count = 512
    # Adam's epsilon.
    adam_eps: Positive = 1e-8
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: NotNegative = 0.01
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: NotNegative | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 1.0
    # Agent steps that go through the network at once; bounds memory and changes nothing else.
    chunk_steps: Count = 4_096

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.baseline == "leave-one-out" and self.num_envs < 2:
            raise ConfigError("baseline leave-one-out needs num_envs of at least 2")
        if self.truncation == "bootstrap" and self.baseline != "learned":
            raise ConfigError("truncation bootstrap needs the value network of baseline learned")


def reinforce_loss(
    log_prob: Tensor, entropy: Tensor, advantage: Tensor, *, entropy_coefficient: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the mean of log pi(a|s) * advantage and of entropy_coefficient * entropy; with it both means apart.

    Source: Sutton & Barto 2018, eq. 13.11; Williams & Peng 1991 for the entropy. All (B,) float32, one for each step.
    Returns the loss, its policy part without the entropy, and the entropy; no gradient through the last two.
    """
    mean_entropy = entropy.mean()
    policy_loss = ops.policy_gradient_loss(log_prob, advantage, torch.ones_like(advantage))
    return policy_loss - entropy_coefficient * mean_entropy, policy_loss.detach(), mean_entropy.detach()


def make_network(config: Config, observation_space: Space[Any], action_space: Space[Any]) -> ActorCritic:
    """Make the policy and, for the learned baseline, a value network, on the CPU. Raises: ConfigError."""
    from agents.rl.policy_networks import ActorCritic  # here, so that --help needs no torch

    assert observation_space.shape is not None
    critic: Literal["separate", "none"] = "separate" if config.baseline == "learned" else "none"
    return ActorCritic(observation_space.shape, action_space, config.policy, critic)


class Reinforce:
    """The agent: all its mutable state is made here and saved by `state_dict`."""

    def __init__(
        self,
        config: Config,
        network: ActorCritic,
        buffer: EpisodeBuffer,
        optimizer: torch.optim.Optimizer,
        value_optimizer: torch.optim.Optimizer | None,
        run: TrainingRun,
    ) -> None:
        """value_optimizer: of the value network, for the learned baseline."""
        from agents.rl.running_stats import RewardScaler  # here, so that --help needs no torch

        self.config, self.device = config, buffer.device
        self.network, self.buffer = network, buffer
        self.optimizer, self.value_optimizer = optimizer, value_optimizer
        self.reward_scaler = RewardScaler(config.num_envs, config.gamma, self.device)
        self.average = MovingAverage(config.baseline_decay)
        rng = run.generators.torch("actions", self.device)
        self.noise = ActionNoise(config.policy.noise_hold_steps, config.num_envs, rng)
        self.shuffling = run.generators.torch("value_batches", self.device)
        self.group, self._ahead = run.group, 0.0  # steps that all processes took on average beyond those of this one
        self.env_steps = self.updates = 0
        self.learned: dict[str, Tensor] = {}  # metrics of the last update
        self._loss = torch.compile(reinforce_loss) if config.device.compile else reinforce_loss

    def schedules(self) -> tuple[float, float]:
        """Learning rate of the policy and weight of the entropy now."""
        c, over, t = self.config, self.config.total_env_steps, self.env_steps + self._ahead
        learning_rate = ops.anneal(c.learning_rate, c.learning_rate_end, over, t)
        return learning_rate, ops.anneal(c.entropy_coefficient, c.entropy_coefficient_end, over, t)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return sampled actions (N,) or (N, ...) for observations (N, ...)."""
        with torch.no_grad():
            self.action = self.noise.sample(self._policy(ops.to_tensor(obs, self.device)))
        return self.network.head.to_env(self.action)

    def observe(self, step: Step) -> None:
        """Store what followed the last `act`."""
        self.buffer.push(step, self.action)
        self.env_steps += len(step.action)

    def _policy(self, obs: Tensor) -> Distribution:
        """Return the distributions over actions for observations (B, ...)."""
        return self.network.act(obs, torch.zeros(len(obs), dtype=torch.bool), None)[0]

    def learn(self) -> None:
        """Update once from an episode of each environment, which are then discarded."""
        c = self.config
        rows = self.buffer.take()
        mask, returns = self._returns(rows)
        steps = mask.nonzero(as_tuple=True)
        if self.group.any(len(steps[0]) == 0):  # every episode was cut, and those are dropped
            return
        self._ahead = self.group.mean(self.env_steps) - self.env_steps
        obs = rows["obs"][steps]
        advantage = returns[steps] - self._baseline(returns, mask, obs)
        if c.normalize_advantages:
            advantage = ops.standardize(advantage, torch.ones_like(advantage), self.group.mean_)
        self.learned = self._update_policy(obs, rows["action"][steps], advantage)
        if self.value_optimizer is not None:
            self.learned["losses/value_loss"] = self._fit_value(obs, returns[steps], self.value_optimizer)
        self.network.take_statistics(obs)
        self.group.mean_(self.network.buffers())

    def _returns(self, rows: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the steps to learn from (T, N) bool, and returns-to-go (T, N), 0 after an episode's end."""
        c = self.config
        mask, cut = rows["alive"], rows["cut"] & rows["alive"]
        reward = rows["reward"] * mask
        if c.normalize_rewards:
            first = torch.arange(len(mask), device=self.device)[:, None].expand_as(mask) == 0
            self.reward_scaler.update(reward, first, ~mask)
            self.group.mean_([self.reward_scaler.moments.mean, self.reward_scaler.moments.var])
            reward = self.reward_scaler(reward)
        if c.truncation == "drop":
            mask = mask & (ops.returns_to_go(cut.float(), rows["goes_on"].float()) == 0)  # the cut reaches no further
        elif c.baseline == "learned" and c.truncation != "end":
            with torch.no_grad():
                reward = reward + c.gamma * cut * self.network.value(self.buffer.last_obs.to(self.device))
        return mask, ops.returns_to_go(reward, c.gamma * rows["goes_on"])

    def _baseline(self, returns: Tensor, mask: Tensor, obs: Tensor) -> Tensor:
        """Return the baseline (B,) of the steps where mask is True; returns, mask: (T, N), obs: (B, ...)."""
        name = self.config.baseline
        if name == "learned":
            with torch.no_grad():
                return torch.cat([self.network.value(chunk) for chunk in obs.split(self.config.chunk_steps)])
        if name == "moving-average":
            return self.average(returns, mask)[mask]
        return batch_baseline(name, returns, mask)[mask]

    def _update_policy(self, obs: Tensor, action: Tensor, advantage: Tensor) -> dict[str, Tensor]:
        c = self.config
        learning_rate, entropy_coefficient = self.schedules()
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.zero_grad()
        policy_loss, entropy = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for chunk in torch.arange(len(obs), device=self.device).split(c.chunk_steps):
            with c.device.autocast(self.device):
                policy = self._policy(obs[chunk])
            log_prob, entropies = policy.log_prob(action[chunk]), policy.entropy()
            loss, chunk_policy_loss, chunk_entropy = self._loss(
                log_prob, entropies, advantage[chunk], entropy_coefficient=entropy_coefficient
            )
            share = len(chunk) / len(obs)
            (loss * share).backward()
            policy_loss, entropy = policy_loss + chunk_policy_loss * share, entropy + chunk_entropy * share
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.group.mean_gradients_(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, c.max_grad_norm)
        self.optimizer.step()
        self.updates += 1
        return {"losses/policy_loss": policy_loss, "losses/entropy": entropy, "losses/grad_norm": norm}

    def _fit_value(self, obs: Tensor, returns: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        """Fit the value network to the returns (B,); return the mean squared error of the last update."""
        size = min(self.config.value_batch_size, len(obs))
        for _ in range(self.config.value_updates):
            index = torch.randperm(len(obs), generator=self.shuffling, device=self.device)[:size]
            loss = (returns[index] - self.network.value(obs[index])).square().mean()
            optimizer.zero_grad()
            loss.backward()
            self.group.mean_gradients_(p for group in optimizer.param_groups for p in group["params"])
            optimizer.step()
        return loss.detach()

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return dict(zip(("charts/learning_rate", "charts/entropy_coefficient"), self.schedules(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return network, optimizers, episodes under way and counters; the generators are saved by their owner."""
        return self.buffer.state_dict() | {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "value_optimizer": None if self.value_optimizer is None else self.value_optimizer.state_dict(),
            "average": self.average.value,
            "reward_scale": self.reward_scaler.state_dict(),
            "noise": self.noise.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
            "learned": self.learned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.buffer.load_state_dict(state)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.value_optimizer is not None:
            self.value_optimizer.load_state_dict(state["value_optimizer"])
        self.average.value = None if state["average"] is None else float(state["average"])
        self.reward_scaler.load_state_dict(state["reward_scale"])
        self.noise.load_state_dict(state["noise"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
        self.learned = {name: value for name, value in state["learned"].items() if np.isfinite(float(value))}


def make_agent(config: Config, run: TrainingRun) -> Reinforce:
    """Make the agent of a run with its network, episode buffer and optimizers."""
    env = run.env_runner
    network = make_network(config, env.observation_space, env.action_space)
    run.prepare(network)
    buffer = EpisodeBuffer(config.num_envs, env.observation_space, run.device)

    def adam(learning_rate: float, *parts: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(network, learning_rate, config.transfer.backbone_factor, parts)
        return torch.optim.Adam(groups, lr=learning_rate, eps=config.adam_eps, fused=True)

    value_optimizer = None
    if network.value_backbone is not None and network.value_head is not None:
        value_optimizer = adam(config.value_learning_rate, network.value_backbone, network.value_head)
    optimizer = adam(config.learning_rate, network.backbone, network.head)
    return Reinforce(config, network, buffer, optimizer, value_optimizer, run)


def train(config: Config, run: TrainingRun) -> None:
    """Play an episode in each environment, make one update, begin all anew."""
    env, agent = run.env_runner, make_agent(config, run)
    run.begin(agent, agent.network)
    while run.running():
        step, episodes = env.step(agent.act(env.obs))
        agent.observe(step)
        batch_done = agent.buffer.full
        if batch_done:
            agent.learn()
            env.restart()
        run.record(agent.env_steps, agent.updates, episodes, agent.learned, agent.status())
        if batch_done and run.checkpoint_due():
            run.save()


def main(argv: list[str] | None = None) -> None:
    """Train by REINFORCE."""
    launch("reinforce", Config, train, argv)


if __name__ == "__main__":
    main()
