"""Proximal policy optimization. Source: Schulman et al. 2017, "Proximal policy optimization algorithms".

    python -m agents.ppo --env CartPole

Deviations from the paper (those that can be switched are fields of `Config`):
1. Advantages are standardized over the whole rollout, not in each minibatch.
2. An update may stop early: once the policy has moved by `kl_stop_nats` (Schulman 2020, estimator k3).
3. The value is not clipped unless `value_clip` is given (Andrychowicz et al. 2021 find that clipping harms).
4. Continuous actions: one learned standard deviation an entry, clipped to the bounds; options in `PolicyConfig`.
5. Observations and rewards may be normalized; statistics change between rollouts only.
6. An episode cut by a time limit is bootstrapped from its true last observation. Lost lives and points end no value,
   unless `world.episodic_life`, `world.episodic_points`; actions are sticky (Machado et al. 2018).
7. With an LSTM, minibatches are sequences of `bptt_steps`; each starts in the state that the policy of the rollout had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.rl import ops
from agents.rl.interfaces import Generators, TrainingRun
from agents.rl.on_policy_actor import OnPolicyActor, make_actor, make_network
from agents.rl.optimizers import parameter_groups
from agents.rl.rollout_buffer import SequenceBatch, sequences
from agents.training.config import ActorCriticConfig
from agents.training.launch import launch
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Count, Few, NotNegative, Positive, PositiveShare, Share

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.policy_networks import Prediction


@dataclass(frozen=True)
class Config(ActorCriticConfig):
    """Settings of a PPO run; presets in configs/ppo_*.toml change only what differs from these."""

    # Vector steps in a rollout.
    rollout_steps: Count = 128
    # Passes over a rollout.
    epochs: Few = 4
    # Agent steps in a minibatch.
    minibatch_size: Count = 256
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Trace of the advantages: 0 one-step TD errors, 1 sums of rewards to the rollout's end.
    gae_lambda: Share = 0.95
    # The policy gains nothing by changing the probability of an action by more than this share at the start, ...
    clip: PositiveShare = 0.2
    # ... and by this share at the end of the run, linear in between (None: constant).
    clip_end: Share | None = None
    # The value may not move further than this from its old one (None: it may).
    value_clip: NotNegative | None = None
    # Stop updating on a rollout once the approximate KL(old || new) [nats] of a minibatch exceeds this (None: never).
    kl_stop_nats: NotNegative | None = None
    # Adam's learning rate at the start.
    learning_rate: Positive = 3e-4
    # Adam's learning rate at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Adam's epsilon.
    adam_eps: Positive = 1e-5
    # Weight of the squared error of the value in the loss.
    value_coefficient: NotNegative = 0.5
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: NotNegative = 0.0
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: NotNegative | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 0.5
    # Standardize the advantages of each rollout.
    normalize_advantages: bool = True
    # Agent steps that the LSTM's gradient reaches back; divides rollout_steps and minibatch_size.
    bptt_steps: Count = 16

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        for name in ("rollout_steps", "minibatch_size"):
            if getattr(self, name) % self.sequence_steps:
                raise ConfigError(f"bptt_steps {self.bptt_steps} must divide {name} {getattr(self, name)}")

    @property
    def sequence_steps(self) -> int:
        """Agent steps in a training sequence; 1 without an LSTM."""
        return self.bptt_steps if self.lstm_units else 1


def ppo_loss(
    log_prob: Tensor,
    entropy: Tensor,
    value: Tensor,
    batch: SequenceBatch,
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
        clipped_value = batch.value_old + (value - batch.value_old).clamp(-value_clip, value_clip)
        error = torch.maximum(error, (batch.target - clipped_value).square())
    value_loss = ops.masked_mean(error, mask)
    mean_entropy = ops.masked_mean(entropy, mask)
    loss = policy_loss + value_coefficient * value_loss
    if entropy_coefficient:  # at 0 its gradient is not computed
        loss = loss - entropy_coefficient * mean_entropy
    with torch.no_grad():
        clipped = ((log_prob - batch.log_prob_old).exp() - 1.0).abs() > clip
        parts = {
            "losses/policy_loss": policy_loss.detach(),
            "losses/value_loss": value_loss.detach(),
            "losses/entropy": mean_entropy.detach(),
            "losses/approx_kl": ops.approximate_kl(log_prob, batch.log_prob_old, mask),
            "losses/clipfrac": ops.masked_mean(clipped.float(), mask),
        }
    return loss, parts


class PPO:
    """The agent: its actor collects rollouts, and it updates the network several times from each."""

    def __init__(self, config: Config, actor: OnPolicyActor, generators: Generators) -> None:
        self.config, self.actor = config, actor
        self.shuffling = generators.torch("minibatches", actor.device)
        self._forward = torch.compile(actor.network) if config.device.compile else actor.network

    def schedules(self) -> tuple[float, float, float]:
        """Learning rate, clip range of the ratio and weight of the entropy now."""
        c, over, t = self.config, self.config.total_env_steps, self.actor.env_steps
        learning_rate = ops.anneal(c.learning_rate, c.learning_rate_end, over, t)
        clip = ops.anneal(c.clip, c.clip_end, over, t)
        return learning_rate, clip, ops.anneal(c.entropy_coefficient, c.entropy_coefficient_end, over, t)

    def learn(self) -> None:
        """Update from a full rollout, which is then discarded."""
        c, actor = self.config, self.actor
        learning_rate, batch = self.schedules()[0], self._prepare_batch()
        metrics: list[dict[str, Tensor]] = []
        for index in self._minibatches(batch.mask.shape[1]):
            loss, parts = self._loss(batch.select(index))
            norm = actor.descend(loss, learning_rate, c.max_grad_norm)
            actor.updates += 1
            metrics.append(parts | {"losses/grad_norm": norm})
            if c.kl_stop_nats is not None and float(parts["losses/approx_kl"]) > c.kl_stop_nats:
                break
        actor.next_rollout()
        actor.learned = {name: torch.stack([m[name] for m in metrics]).mean() for name in metrics[0]}
        actor.learned["losses/value"] = ops.masked_mean(batch.value_old, batch.mask)

    def _minibatches(self, count: int) -> Iterator[Tensor]:
        """Yield the indices of each minibatch among `count` sequences, newly shuffled in each epoch."""
        size = self.config.minibatch_size // self.config.sequence_steps
        for _ in range(self.config.epochs):
            yield from torch.randperm(count, generator=self.shuffling, device=self.actor.device).split(size)

    def _prepare_batch(self) -> SequenceBatch:
        """Return the whole rollout as sequences, with values, advantages and log-probabilities of its policy."""
        c, buffer = self.config, self.actor.buffer
        reward = self.actor.scaled_reward() if c.normalize_rewards else buffer.reward
        # Run the network in chunks: one sequence each when recurrent, to record the LSTM's state at its start;
        # otherwise about a minibatch, to bound memory.
        chunk = c.sequence_steps if c.lstm_units else max(c.minibatch_size // c.num_envs, 1)
        state, states, log_probs, values = self.actor.state_at_start, [], [], []
        with torch.no_grad():
            for t in range(0, c.rollout_steps, chunk):
                states.append(state)
                rows = slice(t, min(t + chunk, c.rollout_steps))
                output, value = self._predict(buffer.obs[rows], buffer.first[rows], state)
                log_probs.append(output.policy.log_prob(buffer.action[rows]))
                values.append(value)
                state = output.state
            values.append(self._predict(buffer.obs[-1:], buffer.first[-1:], state)[1])
            advantages = buffer.advantages(torch.cat(values), reward, c.gamma, c.gae_lambda)
            advantage, mask = advantages.advantage, advantages.mask
            if c.normalize_advantages:
                advantage = ops.standardize(advantage, mask, self.actor.group.mean_)
        rollout = {
            "obs": buffer.obs[:-1],
            "first": buffer.first[:-1],
            "action": buffer.action,
            "log_prob_old": torch.cat(log_probs) if buffer.log_prob is None else buffer.log_prob,
            "value_old": torch.cat(values[:-1]),
            "advantage": advantage,
            "target": advantages.target,
            "mask": mask,
        }
        starts = None if self.actor.state is None else torch.cat([s for s in states if s is not None], 1)
        return SequenceBatch(state=starts, **{name: sequences(x, c.sequence_steps) for name, x in rollout.items()})

    def _loss(self, batch: SequenceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        output, value = self._predict(batch.obs, batch.first, batch.state)
        _, clip, entropy_coefficient = self.schedules()
        return ppo_loss(
            output.policy.log_prob(batch.action),
            output.policy.entropy(),
            value,
            batch,
            clip=clip,
            value_clip=self.config.value_clip,
            value_coefficient=self.config.value_coefficient,
            entropy_coefficient=entropy_coefficient,
        )

    def _predict(self, obs: Tensor, first: Tensor, state: Tensor | None) -> tuple[Prediction, Tensor]:
        """Return the network's output and, of it, the value (L, S)."""
        with self.config.device.autocast(self.actor.device):
            output: Prediction = self._forward(obs, first, state)
        assert output.value is not None
        return output, output.value

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        learning_rate, clip, entropy = self.schedules()
        return {"charts/learning_rate": learning_rate, "charts/clip": clip, "charts/entropy_coefficient": entropy}


