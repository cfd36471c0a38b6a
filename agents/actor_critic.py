"""Synchronous advantage actor-critic (A2C). Source: Mnih et al. 2016, "Asynchronous methods for deep reinforcement
learning", algorithm S3, with N environments stepped together in place of asynchronous workers.

    python -m agents.actor_critic --env CartPole

Deviations from the paper, each a field of `Config`:
1. Advantages are generalised (Schulman et al. 2016); `gae_lambda` 1 is the paper's n-step return, n = `rollout_steps`.
2. RMSProp has torch's form, with epsilon outside the root; Adam on request.
3. Continuous actions are Gaussian with one learned spread for each entry, clipped to the bounds (options: squashed,
   spread by observation); the entropy of squashed ones is integrated, to 0.01 nats for spreads up to e.
4. Observations, rewards and advantages may be normalised; statistics change between rollouts only.
5. An episode cut by a time limit goes on in value: bootstrapped from its true last observation. Lost lives and
   points end no value, unless `world.episodic_life`, `world.episodic_points`; sticky actions (Machado et al. 2018).
6. The LSTM's gradient is cut at the start of each rollout.
7. A critic of its own may take further steps on each rollout (`value_updates`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from gymnasium import Space
from torch import Tensor

from agents.rl import exploration, ops
from agents.rl.action_noise import ActionNoise
from agents.rl.greedy_policy import Player
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic, PolicyConfig, load_network
from agents.rl.rollout_buffer import Trajectories
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


@dataclass(frozen=True)
class Config:
    """Settings of an actor-critic run; presets in configs/actor_critic_*.toml change only what differs from these."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # One integer that all randomness of the run derives from.
    seed: int = 1
    # Agent steps to take, over all environments.
    total_env_steps: int = 1_000_000
    # Copies of the environment that step together.
    num_envs: int = 16
    # Vector steps between updates: the n of n-step returns, and how far back the LSTM's gradient reaches.
    rollout_steps: int = 8
    # Discount of a reward one agent step later.
    gamma: float = 0.99
    # Trace of the advantages: 0 one-step TD errors, 1 n-step returns.
    gae_lambda: float = 1.0
    # Step size at the start.
    learning_rate: float = 7e-4
    # Step size at the end of the run, linear in between (None: constant).
    learning_rate_end: float | None = None
    # The optimiser.
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    # Its epsilon.
    optimizer_eps: float = 1e-5
    # Weight of the squared error of the value in the loss.
    value_coefficient: float = 0.5
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: float = 0.01
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: float | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: float = 0.5
    # Standardise the advantages of each rollout.
    normalise_advantages: bool = False
    # Divide rewards by the running spread of the discounted return.
    normalise_rewards: bool = False
    # Policy and value share the network up to their heads.
    shared_backbone: bool = True
    # Steps of the critic on each rollout, for one of the policy; more than 1 needs a critic on a backbone of its own.
    value_updates: int = 1
    # Units of an LSTM behind the shared backbone, for worlds that one observation does not tell whole; 0: none.
    lstm_units: int = 0

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(default_factory=PolicyConfig)
    transfer: Annotated[TransferConfig, tyro.conf.arg(name="")] = field(default_factory=TransferConfig)
    world: EnvConfig = field(default_factory=EnvConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=DeviceConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        positive = ("total_env_steps", "num_envs", "rollout_steps", "learning_rate", "optimizer_eps", "max_grad_norm")
        not_negative = ("value_coefficient", "entropy_coefficient", "lstm_units")
        check_numbers(
            self,
            positive=(*positive, "value_updates"),
            not_negative=(*not_negative, "learning_rate_end", "entropy_coefficient_end"),
            shares=("gamma", "gae_lambda"),
        )
        if self.value_updates > 1 and self.shared_backbone:
            raise ConfigError("value_updates of more than 1 needs a critic of its own: --no-shared-backbone")


def actor_critic_loss(
    log_prob: Tensor,
    entropy: Tensor,
    value: Tensor,
    advantage: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    value_coefficient: float,
    entropy_coefficient: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Policy-gradient loss + value_coefficient * mean squared error - entropy_coefficient * mean entropy.

    Source: Mnih et al. 2016, section 4. All (T, N) float32; means are over the steps where mask is 1; no gradient flows
    through advantage and target. Returns the loss, and its parts for the record.
    """
    policy_loss = ops.policy_gradient_loss(log_prob, advantage, mask)
    value_loss = ops.masked_mean((target.detach() - value).square(), mask)
    bonus = ops.masked_mean(entropy, mask)
    loss = policy_loss + value_coefficient * value_loss - entropy_coefficient * bonus
    parts = {"losses/policy_loss": policy_loss, "losses/value_loss": value_loss, "losses/entropy": bonus}
    return loss, {name: part.detach() for name, part in parts.items()}


class A2C:
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
        critic: Literal["shared", "separate"] = "shared" if config.shared_backbone else "separate"
        self.network = ActorCritic(shape, action_space, config.policy, critic, config.lstm_units).to(device)
        pretrained.freeze(config.transfer, self.network)
        groups = pretrained.parameter_groups(config.transfer, self.network, config.learning_rate)
        self.optimizer: torch.optim.Optimizer
        if config.optimizer == "rmsprop":
            self.optimizer = torch.optim.RMSprop(groups, config.learning_rate, eps=config.optimizer_eps, foreach=True)
        else:
            self.optimizer = torch.optim.Adam(groups, config.learning_rate, eps=config.optimizer_eps, fused=True)
        self.rollout = Trajectories(config.rollout_steps, config.num_envs, observation_space, action_space, device)
        self.reward_scale = RewardScale(config.num_envs, config.gamma, device)
        self.state = self.network.start(config.num_envs)  # of the LSTM, now
        self.state_at_start = self.state  # of the rollout
        self.noise = ActionNoise(config.policy.noise_hold_steps, config.num_envs, seeds.torch("actions", device))
        self.env_steps = 0
        self.updates = 0
        self.learned: dict[str, Tensor] = {}  # by the last update, for the record
        self._forward = torch.compile(self.network) if config.device.compile else self.network

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
    def act(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Actions (N,) or (N, ...), sampled, for observations (N, ...); first: (N,) bool, an episode begins."""
        policy, self.state = self.network.act(self._tensor(obs)[None], self._tensor(first)[None], self.state)
        self.action = self.noise.sample(policy[0])
        return self.network.head.to_world(self.action)

    def observe(self, step: Step) -> None:
        """Remember what came of the last `act`."""
        self.rollout.push(step, self.action)
        self.env_steps += len(step.action)

    def cut(self) -> None:
        """End all episodes under way as truncations: the environments restart."""
        self.rollout.cut()
        if self.ready():
            self.learn()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    # ---- learning

    def ready(self) -> bool:
        """A rollout is full."""
        return self.rollout.full

    def learn(self) -> dict[str, Tensor]:
        """One update from a full rollout, which is then forgotten; returns what to log, still on the device."""
        c, rollout = self.config, self.rollout
        reward = rollout.reward
        if c.normalise_rewards:
            self.reward_scale.update(reward, rollout.first[:-1], rollout.dummy)
            reward = self.reward_scale(reward)
        with c.device.autocast(self.device):
            said = self._forward(rollout.obs, rollout.first, self.state_at_start)
        assert said.value is not None
        made = rollout.advantages(said.value, reward, c.gamma, c.gae_lambda)
        advantage = ops.standardise(made.advantage, made.mask) if c.normalise_advantages else made.advantage
        policy = said.policy[:-1]
        loss, parts = actor_critic_loss(
            policy.log_prob(rollout.action),
            policy.entropy(),
            said.value[:-1],
            advantage,
            made.target,
            made.mask,
            value_coefficient=c.value_coefficient,
            entropy_coefficient=self.entropy_coefficient(),
        )
        pretrained.set_learning_rate(self.optimizer, self.learning_rate())
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), c.max_grad_norm)
        self.optimizer.step()
        self._fit_value(made.target, made.mask)
        self.updates += 1
        self.network.take_statistics(rollout.real_obs())
        rollout.clear()
        self.state_at_start = self.state
        value = ops.masked_mean(said.value[:-1].detach(), made.mask)
        self.learned = parts | {"losses/value": value, "losses/grad_norm": norm}
        return self.learned

    def _fit_value(self, target: Tensor, mask: Tensor) -> None:
        """Further steps of the critic alone towards its targets (T, N): a policy gets as good as its critic lets it."""
        obs = self.rollout.obs[:-1].flatten(0, 1)
        for _ in range(self.config.value_updates - 1):
            error = (target - self.network.value(obs).view_as(target)).square()
            self.optimizer.zero_grad()
            (self.config.value_coefficient * ops.masked_mean(error, mask)).backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
            self.optimizer.step()

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return {"charts/learning_rate": self.learning_rate(), "charts/entropy_coefficient": self.entropy_coefficient()}

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, rollout under way and counters; the generators are saved by their owner."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rollout": self.rollout.state_dict(),
            "reward_scale": self.reward_scale.state_dict(),
            "noise": self.noise.state_dict(),
            "state": self.state,
            "state_at_start": self.state_at_start,
            "env_steps": self.env_steps,
            "updates": self.updates,
            "learned": self.learned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        for name in ("network", "optimizer", "rollout", "reward_scale", "noise"):
            getattr(self, name).load_state_dict(state[name])
        if self.state is not None:
            self.state, self.state_at_start = (state[name].to(self.device) for name in ("state", "state_at_start"))
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])
        self.learned = dict(state["learned"])


