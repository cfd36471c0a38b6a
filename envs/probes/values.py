"""Probe environments for values: known on paper, and each classic mistake of a learner yields its own wrong number.

Observations are one-hot states, (S,) float32, so that a linear or small network fits every value exactly. Transitions
are deterministic, with two actions. Unless the class says otherwise, the action does not matter; n-step returns then
have no off-policy bias, and their values equal those of one-step returns. The environments assume Gymnasium's NEXT_STEP
autoreset: the step after the end of an episode returns the first observation of the next one, with reward 0 (the dummy
step). Where a mistake mixes two targets for one state, the value is their mean in the ratio of uniform replay; both lie
within 1 of it, where the Huber loss is the squared loss.

    gymnasium.make_vec("envs.probes.values:KnownAnswers/Truncation-v0", 4)

Below, g is gamma, V(s) = max_a Q(s, a), r_s the reward for leaving state s, and V(0) the answer: state 0 is the start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

# Effect of each mistake on the record of vector steps (obs, action, reward, terminated, truncated, dummy), or on the
# n-step target sum(g^k r_k) + g^n V(obs at the end of the window), with a smaller n where the episode ends sooner.
MISTAKES = {
    "bootstraps_through_termination": "a window that ends in termination adds the value of the last observation",
    "no_bootstrap_at_truncation": "a window that ends in truncation adds no value, as if it were termination",
    "bootstraps_from_next_episode": "at a truncation, the value of the first observation of the next episode is added",
    "crosses_reset": "a window does not stop at the end of an episode but continues over the dummy step",
    "one_gamma_for_n_steps": "the value at the end of a window is discounted by g, not by g^(length of the window)",
    "full_gamma_power_for_short_window": "it is discounted by g^n although the episode ended the window sooner",
    "drops_episode_tail": "windows shorter than n, at the end of an episode, are not learned from",
    "stores_dummy_step": "the dummy step is learned from, as a step from the last observation into the next episode",
}


@dataclass(frozen=True)
class KnownAnswer:
    """V(0) of an environment under `gamma` and `n_step`: the right value, and the value of each mistake."""

    # Name for `gymnasium.make` and `envs.factory`, module included.
    env: str
    # Settings of the learner.
    gamma: float
    n_step: int
    # Right value of the start state.
    value: float
    # Name of a mistake (a key of MISTAKES) -> value of the start state to which it converges.
    mistakes: dict[str, float]


class TableEnv(gym.Env[np.ndarray, np.int64], ABC):
    """States 0 .. num_states - 1, start in 0; a subclass defines the transitions."""

    num_states: int

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (self.num_states,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.state = 0

    @abstractmethod
    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return to state 0."""
        super().reset(seed=seed, options=options)
        self.state = 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Follow the transition of the present state."""
        self.state, reward, terminated, truncated = self.transition(self.state, int(action))
        return self._obs(), reward, terminated, truncated, {}

    def _obs(self) -> np.ndarray:
        return np.eye(self.num_states, dtype=np.float32)[self.state]


class Termination(TableEnv):
    """A small reward now or a larger one a step later; the end looks like the start. The action matters.

        0 --action 0, reward 1--> end (shows 0)        0 --action 1, reward 0--> 1 --reward 2--> end (shows 0)

    Right: Q(0, 0) = 1, Q(0, 1) = 2g, so V(0) = 2g = 1.6 for g = 0.8, by action 1.
    bootstraps_through_termination: Q(0, 0) = 1 + g V(0), Q(0, 1) = 2g + g^2 V(0). Action 0 forever is worth
    1 / (1 - g) = 5, action 1 forever 2g / (1 - g^2) = 4.44: V(0) = 5, and the wrong action looks best.
    """

    num_states = 2

    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""
        if state == 0 and action == 1:
            return 1, 0.0, False, False
        return 0, (1.0 if state == 0 else 2.0), True, False


class Truncation(TableEnv):
    """An endless walk 0 -> 1 -> 2 -> 1 -> 2 ... truncated after three steps, in state 1. One-step targets.

        0 --reward 0.5--> 1 --reward 1--> 2 --reward 1--> truncated (shows 1)

    Always V(0) = r0 + g V(1).
    Right: V(1) = r1 + g r2 + g^2 V(1), so V(1) = (1 + g) / (1 - g^2) = 1 / (1 - g) = 5 and V(0) = 4.5 for g = 0.8.
    no_bootstrap_at_truncation: V(2) = r2, V(1) = r1 + g r2 = 1.8, V(0) = 1.94.
    bootstraps_from_next_episode: V(2) = r2 + g V(0), so V(0) = (r0 + g r1 + g^2 r2) / (1 - g^3) = 3.975.
    stores_dummy_step: state 1 has two targets, equally often: r1 + g V(2) and, from the dummy step, 0 + g V(0). With
    V(2) = r2 + g V(1): V(1) = (r1 + g r2 + g r0) / 2 + g^2 V(1) = 1.1 / 0.36 = 3.056, V(0) = 2.944.
    """

    num_states = 3
    rewards = (0.5, 1.0, 1.0)

    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""
        end = state == 2
        return (1 if end else state + 1), self.rewards[state], False, end


class NStep(TableEnv):
    """An endless walk 0 -> 1 -> 2 -> 3 -> 1 -> 2 ... truncated after four steps, in state 1. Three-step targets.

        0 --reward -1--> 1 --reward 1--> 2 --reward 1--> 3 --reward -0.5--> truncated (shows 1)

    The window from 0 ends in 3; the one from 1 ends exactly at the truncation; those from 2 and 3 have 2 steps and 1.
    With h = r0 + g r1 + g^2 r2 = 0.71 and c = r1 + g r2 + g^2 r3 = 1.495 for g = 0.9, and unless said otherwise
    V(0) = h + g^3 V(3), V(1) = c + g^3 V(1), so V(1) = c / (1 - g^3) = 5.517:
    Right: V(3) = r3 + g V(1), V(0) = 3.965 (as for every n).
    no_bootstrap_at_truncation: V(3) = r3, V(0) = 0.346.
    crosses_reset: from 3 the window takes r3, the dummy's 0, r0 and ends in 1: V(3) = r3 + g^2 r0 + g^3 V(1),
    V(0) = 2.687.
    one_gamma_for_n_steps: V(1) = c + g V(1), so V(1) = c / (1 - g) = 14.95; V(3) = r3 + g V(1);
    V(0) = h + g V(3) = 12.37.
    full_gamma_power_for_short_window: V(3) = r3 + g^3 V(1), V(0) = 3.277.
    stores_dummy_step: state 1 has two targets, equally often: c + g^3 V(1) and, from the dummy step,
    0 + g r0 + g^2 r1 + g^3 V(2). With V(2) = r2 + g r3 + g^2 V(1):
    V(1) = (c + g r0 + g^2 r1 + g^3 (r2 + g r3)) / (2 - g^3 - g^5), V(3) = r3 + g V(1), V(0) = 2.087.
    """

    num_states = 4
    rewards = (-1.0, 1.0, 1.0, -0.5)

    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""
        end = state == 3
        return (1 if end else state + 1), self.rewards[state], False, end


class EpisodeTail(TableEnv):
    """Alternating short and long episodes, alike at the start; the end looks like the start. Three-step targets.

        short: 0 --reward 1--> end (shows 0)
        long:  0 --reward 1--> 1 --reward 1--> 2 --reward 1--> end (shows 0)

    A seeded reset begins with a short one. State 0 has two targets, equally often; with L = 1 + g + g^2 = 2.44 for
    g = 0.8:
    Right: V(0) = (1 + L) / 2 = 1.72 (as for every n).
    drops_episode_tail: the short episode is shorter than a window and ignored; V(0) = L = 2.44.
    bootstraps_through_termination: V(0) = ((1 + g V(0)) + (L + g^3 V(0))) / 2 = (1 + L) / (2 - g - g^3) = 5.
    crosses_reset: from a short episode the window takes 1, the dummy's 0, the long one's first 1, and ends in 1; from a
    long one it ends in the last observation, 0; from 1 it takes two rewards, the dummy's 0 and ends in 0. So
    V(0) = ((1 + g^2 + g^3 V(1)) + (L + g^3 V(0))) / 2 and V(1) = 1 + g + g^3 V(0):
    V(0) = (1 + g^2 + g^3 (1 + g) + L) / (2 - g^3 - g^6) = 4.08.
    """

    num_states = 3

    def __init__(self) -> None:
        super().__init__()
        self.short = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return to state 0 and alternate the length of the episode; a seed begins with a short one."""
        self.short = seed is not None or not self.short
        return super().reset(seed=seed, options=options)

    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""
        end = self.short or state == 2
        return (0 if end else state + 1), 1.0, end, False


