"""Every step of a recorded episode, for models of the world: frames, actions, rewards, ends, and the true slots.

One file an episode, transitions/NUMBER.npz, without loss:

    frames (T + 1, H, W) uint8   numbers of colors; frame 0 is shown before the first action
    colors (K, 3) uint8          RGB of each number
    actions (T,) int16           what was asked for
    executed (T, F) int16        what the emulator did in each of the step's frames; -1 after the end
    rewards (T,) float32         unclipped, summed over the step's frames
    terminated, truncated (T,)   bool; an episode that ends with neither was cut off when it had enough frames
    images (T + 1,) int64        number of the labeled image of the same frame, -1 where none was taken
    slots (T + 1, S) float32     true positions and scores, NaN where there is none; slot_names (S,) their names

Sticky actions are drawn here, frame by frame by the emulator's own law (Machado et al. 2018, "Revisiting the arcade
learning environment", section 5.1): the emulator itself does not tell which action it executed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from envs import names
from envs.atari import sticky_of
from envs.config import EnvConfig
from envs.ground_truth.wrappers import GroundTruthInfo
from envs.registration import as_registered

MAX_COLORS = 256
FOLDER = "transitions"


class TooManyColorsError(ValueError):
    """The images of a game have more colors than a byte can number."""


def transitions_file(path: Path, episode: int) -> Path:
    """Return the file of an episode."""
    return path / FOLDER / f"{episode:05d}.npz"


def sticky_to_draw(name: str, world: EnvConfig) -> float:
    """Return the probability with which the recording repeats actions, in the emulator's place; 0 beyond Atari."""
    env_id = names.resolve(name)
    return sticky_of(env_id, as_registered(env_id, world)) if names.is_atari(env_id) else 0.0


class ExecutedActions(gym.Wrapper[Any, Any, Any, Any]):
    """Repeats the action before with a probability, in every frame, and remembers what was executed.

    For an environment that runs frame by frame and is not sticky itself. executed: of the frames since the last
    `forget`. Raises: ValueError for actions that are not of one finite set.
    """

    def __init__(self, env: gym.Env[Any, Any], sticky: float) -> None:
        super().__init__(env)
        if not isinstance(env.action_space, gym.spaces.Discrete):
            raise ValueError(f"transitions are for one finite set of actions, not {env.action_space}")
        self.sticky, self.previous, self.executed = sticky, 0, list[int]()
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, with action 0 as the one before; a seed seeds the repetitions, too."""
        if seed is not None:
            self.rng = np.random.default_rng([seed, 1])
        self.previous = 0
        self.forget()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Execute the action or the one before."""
        if self.rng.random() >= self.sticky:
            self.previous = int(action)
        self.executed.append(self.previous)
        return self.env.step(self.previous)

    def forget(self) -> None:
        """Begin a new list."""
        self.executed = []


class Recorder:
    """The transitions of an episode under way."""

    def __init__(self, env: ExecutedActions, truth: GroundTruthInfo) -> None:
        """env: at the bottom of the wrappers, where every frame passes; truth: the ground truth above it."""
        self.env, self.truth = env, truth
        self.begin()

    def begin(self) -> None:
        """Forget everything; the environment was reset."""
        self.steps: list[tuple[int, list[int], float, bool, bool]] = []
        self.shown: list[np.ndarray] = []
        self.slots: list[list[float]] = []
        self.images: list[int] = []
        self.numbers: dict[int, int] = {}  # of the colors

    def show(self) -> None:
        """Remember the present frame, before anything else changes the screen. Raises: TooManyColorsError."""
        self.shown.append(self._numbered(self.truth.reader.game.image(self.truth)))
        self.slots.append([self.truth.reader.slots.get(name, np.nan) for name in self.truth.reader.game.ranges])
        self.images.append(-1)
        self.env.forget()

    def _numbered(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) uint8, the numbers of the colors."""
        codes = rgb[..., 0].astype(np.int32) << 16 | rgb[..., 1].astype(np.int32) << 8 | rgb[..., 2]
        colors, inverse = np.unique(codes, return_inverse=True)
        numbers = [self.numbers.setdefault(int(color), len(self.numbers)) for color in colors]
        if len(self.numbers) > MAX_COLORS:
            raise TooManyColorsError(
                f"transitions are for games of at most {MAX_COLORS} colors, and this one shows more:"
                " leave out --transitions"
            )
        return np.array(numbers, np.uint8)[inverse].reshape(codes.shape)

    def step(self, action: Any, reward: SupportsFloat, terminated: bool, truncated: bool) -> None:
        """Remember a step and the frame after it."""
        self.steps.append((int(action), self.env.executed, float(reward), terminated, truncated))
        self.show()

    def label(self, image: int) -> None:
        """Note that the present frame is the labeled image of this number."""
        self.images[-1] = image

    def write(self, file: Path) -> None:
        """Write the file of the episode whole or not at all."""
        colors = np.array(list(self.numbers), np.int32)
        actions, executed, rewards, terminated, truncated = zip(*self.steps, strict=True) if self.steps else [()] * 5
        most = max(map(len, executed), default=1)
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(file.name + ".new")
        with new.open("wb") as stream:
            np.savez_compressed(
                stream,
                frames=np.stack(self.shown),
                colors=np.stack([colors >> shift & 255 for shift in (16, 8, 0)], 1).astype(np.uint8),
                actions=np.array(actions, np.int16),
                executed=np.array([row + [-1] * (most - len(row)) for row in executed], np.int16).reshape(-1, most),
                rewards=np.array(rewards, np.float32),
                terminated=np.array(terminated, bool),
                truncated=np.array(truncated, bool),
                images=np.array(self.images, np.int64),
                slots=np.array(self.slots, np.float32),
                slot_names=np.array(list(self.truth.reader.game.ranges)),
            )
        os.replace(new, file)
