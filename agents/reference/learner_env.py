"""A vector environment with the older interface: one `done`, infos per copy, autoreset in the same step."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from agents.rl.interfaces import Episode
from agents.training.changed_torch import refuse_changed_torch
from agents.training.env_runner import EnvStepError
from agents.training.environments import make_vec
from envs import names
from envs.config import EnvConfig
from envs.copies import RAISES, counted, described, fewer_copies
from rl_gen_lab.cli.errors import ConfigError


class LearnerEnv:
    """N copies of an environment; `step` returns what SB3's VecEnv promises.

    Observations are as `make_vec` makes them, (N, S*C, H, W) uint8 or (N, D) float32; rewards (N,) float32 as the
    learner sees them; dones (N,) bool, lost lives and points among them if the settings say so. Infos carry
    `TimeLimit.truncated`, at a done `terminal_observation`, and at the end of a game `episode` (unclipped return,
    length in agent steps).
    episodes: the games that ended in the last step.
    """

    def __init__(self, name: str, num_envs: int, world: EnvConfig) -> None:
        self.env_id = names.resolve(name)
        self.num_envs = num_envs
        if names.is_atari(self.env_id) and not world.grayscale:
            # Gymnasium's TransformObservation, which puts the colors first, has no same-step autoreset.
            raise ConfigError("Stable-Baselines3 plays Atari in gray only: leave out world.grayscale = false")
        self.vec = make_vec(name, num_envs, world, autoreset="same_step")
        self.observation_space = self.vec.single_observation_space
        self.action_space = self.vec.single_action_space
        atari = names.is_atari(self.env_id)
        self._clips = world.clip_rewards and atari
        self._lives_end_value = world.episodic_life and atari  # others may call anything "lives"
        self._points_end_value = world.episodic_points and atari
        self._started = time.monotonic()
        self._steps = 0
        self._begin({})
        if not atari:
            self._reset_at_once()

    def _reset_at_once(self) -> None:
        """Use every copy before a further one is tried for evaluations. Raises: EnvStepError."""
        try:
            self.reset(None)
        except EnvStepError:
            self.close()
            raise

    def _begin(self, info: dict[str, Any]) -> None:
        self.episodes: list[Episode] = []
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._lives = self._lives_in(info)

    def reset(self, seed: int | None) -> np.ndarray:
        """Restart every copy, with consecutive seeds from `seed` on; return observations (N, ...).

        Raises: EnvStepError.
        """
        try:
            obs, info = self.vec.reset(seed=seed)
        except RAISES as error:
            why = described(error) + fewer_copies(self.vec)
            raise EnvStepError(f"{self._here()}: its reset raised {why}") from error
        refuse_changed_torch(self.env_id)
        self._begin(info)
        return np.asarray(obs)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Return observations, rewards, dones and infos after the actions (N,) or (N, A). Raises: EnvStepError."""
        try:
            obs, reward, terminated, truncated, info = self.vec.step(actions)
        except RAISES as error:
            raise EnvStepError(f"{self._here()}: it raised {described(error)}") from error
        reward = np.asarray(reward, dtype=np.float64)
        if not np.isfinite(reward).all():
            raise EnvStepError(f"{self._here()}: reward {reward} is not finite")
        if obs.dtype != np.uint8 and not np.isfinite(obs).all():
            raise EnvStepError(f"{self._here()}: an observation is not finite")
        self._steps += 1
        self._returns += reward
        self._lengths += 1
        dones = ended = terminated | truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        self.episodes = []
        # Ends are rare, and looking for them costs as much as a step of a small environment.
        if self._lives_end_value or self._points_end_value:
            lost = self._lost(info, ended, reward)
            dones = ended | lost
            for i in np.flatnonzero(lost):
                infos[i]["terminal_observation"] = obs[i].copy()
        if ended.any():
            bootstraps = truncated & ~terminated & ~(self._points_end_value & (reward != 0))
            for i in np.flatnonzero(ended):
                infos[i]["TimeLimit.truncated"] = bool(bootstraps[i])
                # Gymnasium's vector envs fill `final_obs` only where an episode ended, ale-py's fills all rows.
                infos[i]["terminal_observation"] = np.array(info["final_obs"][i])
                infos[i]["episode"] = self._end_episode(int(i))
        learner_reward = np.clip(reward, -1.0, 1.0) if self._clips else reward
        return np.asarray(obs), learner_reward.astype(np.float32), dones, infos

    def _here(self) -> str:
        return f"environment {self.env_id}, vector step {self._steps} of {counted(self.num_envs)}"

    def _end_episode(self, i: int) -> dict[str, float]:
        episode = Episode(i, float(self._returns[i]), int(self._lengths[i]))
        self.episodes.append(episode)
        self._returns[i], self._lengths[i] = 0.0, 0
        seconds = round(time.monotonic() - self._started, 6)
        return {"r": episode.episodic_return, "l": episode.length, "t": seconds}

    def _lost(self, info: dict[str, Any], ended: np.ndarray, reward: np.ndarray) -> np.ndarray:
        """Return (N,) bool: a life or a point that ends the value, but not the game."""
        before, self._lives = self._lives, self._lives_in(info)
        # At the end of a game the count is that of the next game already. Some games show 0 for a while
        # before they end; SB3's EpisodicLifeEnv does not take that for a loss either.
        lives: np.ndarray = self._lives_end_value & (self._lives > 0) & (self._lives < before)
        lost: np.ndarray = (lives | (self._points_end_value & (reward != 0))) & ~ended
        return lost

    def _lives_in(self, info: dict[str, Any]) -> np.ndarray:
        known = self._lives_end_value and "lives" in info  # before the first reset they are not
        return np.asarray(info["lives"]) if known else np.zeros(self.num_envs)

    def close(self) -> None:
        """Free the environments."""
        self.vec.close()
