"""Deep Q-network. Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518.

    python -m agents.dqn --env Pong

Deviations from the paper, each a field of `Config`:
1. N environments step together, and the learner works while they are emulated.
2. n-step returns (Sutton & Barto 2018, chapter 7), double Q-learning (van Hasselt et al. 2016), dueling heads (Wang et
   al. 2016), prioritised replay (Schaul et al. 2016), soft target averaging (Lillicrap et al. 2016).
3. Adam instead of RMSProp; the Huber loss is the paper's clipped error.
4. Frames may be standardised by statistics of the first steps (`standardise`), not only divided by 255.
5. n shrinks as learning goes on, if asked to (Schwarzer et al. 2023, "Bigger, better, faster").
6. Random actions may last several steps (Dabney et al. 2021, "Temporally-extended epsilon-greedy exploration").
7. The agent may be judged by the mean Q-values of several of its past networks (Anschel et al. 2017, "Averaged-DQN");
   training acts with the newest and bootstraps from the target network, as in the paper.
8. Lost lives and points end no value, unless `world.episodic_life`, `world.episodic_points`; sticky actions (Machado
   et al. 2018).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from gymnasium import Space, spaces
from torch import Tensor, nn

from agents.rl import exploration, ops
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import QEnsemble, QNetwork, load_network
from agents.rl.replay import Batch, Replay
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
class ReplayConfig:
    """What is remembered and how it is drawn."""

    # Transitions kept, over all environments.
    capacity: int = 100_000
    # Exponent of |TD error| in prioritised replay; 0 draws uniformly.
    priority_exponent: float = 0.0
    # Exponent of the importance weights that correct prioritised draws; 1 corrects fully.
    priority_beta: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("priority_exponent", "priority_beta"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                raise ConfigError(f"replay.{name} must lie in [0, 10], not {getattr(self, name)}")


@dataclass(frozen=True)
class Config:
    """Settings of a DQN run; presets in configs/dqn_*.toml change only what differs from these."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "Pong"
    # One integer that all randomness of the run derives from.
    seed: int = 1
    # Agent steps to take, over all environments.
    total_env_steps: int = 1_000_000
    # Copies of the environment that step together.
    num_envs: int = 8
    # Agent steps of random play before learning begins.
    learning_starts_env_steps: int = 5_000
    # Agent steps for each update of the network; fractions give several updates a step.
    learn_every_env_steps: float = 4
    # Transitions in an update.
    batch_size: int = 32
    # Discount of a reward one agent step later.
    gamma: float = 0.99
    # Rewards summed before bootstrapping.
    n_step: int = 3
    # Shrink n_step linearly to this value over horizon_env_steps (None: constant).
    n_step_end: int | None = None
    # Agent steps over which n_step shrinks.
    horizon_env_steps: int = 100_000
    # Adam's step size at the start.
    learning_rate: float = 1e-4
    # Adam's step size later on, linear in between (None: constant).
    learning_rate_end: float | None = None
    # Agent steps over which the step size falls (None: the whole run).
    learning_rate_env_steps: int | None = None
    # Adam's epsilon (Hessel et al. 2018, "Rainbow", use 1.5e-4).
    adam_eps: float = 1.5e-4
    # Updates between two changes of the target network.
    target_update_every_updates: int = 1_000
    # Share of the online network taken over at a change; 1 copies it.
    target_tau: float = 1.0
    # The online network chooses the action that the target network values.
    double: bool = True
    # Value and advantage heads.
    dueling: bool = True
    # Loss of a TD error.
    loss: Literal["huber", "mse"] = "huber"
    # Gradients are scaled down to this norm.
    max_grad_norm: float = 10.0
    # Probability of a random action when learning begins, ...
    epsilon_start: float = 1.0
    # ... and from epsilon_env_steps later on, linear in between.
    epsilon_end: float = 0.01
    # Agent steps over which epsilon falls.
    epsilon_env_steps: int = 50_000
    # Steps that a random action lasts (1: as in the paper); longer for worlds where only a long push finds a reward.
    epsilon_hold_steps: int = 1
    # Spread of epsilon over the environments (Ape-X uses 7); 0 gives all the same.
    epsilon_ladder: float = 0.0
    # Standardise frames by the mean frame and the spread of the first steps.
    standardise: bool = False
    # Networks whose mean decides when the agent is evaluated or played: the newest and snapshots (1: the newest alone).
    ensemble_size: int = 1
    # Agent steps from one snapshot to the next.
    ensemble_every_env_steps: int = 50_000
    # Network from observations to features: auto, nature, impala, small (pixels); mlp, mlp_small (vectors);
    # and resnet, resnet_bottleneck, resnext, densenet, fractalnet, squeezenet (pixels).
    backbone: str = "auto"

    replay: ReplayConfig = field(default_factory=ReplayConfig)
    transfer: Annotated[TransferConfig, tyro.conf.arg(name="")] = field(default_factory=TransferConfig)
    world: EnvConfig = field(default_factory=EnvConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=DeviceConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        positive = ["total_env_steps", "num_envs", "batch_size", "n_step", "learning_rate", "learn_every_env_steps"]
        positive += ["target_update_every_updates", "max_grad_norm", "epsilon_hold_steps", "adam_eps"]
        check_numbers(
            self,
            positive=(*positive, "ensemble_size", "ensemble_every_env_steps"),
            not_negative=("learning_starts_env_steps", "learning_rate_end", "epsilon_ladder"),
            shares=("gamma", "target_tau", "epsilon_start", "epsilon_end"),
        )
        if self.n_step_end is not None and not 1 <= self.n_step_end <= self.n_step:
            raise ConfigError(f"n_step_end must lie in [1, n_step={self.n_step}], not {self.n_step_end}")
        window = (max(self.n_step, self.n_step_end or 1) + self.world.frame_stack) * self.num_envs
        if self.replay.capacity <= window + self.num_envs:
            raise ConfigError(f"replay.capacity {self.replay.capacity} holds no window of {window} transitions")


def dqn_loss(
    online: QNetwork, target: QNetwork, batch: Batch, *, double: bool, loss: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over the batch of the weighted loss of the TD error; with it the TD errors (B,) and Q-values (B, A).

    Source: Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, eq. 4, if `double`.
    """
    with torch.no_grad():
        q_t = target(batch.obs_t)
        if double:
            goal = ops.double_q_learning_target(batch.reward_t, batch.discount_t, q_t, online(batch.obs_t))
        else:
            goal = ops.q_learning_target(batch.reward_t, batch.discount_t, q_t)
    q_tm1 = online(batch.obs_tm1)
    td = ops.td_error(q_tm1, batch.action_tm1, goal)
    each = ops.huber(td) if loss == "huber" else 0.5 * td * td
    return (batch.weight * each).mean(), td.detach(), q_tm1.detach()


class DQN:
    """The agent: all its mutable state is made here and saved by `state_dict`."""

    def __init__(
        self,
        config: Config,
        observation_space: Space[Any],
        action_space: Space[Any],
        seeds: Generators,
        device: torch.device,
    ) -> None:
        if not isinstance(action_space, spaces.Discrete):
            others = " Agents for continuous actions: ppo, actor_critic, reinforce"
            raise ConfigError(
                f"DQN needs one finite set of actions (Discrete); {config.env} has {action_space}."
                + (others if isinstance(action_space, spaces.Box) else "")
            )
        shape = observation_space.shape
        assert shape is not None
        if config.standardise and len(shape) != 3:
            raise ConfigError(
                f"standardise works on frames; {config.env} shows vectors of shape {shape}: use --no-standardise"
            )
        self.config, self.device = config, device
        self.num_actions = int(action_space.n)
        self.pixels = len(shape) == 3
        stack = config.world.frame_stack if self.pixels else 1
        self.frame_shape = (shape[0] // stack, *shape[1:])
        torch.manual_seed(seeds.integer("init"))
        self.online = QNetwork(config.backbone, shape, self.num_actions, config.dueling).to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        # The online network itself, so that what is learned is judged at once.
        self.judged = self.online if config.ensemble_size == 1 else QEnsemble(self.online, config.ensemble_size - 1)
        pretrained.freeze(config.transfer, self.online)
        groups = pretrained.parameter_groups(config.transfer, self.online, config.learning_rate)
        self.optimizer = torch.optim.Adam(groups, lr=config.learning_rate, eps=config.adam_eps, fused=True)
        self.replay = Replay(
            config.replay.capacity,
            config.num_envs,
            self.frame_shape,
            torch.uint8 if self.pixels else torch.float32,
            stack,
            device,
            config.replay.priority_exponent,
        )
        self.exploration = exploration.HeldExploration(
            config.num_envs, self.num_actions, config.epsilon_hold_steps, seeds.numpy("exploration")
        )
        self.sampling = seeds.torch("replay", device)
        self.env_steps = 0
        self.updates = 0
        self._loss = torch.compile(dqn_loss) if config.device.compile else dqn_loss

    # ---- schedules, functions of the counters alone

    def epsilon(self) -> float:
        """Probability of a random action now."""
        c = self.config
        learning_steps = self.env_steps - c.learning_starts_env_steps
        return exploration.linear(c.epsilon_start, c.epsilon_end, c.epsilon_env_steps, learning_steps)

    def n_step(self) -> int:
        """Rewards summed before bootstrapping now."""
        c = self.config
        end = c.n_step if c.n_step_end is None else c.n_step_end
        return round(exploration.linear(c.n_step, end, c.horizon_env_steps, self.env_steps))

    def learning_rate(self) -> float:
        """Adam's step size now."""
        c = self.config
        end = c.learning_rate if c.learning_rate_end is None else c.learning_rate_end
        return exploration.linear(c.learning_rate, end, c.learning_rate_env_steps or c.total_env_steps, self.env_steps)

    # ---- acting

    def values(self, obs: np.ndarray) -> np.ndarray:
        """Action values (N, A) float32 of observations (N, ...), by which the agent is judged."""
        return self._q(self.judged, obs)

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """The best actions (N,) int64 for observations (N, ...)."""
        return self.values(obs).argmax(1)

    @torch.no_grad()
    def _q(self, network: nn.Module, obs: np.ndarray) -> np.ndarray:
        q: Tensor = network(self._tensor(obs))
        return q.cpu().numpy()

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Epsilon-greedy actions (N,) int64 for observations (N, ...): one draw for each environment."""
        epsilon = exploration.ladder(self.epsilon(), len(obs), self.config.epsilon_ladder)
        greedy = np.zeros(len(obs), dtype=np.int64) if epsilon.min() >= 1.0 else self._q(self.online, obs).argmax(1)
        return self.exploration.choose(greedy, epsilon)

    # ---- remembering

    def observe(self, step: Step) -> None:
        """Remember a vector step."""
        flags = (step.terminated, step.truncated, step.value_ends, step.first, step.dummy)
        self.replay.push(
            self._newest(step.obs), self._tensor(step.action), self._tensor(step.reward), *map(self._tensor, flags)
        )
        before, self.env_steps = self.env_steps, self.env_steps + len(step.action)
        every = self.config.ensemble_every_env_steps
        if isinstance(self.judged, QEnsemble) and self.updates and self.env_steps // every > before // every:
            self.judged.snapshot()

    def cut(self, obs: np.ndarray) -> None:
        """End all episodes under way as truncations whose last observation is `obs`: the environments restart."""
        self.replay.cut(self._newest(obs))

    def _newest(self, obs: np.ndarray) -> Tensor:
        return self._tensor(obs[:, -self.frame_shape[0] :] if self.pixels else obs)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    # ---- learning

    def updates_due(self) -> int:
        """Updates to make now so that their number keeps up with the steps."""
        c = self.config
        steps = self.env_steps - c.learning_starts_env_steps
        if steps <= 0 or not self.replay.can_sample(self.n_step()):
            return 0
        return max(int(steps / c.learn_every_env_steps) - self.updates, 0)

    def learn(self) -> dict[str, Tensor]:
        """One update; returns what to log, still on the device."""
        c = self.config
        if self.updates == 0 and c.standardise:
            self._standardise()
        pretrained.set_learning_rate(self.optimizer, self.learning_rate())
        batch = self.replay.sample(c.batch_size, self.n_step(), c.gamma, self.sampling, c.replay.priority_beta)
        with c.device.autocast(self.device):
            loss, td, q_tm1 = self._loss(self.online, self.target, batch, double=c.double, loss=c.loss)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.online.parameters(), c.max_grad_norm)
        self.optimizer.step()
        self.replay.update_priorities(batch.index, td)
        self.updates += 1
        if self.updates % c.target_update_every_updates == 0:
            self._update_target()
        return {"losses/td_loss": loss.detach(), "losses/q_values": q_tm1.mean(), "losses/grad_norm": norm}

    @torch.no_grad()
    def _update_target(self) -> None:
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), self.config.target_tau)

    def _standardise(self) -> None:
        """Give both backbones the mean and spread of what was seen so far; part of the weights from then on."""
        seen = self.replay.frames[: len(self.replay)].view(-1, *self.frame_shape)
        for network in (self.online, self.target):
            network.standardise(seen)

    def status(self) -> dict[str, float]:
        """Values of the schedules, for the record."""
        return {"charts/epsilon": self.epsilon(), "charts/learning_rate": self.learning_rate()}

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, replay memory and counters; the generators are saved by their owner."""
        return {
            "online": self.online.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "exploration": self.exploration.state_dict(),
            "env_steps": self.env_steps,
            "updates": self.updates,
        } | ({"judged": self.judged.state_dict()} if isinstance(self.judged, QEnsemble) else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        for name in ("online", "target", "optimizer", "replay", "exploration"):
            getattr(self, name).load_state_dict(state[name])
        if isinstance(self.judged, QEnsemble) != ("judged" in state):
            raise ValueError(f"ensemble_size {self.config.ensemble_size} is not what the checkpoint was made with")
        if isinstance(self.judged, QEnsemble):
            self.judged.load_state_dict(state["judged"])
        self.env_steps, self.updates = int(state["env_steps"]), int(state["updates"])


def load_policy(config: Config, weights: dict[str, Tensor], source: str) -> Policy:
    """A trained agent from its configuration and weights. Raises: CheckpointError naming `source`."""
    world = make_vec(config.env, 1, config.world)
    tiny = replace(config, num_envs=1, replay=ReplayConfig(capacity=1_000))
    agent = DQN(tiny, world.single_observation_space, world.single_action_space, Generators(0), torch.device("cpu"))
    world.close()
    load_network(agent.judged, weights, source)
    return Policy(agent.greedy, agent.values)


def train(config: Config, session: Session) -> None:
    """The loop: act, learn while the environments are emulated, remember."""
    device = devices.setup(config.device)
    seeds = Generators(config.seed)
    rollout = Rollout(config.env, config.num_envs, config.world, seeds)
    agent = DQN(config, rollout.observation_space, rollout.action_space, seeds, device)
    pretrained.begin(config.transfer, session, agent.online, agent.target)
    parts: dict[str, Stateful] = {"agent": agent, "rollout": rollout, "seeds": seeds}
    session.begin(parts, Policy(agent.greedy, agent.values), agent.judged)
    learned: dict[str, Tensor] = {}
    while session.running():
        rollout.send(agent.act(rollout.obs))
        for _ in range(agent.updates_due()):
            learned = agent.learn()
        step, episodes = rollout.recv()
        agent.observe(step)
        session.record(agent.env_steps, agent.updates, episodes, learned, agent.status())
        if session.checkpoint_due():
            agent.cut(rollout.obs)
            rollout.restart()
            session.save()
    session.end()
    rollout.close()


@command
def main(argv: list[str] | None = None) -> None:
    """Train a DQN."""
    config = parse(Config, "dqn", argv)
    with Session("dqn", config) as session:
        train(config, session)


if __name__ == "__main__":
    main()
