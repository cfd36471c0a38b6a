"""Deep Q-network. Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518.

    python -m agents.dqn --env Pong

Deviations from the paper (those that can be switched are fields of `Config`):
1. N environments step together, and the learner works while they are emulated; it may act by weights of the past.
2. n-step returns (Sutton & Barto 2018, chapter 7), double Q-learning (van Hasselt et al. 2016), dueling heads (Wang et
   al. 2016), prioritized replay (Schaul et al. 2016), soft target averaging (Lillicrap et al. 2016).
3. Adam instead of RMSProp; the Huber loss is the paper's clipped error.
4. Frames may be standardized by statistics of the first steps (`standardize`), not only divided by 255.
5. n may shrink during training (Schwarzer et al. 2023, "Bigger, better, faster").
6. Random actions may last several steps (Dabney et al. 2021, "Temporally-extended epsilon-greedy exploration").
7. The agent may be evaluated by the mean of several of its past networks (Anschel et al. 2017, "Averaged-DQN").
8. Several networks may learn side by side, towards the mean of their targets (Liang et al. 2022, "MeanQ").
9. Lost lives and points end no value unless `world` says so; actions are sticky (Machado et al. 2018).
"""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from annotated_types import Interval
from gymnasium import Space, spaces

from agents.rl import ops
from agents.rl.exploration import PastWeights, TemporallyExtendedEpsilonGreedy, epsilon_ladder
from agents.rl.interfaces import Step, TrainingRun
from agents.rl.optimizers import parameter_groups, set_learning_rate
from agents.rl.replay import Batch, PreparedBatches, Replay, ReplayConfig, make_replay
from agents.training.config import LearnerConfig
from agents.training.launch import launch
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import Count, Exponent, Few, NotNegative, OptionalSteps, Positive, Share, Steps

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.q_networks import Learners, QEnsemble, QNetwork


