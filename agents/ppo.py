"""Proximal policy optimisation. Source: Schulman et al. 2017, "Proximal policy optimization algorithms".

    python -m agents.ppo --env CartPole

Deviations from the paper, each a field of `Config`:
1. Advantages are standardised over the whole rollout, not in each minibatch.
2. An update may stop early: once the policy has moved by `kl_stop_nats` (Schulman 2020, estimator k3).
3. The value is not clipped unless `value_clip` is given (Andrychowicz et al. 2021 find that clipping harms).
4. Continuous actions are Gaussian with one learned spread for each entry, clipped to the bounds (options: squashed,
   spread by observation); the entropy of squashed ones is integrated, to 0.01 nats for spreads up to e.
5. Observations and rewards may be normalised; statistics change between rollouts only, so that a rollout is collected
   and learned from by one and the same policy.
6. An episode cut by a time limit goes on in value: bootstrapped from its true last observation. Lost lives and
   points end no value, unless `world.episodic_life`, `world.episodic_points`; sticky actions (Machado et al. 2018).
7. With an LSTM, minibatches are sequences of `bptt_steps`; each starts in the state that the policy of the rollout had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
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
from agents.rl.policy_networks import ActorCritic, PolicyConfig, Prediction, load_network
from agents.rl.rollout_buffer import Trajectories, sequences
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
    """Settings of a PPO run; presets in configs/ppo_*.toml change only what differs from these."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # One integer that all randomness of the run derives from.
    seed: int = 1
    # Agent steps to take, over all environments.
    total_env_steps: int = 1_000_000
    # Copies of the environment that step together.
    num_envs: int = 8
    # Vector steps in a rollout.
    rollout_steps: int = 128
    # Passes over a rollout.
    epochs: int = 4
    # Agent steps in a minibatch.
    minibatch_size: int = 256
    # Discount of a reward one agent step later.
    gamma: float = 0.99
    # Trace of the advantages: 0 one-step TD errors, 1 sums of rewards to the rollout's end.
    gae_lambda: float = 0.95
    # The policy is not rewarded for changing the probability of an action by more than this share at the start, ...
    clip: float = 0.2
    # ... and by this share at the end of the run, linear in between (None: constant).
    clip_end: float | None = None
    # The value may not move further than this from its old one (None: it may).
    value_clip: float | None = None
    # The step of the minibatch that finds KL(old || new) [nats] above this is the rollout's last (None: no limit).
    kl_stop_nats: float | None = None
    # Adam's step size at the start.
    learning_rate: float = 3e-4
    # Adam's step size at the end of the run, linear in between (None: constant).
    learning_rate_end: float | None = None
    # Adam's epsilon.
    adam_eps: float = 1e-5
    # Weight of the squared error of the value in the loss.
    value_coefficient: float = 0.5
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: float = 0.0
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: float | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: float = 0.5
    # Standardise the advantages of each rollout.
    normalise_advantages: bool = True
    # Divide rewards by the running spread of the discounted return.
    normalise_rewards: bool = False
    # Policy and value share the network up to their heads.
    shared_backbone: bool = True
    # Units of an LSTM behind the shared backbone, for worlds that one observation does not tell whole; 0: none.
    lstm_units: int = 0
    # Agent steps that the LSTM's gradient reaches back; divides rollout_steps and minibatch_size.
    bptt_steps: int = 16

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(default_factory=PolicyConfig)
    transfer: Annotated[TransferConfig, tyro.conf.arg(name="")] = field(default_factory=TransferConfig)
    world: EnvConfig = field(default_factory=EnvConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=DeviceConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        positive = ("total_env_steps", "num_envs", "rollout_steps", "epochs", "minibatch_size", "learning_rate")
        not_negative = ("value_coefficient", "entropy_coefficient", "lstm_units", "value_clip", "kl_stop_nats")
        check_numbers(
            self,
            positive=(*positive, "adam_eps", "max_grad_norm", "clip", "bptt_steps"),
            not_negative=(*not_negative, "learning_rate_end", "entropy_coefficient_end", "clip_end"),
            shares=("gamma", "gae_lambda"),
        )
        for name in ("rollout_steps", "minibatch_size"):
            if getattr(self, name) % self.sequence_steps:
                raise ConfigError(f"bptt_steps {self.bptt_steps} must divide {name} {getattr(self, name)}")

    @property
    def sequence_steps(self) -> int:
        """Agent steps that are learned from in one piece; without a memory each stands alone."""
        return self.bptt_steps if self.lstm_units else 1


@dataclass(frozen=True)
class Minibatch:
    """Sequences of a rollout, (L, S, ...), and what its policy made of them.

    obs: (L, S, ...); first: (L, S) bool; state: (2, S, units) before obs[0], or None; action: (L, S) or (L, S, A);
    log_prob_old, value_old, advantage, target, mask: (L, S) float32.
    """

    obs: Tensor
    first: Tensor
    state: Tensor | None
    action: Tensor
    log_prob_old: Tensor
    value_old: Tensor
    advantage: Tensor
    target: Tensor
    mask: Tensor

    def take(self, index: Tensor) -> Minibatch:
        """The sequences of these numbers."""
        taken: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, x in taken.items():
            taken[name] = None if x is None else x[:, index]
        return Minibatch(**taken)


def ppo_loss(
    log_prob: Tensor,
    entropy: Tensor,
    value: Tensor,
    batch: Minibatch,
    *,
    clip: float,
    value_clip: float | None,
    value_coefficient: float,
    entropy_coefficient: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate + value_coefficient * mean squared error - entropy_coefficient * mean entropy.

    Source: Schulman et al. 2017, eq. 9. log_prob, entropy, value: (L, S) float32, of the network as it is now; means
    are over the steps where batch.mask is 1. Returns the loss, and its parts for the record.
    """
    mask = batch.mask
    policy_loss = ops.clipped_surrogate_loss(log_prob, batch.log_prob_old, batch.advantage, mask, clip)
    error = (batch.target - value).square()
    if value_clip is not None:
        near = batch.value_old + (value - batch.value_old).clamp(-value_clip, value_clip)
        error = torch.maximum(error, (batch.target - near).square())
    value_loss = ops.masked_mean(error, mask)
    bonus = ops.masked_mean(entropy, mask)
    loss = policy_loss + value_coefficient * value_loss - entropy_coefficient * bonus
    with torch.no_grad():
        moved = ((log_prob - batch.log_prob_old).exp() - 1.0).abs() > clip
        parts = {
            "losses/policy_loss": policy_loss.detach(),
            "losses/value_loss": value_loss.detach(),
            "losses/entropy": bonus.detach(),
            "losses/kl_nats": ops.approximate_kl(log_prob, batch.log_prob_old, mask),
            "losses/clipped_share": ops.masked_mean(moved.float(), mask),
        }
    return loss, parts


class PPO:
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
        self.optimizer = torch.optim.Adam(groups, lr=config.learning_rate, eps=config.adam_eps, fused=True)
        self.rollout = Trajectories(config.rollout_steps, config.num_envs, observation_space, action_space, device)
        self.reward_scale = RewardScale(config.num_envs, config.gamma, device)
        self.state = self.network.start(config.num_envs)  # of the LSTM, now
        self.state_at_start = self.state  # of the rollout
        self.noise = ActionNoise(config.policy.noise_hold_steps, config.num_envs, seeds.torch("actions", device))
        self.shuffling = seeds.torch("minibatches", device)
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

    def clip(self) -> float:
        """Clip range of the ratio now."""
        c = self.config
        end = c.clip if c.clip_end is None else c.clip_end
        return exploration.linear(c.clip, end, c.total_env_steps, self.env_steps)

    # ---- acting and remembering

    @torch.no_grad()
    def act(self, obs: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Actions (N,) or (N, ...), sampled, for observations (N, ...); first: (N,) bool, an episode begins."""
        with self.config.device.autocast(self.device):
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
        """Updates from a full rollout, which is then forgotten; returns what to log, still on the device."""
        c = self.config
        pretrained.set_learning_rate(self.optimizer, self.learning_rate())
        whole = self._look_back()
        seen: list[dict[str, Tensor]] = []
        for index in self._minibatches(whole.mask.shape[1]):
            seen.append(self._update(whole.take(index)))
            if c.kl_stop_nats is not None and float(seen[-1]["losses/kl_nats"]) > c.kl_stop_nats:
                break
        self.network.take_statistics(self.rollout.real_obs())
        self.rollout.clear()
        self.state_at_start = self.state
        self.learned = {name: torch.stack([s[name] for s in seen]).mean() for name in seen[0]}
        self.learned["losses/value"] = ops.masked_mean(whole.value_old, whole.mask)
        return self.learned

    def _minibatches(self, sequences: int) -> Iterator[Tensor]:
        """Numbers of the sequences of each minibatch, newly shuffled in each pass."""
        size = self.config.minibatch_size // self.config.sequence_steps
        for _ in range(self.config.epochs):
            yield from torch.randperm(sequences, generator=self.shuffling, device=self.device).split(size)

    @torch.no_grad()
    def _look_back(self) -> Minibatch:
        """The whole rollout as sequences, with what the policy that collected it says of it."""
        c, rollout = self.config, self.rollout
        reward = rollout.reward
        if c.normalise_rewards:
            self.reward_scale.update(reward, rollout.first[:-1], rollout.dummy)
            reward = self.reward_scale(reward)
        # In stretches: of a sequence's length with a memory, for the state at the start of each; else of about a
        # minibatch, which bounds memory.
        state, states, log_probs, values = self.state_at_start, [], [], []
        stretch = c.sequence_steps if c.lstm_units else max(c.minibatch_size // c.num_envs, 1)
        for t in range(0, c.rollout_steps, stretch):
            states.append(state)
            rows = slice(t, min(t + stretch, c.rollout_steps))
            said = self._say(rollout.obs[rows], rollout.first[rows], state)
            assert said.value is not None
            log_probs.append(said.policy.log_prob(rollout.action[rows]))
            values.append(said.value)
            state = said.state
        last = self._say(rollout.obs[-1:], rollout.first[-1:], state)
        assert last.value is not None
        made = rollout.advantages(torch.cat([*values, last.value]), reward, c.gamma, c.gae_lambda)
        advantage = ops.standardise(made.advantage, made.mask) if c.normalise_advantages else made.advantage

        def cut(x: Tensor) -> Tensor:
            return sequences(x, c.sequence_steps)

        return Minibatch(
            obs=cut(rollout.obs[:-1]),
            first=cut(rollout.first[:-1]),
            state=None if self.state is None else torch.cat([s for s in states if s is not None], 1),
            action=cut(rollout.action),
            log_prob_old=cut(torch.cat(log_probs)),
            value_old=cut(torch.cat(values)),
            advantage=cut(advantage),
            target=cut(made.target),
            mask=cut(made.mask),
        )

    def _update(self, batch: Minibatch) -> dict[str, Tensor]:
        c = self.config
        said = self._say(batch.obs, batch.first, batch.state)
        assert said.value is not None
        loss, parts = ppo_loss(
            said.policy.log_prob(batch.action),
            said.policy.entropy(),
            said.value,
            batch,
            clip=self.clip(),
            value_clip=c.value_clip,
            value_coefficient=c.value_coefficient,
            entropy_coefficient=self.entropy_coefficient(),
        )
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), c.max_grad_norm)
        self.optimizer.step()
        self.updates += 1
        return parts | {"losses/grad_norm": norm}

    def _say(self, obs: Tensor, first: Tensor, state: Tensor | None) -> Prediction:
        with self.config.device.autocast(self.device):
            said: Prediction = self._forward(obs, first, state)
        return said

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return {"charts/learning_rate": self.learning_rate(), "charts/clip": self.clip()}

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
    tiny = replace(config, num_envs=1, rollout_steps=config.sequence_steps)
    agent = PPO(tiny, world.single_observation_space, world.single_action_space, Generators(0), torch.device("cpu"))
    world.close()
    load_network(agent.network, weights, source)
    return Player(agent.network).policy()


def train(config: Config, session: Session) -> None:
    """The loop: act for a rollout, learn from it in several passes, forget it."""
    device = devices.setup(config.device)
    seeds = Generators(config.seed)
    rollout = Rollout(config.env, config.num_envs, config.world, seeds)
    agent = PPO(config, rollout.observation_space, rollout.action_space, seeds, device)
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
    """Train by proximal policy optimisation."""
    config = parse(Config, "ppo", argv, "CartPole")
    with Session("ppo", config) as session:
        train(config, session)


if __name__ == "__main__":
    main()
