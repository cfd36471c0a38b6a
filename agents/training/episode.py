"""One episode of an agent in one environment, step by step: for its video, or in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from agents.rl.interfaces import Policy
from agents.training.env_runner import EnvStepError
from envs.copies import RAISES, as_reward, described
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.seeding import Generators

T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """What an agent is about to do: its action with its scores (A,), or None; the return so far.

    action: None at the end of what is played; ended: there, whether the episode is over.
    """

    action: Any
    scores: np.ndarray | None
    total: float
    ended: bool = False


def guarded(env_id: str, step: int, doing: str, call: Callable[[], T]) -> T:
    """Return what an environment returns. Raises: EnvStepError for whatever it raises, naming it and the step."""
    try:
        return call()
    except UserError:
        raise
    except RAISES as error:
        raise EnvStepError(f"environment {env_id}, step {step}: its {doing} raised {described(error)}") from error


def moments(
    env: gym.Env[Any, Any], env_id: str, policy: Policy, seed: int, *, epsilon: float, max_steps: int
) -> Iterator[Moment]:
    """Play one episode of at most `max_steps` agent steps: yield each moment before its action is taken, then the end.

    Raises: EnvStepError.
    """
    exploration = Generators(seed).numpy("film")
    env.action_space.seed(seed)
    if policy.seed is not None:
        policy.seed(seed)
    obs, _ = guarded(env_id, 0, "reset", lambda: env.reset(seed=seed))
    total, done, steps = 0.0, False, 0
    while not done and steps < max_steps:
        chosen, scores = policy.choose(np.asarray(obs)[None], np.array([steps == 0]))
        action = chosen[0] if exploration.random() >= epsilon else env.action_space.sample()
        yield Moment(action, None if scores is None else scores[0], total)
        obs, reward, done = guarded(env_id, steps, "step", lambda: _step(env, action))  # noqa: B023
        total, steps = total + reward, steps + 1
    yield Moment(None, None, total, done)


def _step(env: gym.Env[Any, Any], action: Any) -> tuple[Any, float, bool]:
    """Return the observation, the reward, and whether the episode is over. Raises: what the environment raises."""
    obs, reward, terminated, truncated, _ = env.step(action)
    return obs, as_reward(reward), bool(terminated or truncated)
