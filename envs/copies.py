"""Wrapper that filters `info` and closes without raising, for the copies of a vector environment; what they raise."""

from __future__ import annotations

import functools
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

# What code of a user's own may raise. `sys.exit` in it ends a program of its own, not the training that runs it.
RAISES = (Exception, SystemExit)
LARGEST = float(np.finfo(np.float32).max)  # reward: learners compute in float32


class Contained(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that passes on the chosen keys of `info` only, and rewards that are numbers; closes without raising.

    Gymnasium's vector environments merge the infos of their copies into arrays whose type and shape the first one
    decides: a None that becomes a number, an array of another length or a second player's lives would end a training
    that reads none of them. An environment that is of no more use can cost nothing when its `close` raises.
    """

    def __init__(self, env: gym.Env[Any, Any], keep: tuple[str, ...] = ()) -> None:
        """keep: the keys of `info` to pass on."""
        super().__init__(env)
        self.keep, self.was_reset = keep, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, and return the observation with the kept part of the info."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.was_reset = True
        return obs, self._kept(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and return the kept part of the info. Raises: ValueError for a reward that is no number."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if not (isinstance(reward, float) and -LARGEST <= reward <= LARGEST):  # np.float64 is a float
            reward = as_reward(reward)
        return obs, reward, terminated, truncated, self._kept(info)

    def _kept(self, info: Any) -> dict[str, Any]:
        return {key: info[key] for key in self.keep if key in info} if self.keep else {}

    def close(self) -> None:
        """Close the environment; say in one line what that raised."""
        close_quietly(self.env)


def as_reward(reward: Any) -> float:
    """Return a reward as a float; whether it is finite is for the caller to say.

    Raises: ValueError for what is no number (text, None, an array with axes) and for one beyond float32.
    """
    if shape := np.shape(reward):
        raise ValueError(f"its reward is an array of shape {shape} instead of a number")
    try:
        if isinstance(reward, str | bytes | complex):  # of which float() would read some
            raise TypeError
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its reward is {reward!r} instead of a number") from error
    except OverflowError as error:
        raise ValueError(f"its reward is an {type(reward).__name__} too large for float32") from error
    if LARGEST < abs(number) < np.inf:
        raise ValueError(f"its reward is {number:g}, too large for float32")
    return number


def fewer_copies(vec: VectorEnv[Any, Any, Any]) -> str:
    """Return the advice to make fewer copies where the first `reset` failed in a later one (a port, a lock), or ""."""
    reset = sum(env.was_reset for env in getattr(vec, "envs", ()))  # ale-py's has no list of its copies
    return f"; {counted(reset)} could be (--num-envs {reset})" if 0 < reset < vec.num_envs else ""


def counted(copies: int) -> str:
    """Return a number of copies in words."""
    return f"{copies} cop{'y' if copies == 1 else 'ies'}"


def close_quietly(env: gym.Env[Any, Any]) -> None:
    """Close an environment that is of no more use; what that raises is one line on stderr."""
    try:
        env.close()
    except RAISES as error:
        name = env.spec.id if env.spec is not None else str(env)
        say_once(f"note: environment {name} could not be closed ({described(error)})")


def described(error: BaseException) -> str:
    """Return the type of an error and what it says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


@functools.cache
def say_once(line: str) -> None:
    """Print a line on stderr, the first time only: every copy of an environment has the same to say."""
    print(line, file=sys.stderr, flush=True)