class Patience(TableEnv):
    """Reward 1 now, or 0.3 forever; the walk with reward 0.3 is truncated after two steps. The action matters.

        0 --action 0, reward 1--> end (shows 0)        0 --action 1, reward 0.3--> 1 --reward 0.3--> truncated (shows 1)

    The truncation is a time limit: beyond it, state 1 would lead to itself forever.
    Right: V(1) = 0.3 / (1 - g) = 1.5 and Q(0, 1) = 0.3 + g V(1) = 1.5 for g = 0.8, more than Q(0, 0) = 1.
    no_bootstrap_at_truncation: V(1) = 0.3, Q(0, 1) = 0.3 + 0.3 g = 0.54: V(0) = 1.0, and the wrong action looks best.
    bootstraps_through_termination: Q(0, 0) = 1 + g V(0): V(0) = 1 / (1 - g) = 5, again by the wrong action.
    """

    num_states = 2

    def transition(self, state: int, action: int) -> tuple[int, float, bool, bool]:
        """Return next state, reward, terminated, truncated."""
        if state == 0 and action == 0:
            return 0, 1.0, True, False
        return 1, 0.3, False, state == 1


def _n_step_answers(g: float) -> tuple[float, dict[str, float]]:
    r0, r1, r2, r3 = NStep.rewards
    h, c = r0 + g * r1 + g**2 * r2, r1 + g * r2 + g**2 * r3
    v1 = c / (1 - g**3)
    v1_dummy = (c + g * r0 + g**2 * r1 + g**3 * (r2 + g * r3)) / (2 - g**3 - g**5)
    return h + g**3 * (r3 + g * v1), {
        "no_bootstrap_at_truncation": h + g**3 * r3,
        "crosses_reset": h + g**3 * (r3 + g**2 * r0 + g**3 * v1),
        "one_gamma_for_n_steps": h + g * (r3 + g * c / (1 - g)),
        "full_gamma_power_for_short_window": h + g**3 * (r3 + g**3 * v1),
        "stores_dummy_step": h + g**3 * (r3 + g * v1_dummy),
    }


