"""The environments of the reference as Stable-Baselines3's VecEnv."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from agents.reference.learner_env import LearnerEnv


class LearnerVecEnv(VecEnv):
    """A `LearnerEnv` as SB3's VecEnv."""

    def __init__(self, learner_env: LearnerEnv) -> None:
        self.learner_env = learner_env
        super().__init__(learner_env.num_envs, learner_env.observation_space, learner_env.action_space)

    def reset(self) -> np.ndarray:
        """Restart every copy, with consecutive seeds from the one given to `seed`, if any."""
        seed = self._seeds[0]
        self._reset_seeds()
        self._reset_options()
        return self.learner_env.reset(seed)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (N,) or (N, A) in `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Return observations, rewards, dones and infos after the actions. Raises: EnvStepError."""
        return self.learner_env.step(self._actions)

    def close(self) -> None:
        """Free the environments."""
        self.learner_env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the vector environment, once for each copy asked for."""
        return [getattr(self.learner_env.vec, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Raise NotImplementedError: the copies are one object."""
        raise NotImplementedError("the copies of a vector environment have no attributes of their own")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Raise NotImplementedError: the copies are one object."""
        raise NotImplementedError("the copies of a vector environment have no methods of their own")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return False for every copy: SB3's wrappers are not used."""
        return [False for _ in self._get_indices(indices)]