def load_policy(config: Config, weights: dict[str, Tensor], source: str) -> Policy:
    """A trained agent from its configuration and weights. Raises: CheckpointError naming `source`."""
    world = make_vec(config.env, 1, config.world)
    tiny = replace(config, num_envs=1, rollout_steps=1)
    agent = A2C(tiny, world.single_observation_space, world.single_action_space, Generators(0), torch.device("cpu"))
    world.close()
    load_network(agent.network, weights, source)
    return Player(agent.network).policy()


def train(config: Config, session: Session) -> None:
    """The loop: act for a rollout, learn from it once, forget it."""
    device = devices.setup(config.device)
    seeds = Generators(config.seed)
    rollout = Rollout(config.env, config.num_envs, config.world, seeds)
    agent = A2C(config, rollout.observation_space, rollout.action_space, seeds, device)
    pretrained.begin(config.transfer, session, agent.network)
    parts: dict[str, Stateful] = {"agent": agent, "rollout": rollout, "seeds": seeds}
    session.begin(parts, Player(agent.network).policy(), agent.network)
    while session.running():
        step, episodes = rollout.step(agent.act(rollout.obs, rollout.first))
        agent.observe(step)
        if agent.ready():
            agent.learn()
        session.record(agent.env_steps, agent.updates, episodes, agent.learned, agent.status())
        if session.checkpoint_due():
            agent.cut()
            rollout.restart()
            session.save()
    session.end()
    rollout.close()


@command
def main(argv: list[str] | None = None) -> None:
    """Train an actor-critic."""
    config = parse(Config, "actor_critic", argv, "CartPole")
    with Session("actor_critic", config) as session:
        train(config, session)


if __name__ == "__main__":
    main()