def make_agent(config: Config, run: TrainingRun) -> PPO:
    """Make the agent of a run."""
    network = make_network(config, run.env_runner.observation_space, run.env_runner.action_space)
    run.prepare(network)
    groups = parameter_groups(network, config.learning_rate, config.transfer.backbone_factor)
    actor = make_actor(
        network,
        torch.optim.Adam(groups, lr=config.learning_rate, eps=config.adam_eps, fused=True),
        run,
        rollout_steps=config.rollout_steps,
        noise_hold_steps=config.policy.noise_hold_steps,
        gamma=config.gamma,
        precision=lambda: config.device.autocast(run.device),
    )
    return PPO(config, actor, run.generators)


def train(config: Config, run: TrainingRun) -> None:
    """Act for a rollout, learn from it in several epochs, discard it."""
    env, agent = run.env_runner, make_agent(config, run)
    actor = agent.actor
    run.begin(actor, actor.network)
    while run.running():
        step, episodes = env.play(actor)
        actor.observe(step)
        if actor.buffer.full:
            agent.learn()
        run.record(actor.env_steps, actor.updates, episodes, actor.learned, agent.status())
        if run.checkpoint_due():
            actor.cut(agent.learn)
            env.restart()
            run.save()


def main(argv: list[str] | None = None) -> None:
    """Train by proximal policy optimization."""
    launch("ppo", Config, train, argv)


if __name__ == "__main__":
    main()