@dataclass(frozen=True)
class Config(LearnerConfig):
    """Settings of a DQN run; presets in configs/dqn_*.toml change only what differs from these."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "Pong"
    # Agent steps of random play before learning begins.
    learning_starts_env_steps: OptionalSteps = 5_000
    # Agent steps for each update of the network; fractions give several updates a step.
    learn_every_env_steps: Annotated[float, Interval(ge=0.01, le=1_000_000)] = 4
    # Transitions in an update.
    batch_size: Count = 32
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Rewards summed before bootstrapping.
    n_step: Few = 3
    # Shrink n_step linearly to this value over horizon_env_steps (None: constant).
    n_step_end: Few | None = None
    # Agent steps over which n_step shrinks.
    horizon_env_steps: OptionalSteps = 100_000
    # Adam's learning rate at the start.
    learning_rate: Positive = 1e-4
    # Adam's learning rate later on, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Agent steps over which the learning rate falls (None: the whole run).
    learning_rate_env_steps: OptionalSteps | None = None
    # Adam's epsilon (Hessel et al. 2018, "Rainbow", use 1.5e-4).
    adam_eps: Positive = 1.5e-4
    # Updates between two changes of the target network.
    target_update_every_updates: Steps = 1_000
    # Share of the online network taken over at a change; 1 copies it.
    target_tau: Share = 1.0
    # The online network chooses the action that the target network values.
    double: bool = True
    # Value and advantage heads.
    dueling: bool = True
    # Loss of a TD error.
    loss: Literal["huber", "mse"] = "huber"
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 10.0
    # Updates between the weights that act and those that learn, as where other processes act (0: none).
    acting_lag_updates: Annotated[int, Interval(ge=0, le=10_000)] = 0
    # Probability of a random action when learning begins, ...
    epsilon_start: Share = 1.0
    # ... and from epsilon_env_steps later on, linear in between.
    epsilon_end: Share = 0.01
    # Agent steps over which epsilon falls.
    epsilon_env_steps: OptionalSteps = 50_000
    # Steps that a random action lasts (1: as in the paper); more where only a long push in one direction is rewarded.
    epsilon_hold_steps: Count = 1
    # Exponent that spreads epsilon over the environments (Ape-X uses 7); 0 gives all the same.
    epsilon_ladder: Exponent = 0.0
    # Standardize frames by the mean frame and the standard deviation of the first steps.
    standardize: bool = False
    # Networks that learn side by side from one memory, and whose mean Q-value decides and makes the targets.
    learners: Annotated[int, Interval(ge=1, le=100)] = 1
    # Generations whose mean Q-values decide in evaluation and play: the newest and snapshots (1: the newest alone).
    ensemble_size: Count = 1
    # Agent steps from one snapshot to the next.
    ensemble_every_env_steps: Steps = 50_000
    # Network from observations to features: auto, nature, impala, small, tiny (pixels); mlp, mlp_small (vectors);
    # and resnet, resnet_bottleneck, resnext, densenet, fractalnet, squeezenet (pixels).
    backbone: str = "auto"
    replay: ReplayConfig = field(default_factory=ReplayConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.n_step_end is not None and not 1 <= self.n_step_end <= self.n_step:
            raise ConfigError(f"n_step_end must lie in [1, n_step={self.n_step}], not {self.n_step_end}")
        window = (self.n_step + self.world.frame_stack) * self.num_envs
        if (least := max(window + self.num_envs + 1, self.batch_size)) > self.replay.capacity:
            raise ConfigError(f"replay.capacity {self.replay.capacity} is too small: batch and windows take {least}")


def dqn_target(online: Learners, target: Learners, batch: Batch, *, double: bool) -> Tensor:
    """Bootstrapped n-step returns (B,). Source: Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, eq. 4."""
    q_t = target(batch.obs_t)
    if double:
        return ops.double_q_learning_target(batch.reward_t, batch.discount_t, q_t, online(batch.obs_t))
    return ops.q_learning_target(batch.reward_t, batch.discount_t, q_t)


def dqn_loss(online: QNetwork, batch: Batch, target_tm1: Tensor, *, loss: str) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted loss of the TD errors, averaged over the batch; with it the TD errors (B,) and Q-values (B, A)."""
    q_tm1 = online(batch.obs_tm1)
    td = ops.td_error(q_tm1, batch.action_tm1, target_tm1)
    losses = ops.huber(td) if loss == "huber" else 0.5 * td * td
    return (batch.weight * losses).mean(), td.detach(), q_tm1.detach()


def make_network(
    config: Config, observation_space: Space[Any], action_space: Space[Any], free_bytes: int = sys.maxsize
) -> Learners | QEnsemble:
    """Make the network by which the agent is evaluated, on the CPU. free_bytes: memory for its snapshots.

    Raises: ConfigError for spaces or settings that DQN cannot handle.
    """
    from agents.rl.q_networks import q_networks  # here, so that --help needs no torch

    if not isinstance(action_space, spaces.Discrete):
        others = "Agents for continuous, MultiDiscrete and MultiBinary actions: ppo, actor_critic, reinforce"
        raise ConfigError(f"DQN needs one finite set of actions (Discrete); {config.env} has {action_space}. {others}")
    shape = observation_space.shape or ()
    if config.standardize and len(shape) != 3:
        raise ConfigError(f"standardize is for frames; {config.env} shows vectors {shape}: use --no-standardize")
    return q_networks(config, shape, int(action_space.n), free_bytes)


