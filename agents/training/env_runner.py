"""The only file that steps the environments of our agents, in training and in evaluation.

They run in Gymnasium's NEXT_STEP autoreset: the step after an episode's end ignores its action and returns the first
observation of the next episode. `Step.dummy` marks it, so that nobody learns from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ale_py.vector_env
import numpy as np

from agents.rl.interfaces import Episode, Step
from agents.training.environments import make_vec, making_copies
from envs import names
from envs.config import EnvConfig
from envs.copies import RAISES, counted, described, fewer_copies
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.seeding import Generators


class EnvStepError(UserError):
    """The environment broke its contract (shape, NaN reward, exception); the message names it and the step."""


class VectorEnvRunner:
    """N copies of an environment stepped together, with episode counters and a state that can be saved exactly.

    An emulator cannot be cloned through the vector interface, so the state is (restart number, actions since): every
    `restart` begins all copies anew from seeds derived from its number, and `load_state_dict` repeats the actions taken
    since then. Cost: the episodes under way at a restart are cut short (the learner sees a truncation), and loading
    re-plays at most the steps between two restarts, emulation only.
    """

    def __init__(self, env_id: str, num_envs: int, world: EnvConfig, seeds: Generators, threads: int = 1) -> None:
        self.env_id = env_id
        self.num_envs = num_envs
        self.seeds = seeds
        self.vec = make_vec(env_id, num_envs, world, threads=threads)
        # ale-py steps the games on its own threads: the learner may work between `send` and `recv`.
        self._overlaps = isinstance(self.vec, ale_py.vector_env.AtariVectorEnv)
        atari = names.is_atari(env_id)
        self._clips = world.clip_rewards and atari
        self._lives_end_value = world.episodic_life and atari  # others may call anything "lives"
        self._points_end_value = world.episodic_points and atari
        self.observation_space = self.vec.single_observation_space
        self.action_space = self.vec.single_action_space
        self._pending: np.ndarray | None = None
        self.steps = 0  # vector steps since the run began
        self.restarts = -1
        try:
            self.restart()
        except EnvStepError:
            self.close()
            raise

    def restart(self) -> None:
        """Restart every copy, from seeds derived from the number of the restart."""
        self.restarts += 1
        self.actions_since_restart: list[np.ndarray] = []
        try:
            self.obs, info = self.vec.reset(seed=self.seeds.integer("env", self.restarts))
        except RAISES as error:
            why = described(error) + fewer_copies(self.vec)
            raise EnvStepError(f"{self._here()}: its reset raised {why}") from error
        self._check(self.obs, np.zeros(self.num_envs))
        self.first = np.ones(self.num_envs, dtype=bool)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._returns = np.zeros(self.num_envs)
        self.lengths = np.zeros(self.num_envs, dtype=np.int64)  # agent steps of the episodes under way
        self._lives = self._lives_in(info)

    def send(self, actions: np.ndarray) -> None:
        """Begin a step, which `recv` ends."""
        self._pending = np.asarray(actions)
        if self._overlaps:
            self.vec.send(self._pending)  # type: ignore[attr-defined]

    def recv(self) -> tuple[Step, list[Episode]]:
        """End the step that `send` began; return what happened and the episodes that finished.

        Raises: EnvStepError.
        """
        assert self._pending is not None, "recv without send"
        actions, self._pending = self._pending, None
        try:
            if self._overlaps:
                next_obs, reward, terminated, truncated, info = self.vec.recv()  # type: ignore[attr-defined]
            else:
                next_obs, reward, terminated, truncated, info = self.vec.step(actions)
        except RAISES as error:
            raise EnvStepError(f"{self._here()}: it raised {described(error)}") from error
        self._check(next_obs, reward)
        dummy, lives = self._ended, self._lives_in(info)
        stops = np.zeros(self.num_envs, dtype=bool)
        if self._lives_end_value:
            stops |= lives < self._lives
        if self._points_end_value:
            stops |= np.asarray(reward) != 0
        step = Step(
            obs=self.obs,
            action=actions,
            reward=np.asarray(np.clip(reward, -1.0, 1.0) if self._clips else reward, dtype=np.float32),
            terminated=np.asarray(terminated, dtype=bool),
            truncated=np.asarray(truncated, dtype=bool),
            value_ends=stops & ~dummy,
            first=self.first,
            dummy=dummy,
            next_obs=next_obs,
        )
        self.actions_since_restart.append(actions.copy())
        self.steps += 1
        return step, self._advance(step, np.asarray(reward, np.float64), lives)

    def step(self, actions: np.ndarray) -> tuple[Step, list[Episode]]:
        """Take actions (N,) or (N, A): `send` and `recv` in one."""
        self.send(actions)
        return self.recv()

    def play(self, actor: Any) -> tuple[Step, list[Episode]]:
        """Take a step by `actor.act(obs, first)`."""
        return self.step(actor.act(self.obs, self.first))

    def _advance(self, step: Step, reward: np.ndarray, lives: np.ndarray) -> list[Episode]:
        real = ~step.dummy
        self._returns += reward * real
        self.lengths += real
        self._ended = step.terminated | step.truncated
        episodes: list[Episode] = []
        if self._ended.any():
            ended = np.flatnonzero(self._ended)
            episodes = [Episode(int(i), float(self._returns[i]), int(self.lengths[i])) for i in ended]
            self._returns[ended] = 0.0
            self.lengths[ended] = 0
        self._lives = lives
        self.obs, self.first = step.next_obs, step.dummy
        return episodes

    def _lives_in(self, info: dict[str, Any]) -> np.ndarray:
        return np.asarray(info["lives"]) if self._lives_end_value else np.zeros(self.num_envs)

    def _here(self) -> str:
        return f"environment {self.env_id}, vector step {self.steps} of {counted(self.num_envs)}"

    def _check(self, obs: np.ndarray, reward: np.ndarray) -> None:
        expected = (self.num_envs, *(self.observation_space.shape or ()))
        if obs.shape != expected:
            raise EnvStepError(f"{self._here()}: observations have shape {obs.shape}, promised {expected}")
        if not np.isfinite(reward).all():
            raise EnvStepError(f"{self._here()}: reward {reward} is not finite")
        if obs.dtype != np.uint8 and not np.isfinite(obs).all():
            raise EnvStepError(f"{self._here()}: an observation is not finite")

    def state_dict(self) -> dict[str, Any]:
        """Return what rebuilds every copy: the number of the restart and the actions since."""
        since = self.actions_since_restart
        empty = np.zeros((0, self.num_envs), dtype=np.int64)
        return {
            "restarts": self.restarts,
            "steps": self.steps,
            "actions": np.stack(since) if since else empty,
        }

    def load_state_dict(self, state: dict[str, Any], on_repeat: Callable[[int, int], None] | None = None) -> None:
        """Restart as numbered in `state` and repeat the actions taken since, which takes as long as it took before.

        on_repeat(done, total): called after each vector step.
        """
        restarts, steps, repeated = int(state["restarts"]), int(state["steps"]), state["actions"]
        if restarts < 0 or steps < len(repeated) or not self._could_act(repeated):
            raise ValueError("the actions since the last restart are none of this environment")
        self.restarts = restarts - 1
        self.restart()
        self.steps = steps - len(repeated)
        for done, actions in enumerate(repeated, 1):
            self.step(actions)
            if on_repeat is not None:
                on_repeat(done, len(repeated))

    def _could_act(self, actions: np.ndarray) -> bool:
        """Return whether these are actions (T, N, ...) of the environments; numbers with a point may lie outside."""
        if actions.ndim < 2 or actions.shape[1] != self.num_envs or not np.isfinite(actions).all():
            return False
        if not np.issubdtype(actions.dtype, np.integer):
            return actions.dtype.kind == "f" and actions.shape[2:] == self.action_space.shape
        return all(self.action_space.contains(action) for row in actions for action in row)

    def close(self) -> None:
        """Free the environments."""
        self.vec.close()


def make_env_runner(env_id: str, num_envs: int, world: EnvConfig, seeds: Generators) -> VectorEnvRunner:
    """Make the environments of a run, and say so where it takes long. Raises: UnusableEnvError, EnvStepError."""
    with making_copies(env_id, num_envs):
        return VectorEnvRunner(env_id, num_envs, world, seeds)
