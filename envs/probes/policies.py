"""Probe environments for policies: the optimal policy is known on paper, for actions of several entries, continuous and
discrete ones, for actions with one bound, and with a memory.

    gymnasium.make_vec("envs.probes.policies:KnownControls/Aim-v0", 4)

They assume Gymnasium's NEXT_STEP autoreset, as those of `envs.probes.values`.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

NAMES = ("Aim", "Recall", "Dials", "Switches", "Above")
AIM, RECALL, DIALS, SWITCHES, ABOVE = (f"{__name__}:KnownControls/{name}-v0" for name in NAMES)


class Aim(gym.Env[np.ndarray, np.ndarray]):
    """Two alternating states, each with a target action; an endless walk that is truncated after three steps.

        0 --reward 1 - a^2--> 1 --reward 1 - (a + 1)^2--> 0 --...--> truncated (shows 1)

    Observations are one-hot states (2,); actions (1,) in [-2, 1], whose middle is neither target.
    Optimal: a = TARGETS[state], reward 1 forever, V = 1 / (1 - g): 5 for g = 0.8. A Gaussian policy around it with
    standard deviation s far from the bounds has V = (1 - s^2) / (1 - g). If truncation is mistaken for termination, the
    optimal value of the start is 1 + g + g^2 = 2.44.
    """

    TARGETS = (0.0, -1.0)
    EPISODE_STEPS = 3
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-2.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return to state 0."""
        super().reset(seed=seed, options=options)
        self.steps = 0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward the action by its squared distance to the target; the state changes whatever the action is."""
        reward = 1.0 - (float(action[0]) - self.TARGETS[self.steps % 2]) ** 2
        self.steps += 1
        return self._obs(), reward, False, self.steps == self.EPISODE_STEPS, {}

    def _obs(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[self.steps % 2]


class Recall(gym.Env[np.ndarray, np.int64]):
    """A cue is observed once; the last action must repeat it.

        cue 0 or 1 (shown in entry 0 or 1) --> nothing --> nothing --reward 1 if a = cue, else 0--> end

    Observations are (3,); entry 2 is 1 where nothing is shown. Optimal: reward 1 in each episode with a memory; without
    one, every policy has 0.5 on average.
    """

    EPISODE_STEPS = 3
    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a new cue."""
        super().reset(seed=seed, options=options)
        self.steps, self.cue = 0, int(self.np_random.integers(2))
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward the last action alone."""
        self.steps += 1
        over = self.steps == self.EPISODE_STEPS
        return self._obs(), float(over and int(action) == self.cue), over, False, {}

    def _obs(self) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self.cue if self.steps == 0 else 2]


class Dials(gym.Env[np.ndarray, np.ndarray]):
    """Two alternating states, each with a target action of three entries; the reward is the share of entries set right.

    Observations are one-hot states (2,); actions MultiDiscrete([4, 2, 3]), in `Switches` MultiBinary(3). The episode
    ends after four steps. Optimal: TARGETS[state], return 4; a random policy has 4 * mean(1 / choices) = 1.44 (2 for
    `Switches`).
    """

    TARGETS = ((3, 0, 1), (1, 1, 2))
    EPISODE_STEPS = 4
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)

    def __init__(self, switches: bool = False) -> None:
        self.action_space: Any = spaces.MultiBinary(3) if switches else spaces.MultiDiscrete([4, 2, 3])
        self.targets = np.array(self.TARGETS) % 2 if switches else np.array(self.TARGETS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return to state 0."""
        super().reset(seed=seed, options=options)
        self.steps = 0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward each entry by itself; the state changes whatever the action is."""
        reward = float(np.mean(action == self.targets[self.steps % 2]))
        self.steps += 1
        return self._obs(), reward, self.steps == self.EPISODE_STEPS, False, {}

    def _obs(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[self.steps % 2]


class Above(gym.Env[np.ndarray, np.ndarray]):
    """One step with an action in [LOW, infinity): reward 1 - (a - TARGET)^2, optimal at TARGET.

    All actions of a policy around 0 would be clipped to LOW, whose reward says nothing of a better one.
    """

    LOW, TARGET = 50.0, 51.0
    observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(LOW, np.inf, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode of one step."""
        super().reset(seed=seed, options=options)
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward the action by its squared distance to the target."""
        return np.ones(1, np.float32), 1.0 - (float(action[0]) - self.TARGET) ** 2, True, False, {}


for _env in (Aim, Recall, Dials, Above):
    gym.register(f"KnownControls/{_env.__name__}-v0", entry_point=f"{__name__}:{_env.__name__}")
gym.register("KnownControls/Switches-v0", entry_point=f"{__name__}:Dials", kwargs={"switches": True})
