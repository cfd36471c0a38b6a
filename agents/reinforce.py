"""REINFORCE, the Monte-Carlo policy gradient. Source: Williams 1992, "Simple statistical gradient-following algorithms
for connectionist reinforcement learning"; with baselines: Sutton & Barto 2018, sections 13.3 and 13.4.

    python -m agents.reinforce --env CartPole

Each environment plays one whole episode with the same policy; one update; all begin anew. So no episode is cut by an
update, and short ones are not over-represented; copies that end early are stepped on and ignored (they count as steps).

Deviations from Williams, each a field of `Config`:
1. Rewards before an action are left out of its return (Sutton & Barto 2018, eq. 13.8), a baseline is subtracted, and
   the advantages may be standardised. `mean` counts an episode in its own baseline, which makes the gradient shorter by
   about 1 / `num_envs`; `leave-one-out`, `moving-average` and `learned` bring no bias.
2. The factor gamma^t of Sutton & Barto, eq. 13.8, is left out, and the mean is over steps instead of episodes.
3. Adam; an entropy bonus; the learned baseline is fitted to the returns by its own optimiser after the policy moved.
4. Episodes cut by a time limit (`truncation`): with the learned baseline their return goes on with the value of the
   true last observation; without one they count as ended ("end"), or are not learned from ("drop").
5. Observations and rewards may be standardised by running statistics, which change between updates only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from gymnasium import Space
from torch import Tensor, nn

from agents.rl import exploration, ops
from agents.rl.action_noise import ActionNoise
from agents.rl.distributions import Distribution
from agents.rl.greedy_policy import Player
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic, PolicyConfig, load_network
from agents.rl.running_stats import RewardScale
from agents.training import pretrained
from agents.training.cli import command, parse
from agents.training.config import EvalConfig, RunConfig, Stateful, check_numbers
from agents.training.env_runner import Rollout, Step
from agents.training.pretrained import TransferConfig
from agents.training.session import Session
from envs.factory import EnvConfig, make_vec
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.seeding import Generators

# What is kept of each step, (N, ...) each: alive, the copy's episode of this batch is not over; goes_on, the next row's
# return belongs to this one; cut, the episode was truncated here.
ROWS = ("obs", "action", "reward", "alive", "goes_on", "cut")


@dataclass(frozen=True)
class Config:
    """Settings of a REINFORCE run; presets in configs/reinforce_*.toml change only what differs from these."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # One integer that all randomness of the run derives from.
    seed: int = 1
    # Agent steps to take, over all environments.
    total_env_steps: int = 1_000_000
    # Copies of the environment that step together: the episodes of an update.
    num_envs: int = 16
    # Discount of a reward one agent step later.
    gamma: float = 0.99
    # Subtracted from returns: nothing, the mean of the batch, a moving average over batches, for each time step the
    # mean of the other episodes, or a value network.
    baseline: Literal["none", "mean", "moving-average", "leave-one-out", "learned"] = "learned"
    # Share of its old value that the moving average keeps at each update.
    baseline_decay: float = 0.9
    # An episode cut by a time limit: ended, bootstrapped by the value network, or not learned from, as far back as the
    # cut reaches (auto: bootstrap with the learned baseline, end without).
    truncation: Literal["auto", "end", "bootstrap", "drop"] = "auto"
    # Standardise the advantages of each batch.
    normalise_advantages: bool = True
    # Divide rewards by the running spread of the discounted return.
    normalise_rewards: bool = False
    # Adam's step size for the policy at the start.
    learning_rate: float = 3e-3
    # Adam's step size for the policy at the end of the run, linear in between (None: constant).
    learning_rate_end: float | None = None
    # Adam's step size for the value network.
    value_learning_rate: float = 3e-3
    # Steps of the value network after each update of the policy.
    value_updates: int = 20
    # Agent steps in each of them.
    value_batch_size: int = 512
    # Adam's epsilon.
    adam_eps: float = 1e-8
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: float = 0.01
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: float | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: float = 1.0
    # Agent steps that go through the network at once; bounds memory and changes nothing else.
    chunk_steps: int = 4_096

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(default_factory=PolicyConfig)
    transfer: Annotated[TransferConfig, tyro.conf.arg(name="")] = field(default_factory=TransferConfig)
    world: EnvConfig = field(default_factory=EnvConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=DeviceConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        positive = ("total_env_steps", "num_envs", "learning_rate", "value_learning_rate", "adam_eps", "max_grad_norm")
        check_numbers(
            self,
            positive=(*positive, "value_updates", "value_batch_size", "chunk_steps"),
            not_negative=("entropy_coefficient", "learning_rate_end", "entropy_coefficient_end"),
            shares=("gamma", "baseline_decay"),
        )
        if self.baseline == "leave-one-out" and self.num_envs < 2:
            raise ConfigError("baseline leave-one-out needs num_envs of at least 2")
        if self.truncation == "bootstrap" and self.baseline != "learned":
            raise ConfigError("truncation bootstrap needs the value network of baseline learned")


def reinforce_loss(
    log_prob: Tensor, entropy: Tensor, advantage: Tensor, *, entropy_coefficient: float
) -> tuple[Tensor, Tensor]:
    """Minus the mean of log pi(a|s) * advantage and of entropy_coefficient * entropy; with it the mean entropy.

    Source: Sutton & Barto 2018, eq. 13.11; Williams & Peng 1991 for the entropy. All (B,) float32, one for each step.
    """
    bonus = entropy.mean()
    loss = ops.policy_gradient_loss(log_prob, advantage, torch.ones_like(advantage))
    return loss - entropy_coefficient * bonus, bonus.detach()


class Reinforce:
    """The agent: all its mutable state is made here and saved by `state_dict`."""

    def __init__(
        self,
        config: Config,
        observation_space: Space[Any],
        action_space: Space[Any],
        seeds: Generators,
        device: torch.device,
    ) -> None:
        shape = observation_space.shape
        assert shape is not None
        self.config, self.device = config, device
        torch.manual_seed(seeds.integer("init"))
        self.learns_value = config.baseline == "learned"
        self.network = ActorCritic(shape, action_space, config.policy, "separate" if self.learns_value else "none")
        self.network.to(device)
        pretrained.freeze(config.transfer, self.network)
        self.optimizer = self._adam(config.learning_rate, self.network.backbone, self.network.head)
        self.value_optimizer = None
        if self.network.value_backbone is not None and self.network.value_head is not None:
            self.value_optimizer = self._adam(
                config.value_learning_rate, self.network.value_backbone, self.network.value_head
            )
        self.reward_scale = RewardScale(config.num_envs, config.gamma, device)
        self.average: float | None = None  # of returns, for the moving-average baseline
        self.over = np.zeros(config.num_envs, dtype=bool)  # copies whose episode of this batch has ended
        self.rows: dict[str, list[Tensor]] = {name: [] for name in ROWS}
        self.last_obs = torch.zeros((config.num_envs, *shape), dtype=torch.uint8 if len(shape) == 3 else torch.float32)
        self.noise = ActionNoise(config.policy.noise_hold_steps, config.num_envs, seeds.torch("actions", device))
        self.shuffling = seeds.torch("value_batches", device)
        self.env_steps = 0
        self.updates = 0
        self.learned: dict[str, Tensor] = {}  # by the last update, for the record
        self._loss = torch.compile(reinforce_loss) if config.device.compile else reinforce_loss

    def _adam(self, learning_rate: float, *modules: nn.Module) -> torch.optim.Adam:
        groups = pretrained.parameter_groups(self.config.transfer, self.network, learning_rate, modules)
        return torch.optim.Adam(groups, lr=learning_rate, eps=self.config.adam_eps, fused=True)

    # ---- schedules, functions of the counters alone

    def learning_rate(self) -> float:
        """Step size now."""
        c = self.config
        end = c.learning_rate if c.learning_rate_end is None else c.learning_rate_end
        return exploration.linear(c.learning_rate, end, c.total_env_steps, self.env_steps)

    def entropy_coefficient(self) -> float:
        """Weight of the entropy now."""
        c = self.config
        end = c.entropy_coefficient if c.entropy_coefficient_end is None else c.entropy_coefficient_end
        return exploration.linear(c.entropy_coefficient, end, c.total_env_steps, self.env_steps)

    # ---- acting and remembering

    @torch.no_grad()
    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions (N,) or (N, ...), sampled, for observations (N, ...)."""
        self.action = self.noise.sample(self._policy(self._tensor(obs)))
        return self.network.head.to_world(self.action)

    def observe(self, step: Step) -> None:
        """Remember what came of the last `act`, for the copies whose episode is not over."""
        alive = ~self.over
        row = {
            "obs": self._tensor(step.obs),
            "action": self.action,
            "reward": self._tensor(step.reward),
            "alive": self._tensor(alive),
            "goes_on": self._tensor(~(step.terminated | step.truncated | step.value_ends)),
            "cut": self._tensor(step.truncated & ~(step.terminated | step.value_ends)),
        }
        for name in ROWS:
            self.rows[name].append(row[name].clone())  # the environments may write into their arrays again
        ended = alive & (step.terminated | step.truncated)
        self.last_obs[torch.from_numpy(ended)] = torch.from_numpy(step.next_obs[ended])
        self.over |= ended
        self.env_steps += len(step.action)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _policy(self, obs: Tensor) -> Distribution:
        """For observations (B, ...)."""
        policy, _ = self.network.act(obs[None], torch.zeros(1, len(obs), dtype=torch.bool), None)
        return policy[0]

    # ---- learning

    def ready(self) -> bool:
        """Every copy has played its episode."""
        return bool(self.over.all())

    def learn(self) -> dict[str, Tensor]:
        """One update from an episode of each copy, which are then forgotten; returns what to log."""
        c = self.config
        rows = {name: torch.stack(self.rows[name]) for name in ROWS}
        mask, returns = self._returns(rows)
        self.rows = {name: [] for name in ROWS}
        self.over[:] = False
        steps = mask.nonzero(as_tuple=True)
        if len(steps[0]) == 0:  # every episode was cut, and those are dropped
            return self.learned
        obs = rows["obs"][steps]
        value = None
        if self.learns_value:
            with torch.no_grad():
                value = torch.cat([self.network.value(part) for part in obs.split(c.chunk_steps)])
        advantage = returns[steps] - self._baseline(returns, mask, value)
        if c.normalise_advantages:
            advantage = ops.standardise(advantage, torch.ones_like(advantage))
        self.learned = self._move_policy(obs, rows["action"][steps], advantage)
        if self.learns_value:
            self.learned["losses/value_loss"] = self._fit_value(obs, returns[steps])
        self.network.take_statistics(obs)
        return self.learned

    @torch.no_grad()
    def _returns(self, rows: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The steps to learn from (T, N) bool, and returns-to-go (T, N), 0 after an episode's end."""
        c = self.config
        mask, cut = rows["alive"], rows["cut"] & rows["alive"]
        reward = rows["reward"] * mask
        if c.normalise_rewards:
            first = torch.zeros_like(mask)
            first[0] = True
            self.reward_scale.update(reward, first, ~mask)
            reward = self.reward_scale(reward)
        if c.truncation == "drop":
            mask = mask & (ops.returns_to_go(cut.float(), rows["goes_on"].float()) == 0)  # what the cut reaches
        elif self.learns_value and c.truncation != "end":
            reward = reward + c.gamma * cut * self.network.value(self.last_obs.to(self.device))
        return mask, ops.returns_to_go(reward, c.gamma * rows["goes_on"])

    def _baseline(self, returns: Tensor, mask: Tensor, value: Tensor | None) -> Tensor | float:
        """returns, mask: (T, N); value: (B,) of the steps where mask is true, row by row. Gives (B,) or one number."""
        if value is not None:
            return value
        if self.config.baseline == "none":
            return 0.0
        if self.config.baseline == "leave-one-out":
            return ops.leave_one_out(returns)[mask]
        mean = float(returns[mask].mean())
        if self.config.baseline == "mean":
            return mean
        before = 0.0 if self.average is None else self.average  # this batch must not be in its own baseline
        keep = self.config.baseline_decay
        self.average = mean if self.average is None else keep * self.average + (1 - keep) * mean
        return before

    def _move_policy(self, obs: Tensor, action: Tensor, advantage: Tensor) -> dict[str, Tensor]:
        c = self.config
        pretrained.set_learning_rate(self.optimizer, self.learning_rate())
        self.optimizer.zero_grad()
        total, bonus = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for part in torch.arange(len(obs), device=self.device).split(c.chunk_steps):
            with c.device.autocast(self.device):
                policy = self._policy(obs[part])
            coefficient = self.entropy_coefficient()
            loss, entropy = self._loss(
                policy.log_prob(action[part]), policy.entropy(), advantage[part], entropy_coefficient=coefficient
            )
            share = len(part) / len(obs)
            (loss * share).backward()
            total, bonus = total + loss.detach() * share, bonus + entropy * share
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, c.max_grad_norm)
        self.optimizer.step()
        self.updates += 1
        return {"losses/policy_loss": total, "losses/entropy": bonus, "losses/grad_norm": norm}

    def _fit_value(self, obs: Tensor, returns: Tensor) -> Tensor:
        """Steps of the value network towards the returns (B,); the mean squared error of the last."""
        assert self.value_optimizer is not None
        size = min(self.config.value_batch_size, len(obs))
        for _ in range(self.config.value_updates):
            index = torch.randperm(len(obs), generator=self.shuffling, device=self.device)[:size]
            loss = (returns[index] - self.network.value(obs[index])).square().mean()
            self.value_optimizer.zero_grad()
            loss.backward()
            self.value_optimizer.step()
        return loss.detach()

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return {"charts/learning_rate": self.learning_rate(), "charts/entropy_coefficient": self.entropy_coefficient()}

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """Network, optimisers, episodes under way and counters; the generators are saved by their owner."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "value_optimizer": None if self.value_optimizer is None else self.value_optimizer.state_dict(),
            "rows": {name: torch.stack(rows) if rows else None for name, rows in self.rows.items()},
            "over": self.over,
            "last_obs": self.last_obs,
            "average": self.average,
            "reward_scale": self.reward_scale.state_dict(),
            "noise": self.noise.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
            "learned": self.learned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.value_optimizer is not None:
            self.value_optimizer.load_state_dict(state["value_optimizer"])
        self.rows = {n: [] if rows is None else list(rows.to(self.device)) for n, rows in state["rows"].items()}
        self.over, self.last_obs, self.average = state["over"].copy(), state["last_obs"].clone(), state["average"]
        self.reward_scale.load_state_dict(state["reward_scale"])
        self.noise.load_state_dict(state["noise"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
        self.learned = dict(state["learned"])


def load_policy(config: Config, weights: dict[str, Tensor], source: str) -> Policy:
    """A trained agent from its configuration and weights. Raises: CheckpointError naming `source`."""
    world = make_vec(config.env, 1, config.world)
    agent = Reinforce(
        config, world.single_observation_space, world.single_action_space, Generators(0), torch.device("cpu")
    )
    world.close()
    load_network(agent.network, weights, source)
    return Player(agent.network).policy()


def train(config: Config, session: Session) -> None:
    """The loop: an episode of each copy, one update, and all begin anew."""
    device = devices.setup(config.device)
    seeds = Generators(config.seed)
    rollout = Rollout(config.env, config.num_envs, config.world, seeds)
    agent = Reinforce(config, rollout.observation_space, rollout.action_space, seeds, device)
    pretrained.begin(config.transfer, session, agent.network)
    parts: dict[str, Stateful] = {"agent": agent, "rollout": rollout, "seeds": seeds}
    session.begin(parts, Player(agent.network).policy(), agent.network)
    while session.running():
        step, episodes = rollout.step(agent.act(rollout.obs))
        agent.observe(step)
        batch_over = agent.ready()
        if batch_over:
            agent.learn()
            rollout.restart()
        session.record(agent.env_steps, agent.updates, episodes, agent.learned, agent.status())
        if batch_over and session.checkpoint_due():
            session.save()
    session.end()
    rollout.close()


@command
def main(argv: list[str] | None = None) -> None:
    """Train by REINFORCE."""
    config = parse(Config, "reinforce", argv, "CartPole")
    with Session("reinforce", config) as session:
        train(config, session)


if __name__ == "__main__":
    main()