def _answers() -> dict[str, KnownAnswer]:
    def known(
        env_class: type[TableEnv], gamma: float, n_step: int, value: float, mistakes: dict[str, float]
    ) -> KnownAnswer:
        env_id = f"KnownAnswers/{env_class.__name__}-v0"
        gym.register(env_id, entry_point=f"{__name__}:{env_class.__name__}")
        return KnownAnswer(f"{__name__}:{env_id}", gamma, n_step, value, mistakes)

    g = 0.8
    long = 1 + g + g**2
    truncation = {
        "no_bootstrap_at_truncation": 0.5 + g + g**2,
        "bootstraps_from_next_episode": (0.5 + g + g**2) / (1 - g**3),
        "stores_dummy_step": 0.5 + g * ((1 + 1.5 * g) / 2) / (1 - g**2),
    }
    tail = {
        "drops_episode_tail": long,
        "bootstraps_through_termination": (1 + long) / (2 - g - g**3),
        "crosses_reset": (1 + g**2 + g**3 * (1 + g) + long) / (2 - g**3 - g**6),
    }
    return {
        "termination": known(Termination, g, 1, 2 * g, {"bootstraps_through_termination": 1 / (1 - g)}),
        "truncation": known(Truncation, g, 1, 0.5 + g / (1 - g), truncation),
        "n_step": known(NStep, 0.9, 3, *_n_step_answers(0.9)),
        "episode_tail": known(EpisodeTail, g, 3, (1 + long) / 2, tail),
        "patience": known(
            Patience,
            g,
            1,
            0.3 / (1 - g),
            {"no_bootstrap_at_truncation": 1.0, "bootstraps_through_termination": 1 / (1 - g)},
        ),
    }


# By the name of the environment, in snake case.
KNOWN: dict[str, KnownAnswer] = _answers()
