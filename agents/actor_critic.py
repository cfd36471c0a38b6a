"""Synchronous advantage actor-critic (A2C). Source: Mnih et al. 2016, "Asynchronous methods for deep reinforcement
learning", algorithm S3, with N environments stepped together in place of asynchronous workers.

    python -m agents.actor_critic --env CartPole

Deviations from the paper (those that can be switched are fields of `Config`):
1. Advantages are generalized (Schulman et al. 2016); `gae_lambda` 1 is the paper's n-step return, n = `rollout_steps`.
2. RMSProp has torch's form, with epsilon outside the root; Adam on request.
3. Continuous actions have a Gaussian policy; `PolicyConfig` says which.
4. Observations, rewards and advantages may be normalized; statistics change between rollouts only.
5. A time limit ends an episode, not its value: it is bootstrapped from the true last observation. Lost lives and points
   end a value only with `world.episodic_life`, `world.episodic_points`; actions are sticky (Machado et al. 2018).
6. The LSTM's gradient is cut at the start of each rollout.
7. A critic of its own may make further updates on each rollout (`value_updates`).
8. What older policies played (`rollouts.lag`) may be corrected by V-trace (Espeholt et al. 2018, "IMPALA").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agents.rl import ops
from agents.rl.interfaces import TrainingRun
from agents.rl.on_policy_actor import OnPolicyActor, make_actor, make_network
from agents.rl.optimizers import parameter_groups
from agents.rl.rollout_buffer import Advantages
from agents.rl.vtrace import vtrace
from agents.training.config import ActorCriticConfig, Copies
from agents.training.launch import launch
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Count, Few, NotNegative, Positive, Share

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.policy_networks import ActorCritic


@dataclass(frozen=True)
class Config(ActorCriticConfig):
    """Settings of an actor-critic run; presets in configs/actor_critic_*.toml change only what differs from these."""

    # Copies of the environment that step together.
    num_envs: Copies = 16
    # Vector steps between updates: the n of n-step returns, and how far back the LSTM's gradient reaches.
    rollout_steps: Count = 8
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Trace of the advantages: 0 one-step TD errors, 1 n-step returns.
    gae_lambda: Share = 1.0
    # Learning rate at the start.
    learning_rate: Positive = 7e-4
    # Learning rate at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # The optimizer.
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    # Its epsilon.
    optimizer_eps: Positive = 1e-5
    # Weight of the squared error of the value in the loss.
    value_coefficient: NotNegative = 0.5
    # Weight of the entropy in the loss at the start.
    entropy_coefficient: NotNegative = 0.01
    # Weight of the entropy at the end of the run, linear in between (None: constant).
    entropy_coefficient_end: NotNegative | None = None
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 0.5
    # Standardize the advantages of each rollout.
    normalize_advantages: bool = False
    # Critic updates per rollout (the policy gets one); more than 1 needs a critic on a backbone of its own.
    value_updates: Few = 1
    # Correct advantages and targets for the age of the policy that played (`--rollouts.lag`).
    vtrace: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
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
    mean_entropy = ops.masked_mean(entropy, mask)
    bonus = entropy_coefficient * mean_entropy if entropy_coefficient else 0.0  # at 0 without a gradient to compute
    loss = policy_loss + value_coefficient * value_loss - bonus
    parts = {"losses/policy_loss": policy_loss, "losses/value_loss": value_loss, "losses/entropy": mean_entropy}
    return loss, {name: part.detach() for name, part in parts.items()}


def make_optimizer(config: Config, network: ActorCritic) -> torch.optim.Optimizer:
    """Make the optimizer of policy and critic."""
    groups = parameter_groups(network, config.learning_rate, config.transfer.backbone_factor)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, config.learning_rate, eps=config.optimizer_eps, foreach=True)
    return torch.optim.Adam(groups, config.learning_rate, eps=config.optimizer_eps, fused=True)


class A2C:
    """The agent: its actor collects rollouts, and it updates the network once from each."""

    def __init__(self, config: Config, actor: OnPolicyActor) -> None:
        self.config, self.actor, network = config, actor, actor.network
        self._forward = torch.compile(network) if config.device.compile else network

    def schedules(self) -> tuple[float, float]:
        """Learning rate and weight of the entropy now."""
        c, over, t = self.config, self.config.total_env_steps, self.actor.env_steps
        learning_rate = ops.anneal(c.learning_rate, c.learning_rate_end, over, t)
        return learning_rate, ops.anneal(c.entropy_coefficient, c.entropy_coefficient_end, over, t)

    def learn(self) -> None:
        """Update once from a full rollout, which is then discarded."""
        c, actor, buffer = self.config, self.actor, self.actor.buffer
        learning_rate, entropy_coefficient = self.schedules()
        reward = actor.scaled_reward() if c.normalize_rewards else buffer.reward
        with c.device.autocast(actor.device):
            output = self._forward(buffer.obs, buffer.first, actor.state_at_start)
        policy, value = output.policy[:-1], output.value[:-1]
        log_prob = policy.log_prob(buffer.action)
        advantages, weight = self._advantages(output.value, reward, log_prob)
        advantage, target, mask = advantages.advantage, advantages.target, advantages.mask
        if c.normalize_advantages:
            advantage = ops.standardize(advantage, weight * mask, actor.group.mean_)
        loss, parts = actor_critic_loss(
            log_prob,
            policy.entropy(),
            value,
            weight * advantage,
            target,
            mask,
            value_coefficient=c.value_coefficient,
            entropy_coefficient=entropy_coefficient,
        )
        norm = actor.descend(loss, learning_rate, c.max_grad_norm)
        self._fit_value(target, mask, learning_rate)
        actor.updates += 1
        actor.next_rollout()
        mean_value = ops.masked_mean(value.detach(), mask)
        actor.learned = parts | {"losses/value": mean_value, "losses/grad_norm": norm}

    def _advantages(self, value: Tensor, reward: Tensor, log_prob: Tensor) -> tuple[Advantages, Tensor]:
        """Return advantages with their weights (T, N). value: (T+1, N); log_prob: (T, N), of the policy as it is."""
        c, buffer = self.config, self.actor.buffer
        if buffer.log_prob is None or not c.vtrace:
            return buffer.advantages(value, reward, c.gamma, c.gae_lambda), torch.ones_like(reward)
        discount_t, lambda_t, mask = buffer.traces(c.gamma, c.gae_lambda)
        ratio = log_prob - buffer.log_prob
        target, advantage, weight = vtrace(ratio, reward, discount_t, value[:-1], value[1:], lambda_t)
        return Advantages(advantage, target, mask), weight

    def _fit_value(self, target: Tensor, mask: Tensor, learning_rate: float) -> None:
        """Make further updates of the critic alone toward its targets (T, N)."""
        c, actor = self.config, self.actor
        for _ in range(c.value_updates - 1):
            value = actor.network.value(actor.buffer.obs[:-1].flatten(0, 1))
            error = (target - value.view_as(target)).square()
            actor.descend(c.value_coefficient * ops.masked_mean(error, mask), learning_rate, c.max_grad_norm)

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        learning_rate, entropy_coefficient = self.schedules()
        return {"charts/learning_rate": learning_rate, "charts/entropy_coefficient": entropy_coefficient}


def make_agent(config: Config, run: TrainingRun) -> A2C:
    """Make the agent of a run, its network and its optimizer."""
    env = run.env_runner
    network = make_network(config, env.observation_space, env.action_space)
    run.prepare(network)
    steps, hold, optimizer = config.rollout_steps, config.policy.noise_hold_steps, make_optimizer(config, network)
    actor = make_actor(network, optimizer, run, rollout_steps=steps, noise_hold_steps=hold, gamma=config.gamma)
    return A2C(config, actor)


def train(config: Config, run: TrainingRun) -> None:
    """Act for a rollout, learn from it once, discard it."""
    agent = make_agent(config, run)
    actor, env = agent.actor, run.env_runner
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
    """Train an actor-critic."""
    launch("actor_critic", Config, train, argv)


if __name__ == "__main__":
    main()