class DQN:
    """The agent: all its mutable state is made here and saved by `state_dict`."""

    def __init__(self, config: Config, network: Learners | QEnsemble, replay: Replay, run: TrainingRun) -> None:
        """network: on the device that the replay memory is on."""
        self.config, self.device, self.replay = config, replay.device, replay
        self.network, self.online = network, network.newest
        self.judged = cast("QEnsemble", network) if config.ensemble_size > 1 else None
        self.acting = PastWeights(self.online, config.acting_lag_updates)
        optional = {"judged": config.ensemble_size > 1, "acting": config.acting_lag_updates > 0}
        self.parts = ["online", "target", "optimizer", "replay", "exploration", *(n for n in optional if optional[n])]
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        groups = parameter_groups(self.online, config.learning_rate, config.transfer.backbone_factor)
        self.optimizer = torch.optim.Adam(groups, lr=config.learning_rate, eps=config.adam_eps, fused=True)
        num_actions, rng = self.online.members[0].advantage.out_features, run.generators.numpy("exploration")
        self.exploration = TemporallyExtendedEpsilonGreedy(config.num_envs, num_actions, config.epsilon_hold_steps, rng)
        self.sampling = run.generators.torch("replay", self.device)
        self.group, self.env_steps, self.updates = run.group, 0, 0
        compiled: Any = torch.compile if config.device.compile else lambda function: function
        self._target, self._loss = compiled(dqn_target), compiled(dqn_loss)
        threads, alone = config.device.threads, config.learners == 1 or config.device.compile
        self.batches = PreparedBatches(lambda: [self._prepare() for _ in self.online.members], threads)
        pool = ThreadPoolExecutor(config.learners, "learners", torch.set_num_threads, (threads,))
        self._map: Any = map if alone or self.device.type != "cpu" else pool.map  # a thread for each learner

    def epsilon(self) -> float:
        """Probability of a random action now."""
        c, steps = self.config, self.env_steps - self.config.learning_starts_env_steps
        return ops.anneal(c.epsilon_start, c.epsilon_end, c.epsilon_env_steps, steps)

    def n_step(self) -> int:
        """Rewards summed before bootstrapping now."""
        c = self.config
        return round(ops.anneal(c.n_step, c.n_step_end, c.horizon_env_steps, self.env_steps))

    def learning_rate(self) -> float:
        """Adam's learning rate now."""
        c, over = self.config, self.config.learning_rate_env_steps or self.config.total_env_steps
        return ops.anneal(c.learning_rate, c.learning_rate_end, over, self.env_steps)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Epsilon-greedy actions (N,) int64 for observations (N, ...): one draw for each environment."""
        with torch.no_grad():
            greedy = self.acting.network(ops.to_tensor(obs, self.device)).cpu().numpy().argmax(1)
        return self.exploration.choose(greedy, epsilon_ladder(self.epsilon(), len(obs), self.config.epsilon_ladder))

    def observe(self, step: Step) -> None:
        """Remember a vector step."""
        flags = (step.terminated, step.truncated, step.value_ends, step.first, step.dummy)
        arrays = (self.replay.newest(step.obs), step.action, step.reward, *flags)
        self.replay.push(*(ops.to_tensor(array, self.device) for array in arrays))
        before, self.env_steps = self.env_steps, self.env_steps + len(step.action)
        every = self.config.ensemble_every_env_steps
        if self.judged is not None and self.updates and self.env_steps // every > before // every:
            self.judged.snapshot()

    def cut(self, obs: np.ndarray) -> None:
        """End all episodes under way as truncations whose last observation is `obs`: the environments restart."""
        self.replay.cut(ops.to_tensor(self.replay.newest(obs), self.device))

    def updates_due(self) -> int:
        """Updates to make now so that their number keeps up with the steps."""
        steps = self.env_steps - self.config.learning_starts_env_steps
        ready = steps > 0 and self.replay.can_sample(self.n_step())
        return max(int(steps / self.config.learn_every_env_steps) - self.updates, 0) if ready else 0

    def _prepare(self) -> tuple[Batch, Tensor]:
        """Draw a minibatch; return it with its targets (B,)."""
        c = self.config
        batch = self.replay.sample(c.batch_size, self.n_step(), c.gamma, self.sampling, c.replay.priority_beta)
        with torch.no_grad(), c.device.autocast(self.device):
            return batch, self._target(self.online, self.target, batch, double=c.double)

    def _gradient(self, network: QNetwork, drawn: tuple[Batch, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Make the gradients of a learner; return what `dqn_loss` does."""
        with self.config.device.autocast(self.device):
            loss, td, q_tm1 = self._loss(network, *drawn, loss=self.config.loss)
        loss.backward()
        return loss.detach(), td, q_tm1

    def look_ahead(self, after: int = 0) -> None:
        """Prepare the minibatch due after so many updates in a second thread, if these change nothing it depends on."""
        c, update = self.config, self.updates + after
        helps = self.device.type == "cpu" and len(self.replay.frame_shape) == 3 and not c.device.compile
        depends = c.double or c.replay.priority_exponent or (after and update % c.target_update_every_updates == 0)
        if helps and update and not depends and self.updates_due() > after:
            self.batches.begin()

    def learn(self) -> dict[str, Tensor]:
        """Make one update; return what to log, still on the device."""
        c = self.config
        if self.updates == 0 and c.standardize:
            for network in (self.online, self.target):  # what they standardize by is part of their weights from then on
                network.standardize(self.replay.stored_frames())
                self.group.mean_(network.buffers())
        set_learning_rate(self.optimizer, self.learning_rate())
        drawn, networks = self.batches.take(), self.online.members
        self.look_ahead(after=1)
        self.optimizer.zero_grad()
        losses, td, values = zip(*self._map(self._gradient, networks, drawn), strict=True)
        self.group.mean_gradients_(self.online.parameters())
        norms = [torch.nn.utils.clip_grad_norm_(network.parameters(), c.max_grad_norm) for network in networks]
        self.optimizer.step()
        self.acting.push()
        self.replay.update_priorities(torch.cat([batch.index for batch, _ in drawn]), torch.cat(td))
        self.updates += 1
        if self.updates % c.target_update_every_updates == 0:
            ops.lerp_parameters(self.target, self.online, c.target_tau)
        seen = {"losses/td_loss": losses, "losses/q_values": values, "losses/grad_norm": norms}
        return {name: torch.stack(list(of_learners)).mean() for name, of_learners in seen.items()}

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return {"charts/epsilon": self.epsilon(), "charts/learning_rate": self.learning_rate()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizer, replay memory and counters; the generators are saved by their owner."""
        state = {name: getattr(self, name).state_dict() for name in self.parts}
        return state | {"env_steps": self.env_steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        if ("judged" in self.parts) != ("judged" in state):
            raise ValueError(f"ensemble_size {self.config.ensemble_size} is not what the checkpoint was made with")
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])


def make_agent(config: Config, run: TrainingRun) -> DQN:
    """Make the agent of a run. Raises: ConfigError, also where replay memory or snapshots do not fit into memory."""
    env = run.env_runner
    network = make_network(config, env.observation_space, env.action_space, run.free_bytes)
    run.prepare(network)
    stack, memory = config.world.frame_stack, run.free_bytes
    replay = make_replay(config.replay, config.num_envs, env.observation_space, stack, run.device, memory)
    return DQN(config, network, replay, run)


def train(config: Config, run: TrainingRun) -> None:
    """Act, learn while the environments are emulated, remember."""
    env, agent = run.env_runner, make_agent(config, run)
    run.begin(agent, agent.network)
    learned: dict[str, Tensor] = {}
    while run.running():
        agent.look_ahead()
        env.send(agent.act(env.obs))
        for _ in range(agent.updates_due()):
            learned = agent.learn()
        step, episodes = env.recv()
        agent.observe(step)
        run.record(agent.env_steps, agent.updates, episodes, learned, agent.status())
        if run.checkpoint_due():
            agent.cut(env.obs)
            env.restart()
            run.save()


def main(argv: list[str] | None = None) -> None:
    """Train a DQN."""
    launch("dqn", Config, train, argv)


if __name__ == "__main__":
    main()
