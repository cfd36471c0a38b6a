"""The environments of a run, played by actors with copies of the policy; the agent's loop sees one `EnvRunner`.

Each actor has its share of the environments and plays chunks of a rollout's length. A rollout is one chunk of each,
and is given to the agent's loop row by row, as if it had been stepped here.

lag 0: a rollout is played by the weights that learn from it, as without actors. lag L: by those of L rollouts before;
the actors play while the learner learns. Both are deterministic. free: an actor plays on with the newest weights until
it is `queue` rollouts ahead.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from agents.rl.interfaces import Episode, Step
from agents.rl.on_policy_actor import OnPolicyActor
from agents.training.config import RolloutsConfig
from agents.training.env_runner import VectorEnvRunner
from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Player, Recipe, layout_of
from agents.training.rollout_choice import actors_of
from agents.training.rollout_chunks import FLAGS, Arrays, ChunkReader
from agents.training.rollout_intake import Intake
from agents.training.rollout_meter import RolloutMeter
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.seeding import Generators


class ActorRollouts:
    """An `EnvRunner` whose environments are played by actors. It is used through `play` alone."""

    def __init__(
        self, spec: RunSpec, settings: RolloutsConfig, num_envs: int, rank: int, say: Callable[[str], None]
    ) -> None:
        """num_envs: N, dealt to the actors equally; rank: of this process among those that train together.

        say: prints a line. Raises: ConfigError, UnusableEnvError, EnvStepError.
        """
        if num_envs % settings.actors:
            fits = max(k for k in range(1, settings.actors) if num_envs % k == 0)
            raise ConfigError(
                f"{settings.actors} actors cannot share {num_envs} environments equally: --rollouts.actors {fits}"
            )
        self.spec, self.settings, self.num_envs, self._rank, self._say = spec, settings, num_envs, rank, say
        self.envs, self.free = num_envs // settings.actors, settings.lag == "free"
        self._ahead = settings.queue if settings.lag == "free" else settings.lag  # rollouts
        probe = VectorEnvRunner(spec.env_id, 1, spec.config.world, Generators(spec.config.seed, rank))
        self.observation_space, self.action_space = probe.observation_space, probe.action_space
        probe.close()
        self.obs = np.zeros((num_envs, *(self.observation_space.shape or ())), self.observation_space.dtype)
        self.meter = RolloutMeter()
        self._intake: Intake | None = None
        self.restarts = self.steps = 0
        self._begin_at([], None)

    def _begin_at(self, taken: list[np.ndarray], minds: np.ndarray | None) -> None:
        """Begin after these actions (N, ...) since the last restart; minds: (K, M) uint8, what actors remember."""
        self.first = np.ones(self.num_envs, dtype=bool)
        self._rollout: Arrays | None = None
        self._row, self._taken, self._minds = 0, taken, minds

    # ---- what the agent's loop uses

    def play(self, actor: Any) -> tuple[Step, list[Episode]]:
        """Give the agent's actor the next row of a rollout, as if it had acted; return what happened.

        Raises: EnvStepError, ActorsEndedError.
        """
        assert isinstance(actor, OnPolicyActor)
        if self._rollout is None or self._row == len(self._rollout["reward"]):
            self._rollout, self._row = self._next(actor), 0
        rows, t = self._rollout, self._row
        flags = {name: rows[name][t] for name in FLAGS}
        step = Step(
            obs=rows["obs"][t], action=rows["action"][t], reward=rows["reward"][t], next_obs=rows["obs"][t + 1], **flags
        )
        self._minds = rows["mind"][t]
        # At lag 0 the learner computes them itself, as it does without actors: batches of other sizes round otherwise.
        old = None if self.settings.lag == 0 else torch.from_numpy(rows["log_prob"][t]).to(actor.device)
        actor.take(torch.from_numpy(rows["head"][t]).to(actor.device), old, self._memory(actor))
        lengths, returns = rows["episode_length"][t], rows["episode_return"][t]
        episodes = [Episode(int(i), float(returns[i]), int(lengths[i])) for i in np.flatnonzero(lengths)]
        self._row, self.steps = t + 1, self.steps + 1
        self._taken.append(step.action)
        self.obs, self.first = step.next_obs, step.dummy
        return step, episodes

    def _memory(self, actor: OnPolicyActor) -> torch.Tensor | None:
        """Return the state of the LSTM (2, N, units) after the row."""
        if actor.state is None or self._minds is None:
            return None
        states = [self._player.memory_in(mind) for mind in self._minds]
        return torch.cat([state for state in states if state is not None], 1).to(actor.device)

    def restart(self) -> None:
        """Begin all copies anew; what was played ahead is dropped, and counted."""
        if self._rollout is not None:
            self.meter.dropped_steps += (len(self._rollout["reward"]) - self._row) * self.num_envs
        self.restarts += 1
        self._begin_at([], self._minds)
        if self._intake is not None:
            self._intake.restart(self.restarts, self.steps, self._actions(), self._minds)

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the rollouts since the last call."""
        return self.meter.metrics()

    def totals(self) -> dict[str, float]:
        """Return the metrics of all rollouts."""
        return self.meter.totals()

    # ---- rollouts

    def _next(self, actor: OnPolicyActor) -> Arrays:
        """Return the next rollout, as long as what is left of the agent's; order what is to be played ahead."""
        if self._intake is None:
            self._intake = self._started(actor)
        begun, intake, full = time.perf_counter(), self._intake, actor.buffer.steps
        if self.free or not intake.ordered:
            intake.publish(actor.updates)
        if not intake.ordered:
            intake.order(full - actor.buffer.length, newest=self.free)
        ready, chunks = intake.collect()
        if self._ahead and not self.free:  # only now, so that no chunk is played by weights that are newer than agreed
            intake.publish(actor.updates)
        while intake.ordered < self._ahead:
            intake.order(full, newest=self.free)
        lags = [actor.updates - int(chunk["version"]) for chunk in chunks]
        waited, played = np.stack([chunk["seconds"] for chunk in chunks]).T.tolist()
        self.meter.add(lags, time.perf_counter() - begun, waited, played, ready / max(self._ahead, 1))
        return self._reader.join(chunks)

    def _started(self, actor: OnPolicyActor) -> Intake:
        """Start the actors, with copies of the agent's policy, where the run stands."""
        settings, cpu = self.settings, torch.device("cpu")
        precise = actor.precision is nullcontext
        recipe = Recipe(
            spec=self.spec,
            number=0,
            stream=self._rank * settings.actors,
            envs=self.envs,
            rows=actor.buffer.steps,
            network=copy.deepcopy(actor.network).to(cpu),
            hold_steps=actor.noise.hold_steps,
            precision=nullcontext if precise else partial(self.spec.config.device.autocast, cpu),
            packed=settings.packed,
        )
        self._player = Player(recipe, self.observation_space)
        layout = layout_of(recipe, self._player, self.observation_space, self.action_space)
        self._reader = ChunkReader(layout)
        recipes, blocks = [recipe.of_actor(number) for number in range(settings.actors)], max(self._ahead, 1)
        playing = actors_of(settings.backend)(recipes, actor.network, layout, blocks, blocks + 2)
        intake = Intake(playing, settings.actors, blocks, self._reader, self.meter, self._say)
        intake.restart(self.restarts, self.steps, self._actions(), self._minds)
        return intake

    # ---- checkpoints

    def _actions(self) -> np.ndarray:
        """Return the actions (T, N, ...) since the last restart."""
        space = self.action_space
        return np.stack(self._taken) if self._taken else np.zeros((0, self.num_envs, *(space.shape or ())), space.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Return what rebuilds every copy: the restart's number, the actions since, what each actor remembers."""
        minds = np.zeros((0, 0), np.uint8) if self._minds is None else self._minds.copy()
        return {"restarts": self.restarts, "steps": self.steps, "actions": self._actions(), "minds": minds}

    def load_state_dict(self, state: dict[str, Any], on_repeat: Callable[[int, int], None] | None = None) -> None:
        """Continue from what `state_dict` returned; actors repeat the actions when they start. Raises: ValueError."""
        restarts, steps, actions, minds = (state[name] for name in ("restarts", "steps", "actions", "minds"))
        fits = actions.ndim >= 2 and actions.shape[1] == self.num_envs and len(minds) in (0, self.settings.actors)
        if restarts < 0 or steps < len(actions) or not fits:
            raise ValueError("the actions since the last restart are none of these actors")
        self.restarts, self.steps = int(restarts), int(steps)
        self._begin_at(list(actions), minds if len(minds) else None)

    def close(self) -> None:
        """End the actors, and say who waited for whom."""
        if self._intake is not None:
            intake, self._intake = self._intake, None
            self._say(f"rollouts: {self.meter.bottleneck()}")
            intake.close()

    # ---- of an EnvRunner, for agents that act one step at a time

    def step(self, actions: np.ndarray) -> tuple[Step, list[Episode]]:
        """Refuse: actors choose actions."""
        raise NotImplementedError("actors choose their actions: use play")

    def send(self, actions: np.ndarray) -> None:
        """Refuse, as `step`."""
        self.step(actions)

    def recv(self) -> tuple[Step, list[Episode]]:
        """Refuse, as `step`."""
        return self.step(np.zeros(0))
