"""Games of an agent with the truth beside its frames: masks of every object, and frames in which one object stands
elsewhere, written into the emulator.

The emulator is wrapped below all that skips, pools and scales frames, so that masks and changed frames pass through the
same steps as what the agent sees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat

import cv2
import gymnasium as gym
import numpy as np

from agents.training.environments import make_env, without_fire_reset
from envs import names
from envs.config import EnvConfig
from envs.ground_truth.emulator import ale_interface
from envs.ground_truth.interventions import NOOP, intervene, restore_state
from envs.ground_truth.objects import Object
from envs.ground_truth.registry import NoGroundTruthError, game_of
from envs.ground_truth.state_reader import StateReader
from rl_gen_lab.cli.errors import ConfigError

MOVED = 24.0  # pixels of the screen by which an object is moved, both ways
MOVES = (-MOVED, MOVED)
Forcing = Callable[[Any, StateReader], None]  # may write into the emulator before each of its frames


class TruthRecorder(gym.Wrapper[Any, Any, Any, Any]):
    """Reads the objects of each frame, and on demand draws it once more with an object moved.

    Frames are drawn anew before the next one begins: by then whoever observes has seen the true one, and the emulator,
    whose saved state holds no screen, draws the next one itself. A drawn frame is one no-op frame later; so is the one
    that it is compared with, in which nothing was moved.
    """

    def __init__(self, env: gym.Env[Any, Any], forcing: Forcing | None = None) -> None:
        super().__init__(env)
        assert env.spec is not None
        self.reader, self.forcing = StateReader(game_of(env.spec.id)), forcing
        self.objects: deque[tuple[Object, ...]] = deque(maxlen=2)  # of the last frames
        self.proven = True
        self.reading, self.drawing = True, False  # masks of each frame; frames drawn anew
        self.drawn: deque[dict[tuple[str, float], np.ndarray]] = deque(maxlen=64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.reader.reset(self.env)
        self.objects.clear()
        self.drawn.clear()
        self._read()
        return obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Draw the frame before anew if wanted, and emulate the next."""
        if self.drawing:
            self.drawn.append(self._draw())
        if self.forcing is not None:
            self.forcing(self.env, self.reader)
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.reader.read(self.env)
        self._read()
        return obs, reward, terminated, truncated, info

    def _read(self) -> None:
        if not self.reading:
            return
        scene = self.reader.scene(self.env)
        self.objects.append(scene.objects)
        self.proven = scene.problem is None

    def _draw(self) -> dict[tuple[str, float], np.ndarray]:
        """Return gray screens (H, W) uint8, a no-op later, by the object that was moved and how far; ("", 0): none."""
        found = {("", 0.0): self._screen({})}
        slots, game = self.reader.slots, self.reader.game
        for category in game.categories:
            for slot in slots_of(category, self.reader):
                low, high = game.ranges[slot]
                for move in MOVES:
                    if low <= slots.get(slot, np.nan) + move <= high:
                        found[category, move] = self._screen({slot: slots[slot] + move})
        return found

    def _screen(self, slots: dict[str, float]) -> np.ndarray:
        with restore_state(self.env, self.reader):
            if slots:
                intervene(self.env, self.reader, slots)
            else:
                ale_interface(self.env).act(NOOP)
            screen: np.ndarray = ale_interface(self.env).getScreenGrayscale().copy()
        return screen


def slots_of(category: str, reader: StateReader) -> list[str]:
    """Return the first slot by which an object can be moved, its height before its place; [] for one that cannot."""
    return [slot for slot in (f"{category}_y", f"{category}_x") if slot in reader.game.writes][:1]


@dataclass(frozen=True)
class Seen:
    """A frame that an agent saw. obs: (C, H, W) uint8; masks: (C, H, W) bool by category, each channel's own."""

    episode: int
    step: int
    obs: np.ndarray
    action: int
    scores: np.ndarray
    masks: dict[str, np.ndarray]
    screen: np.ndarray  # (H', W', 3) uint8, of the emulator
    total: float


class Witness:
    """A game with its truth. Gray frames of an emulator only: of others no truth can be read or written."""

    def __init__(self, env_id: str, world: EnvConfig, forcing: Forcing | None = None) -> None:
        """forcing: writes into the emulator before each of its frames.

        Raises: ConfigError for a game without truth, or that an agent sees in another way.
        """
        try:
            self.game = game_of(env_id)
        except NoGroundTruthError as error:
            raise ConfigError(f"{error}: explanations are scored on games with truth") from error
        if not names.is_atari(env_id) or world.observe != "pixels" or not world.grayscale:
            raise ConfigError("explanations are scored on gray frames of Atari games; this agent sees something else")
        self.world, made = without_fire_reset(world), list[TruthRecorder]()

        def inner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            made.append(TruthRecorder(env, forcing))
            return made[0]

        self.env = make_env(env_id, self.world, inner)
        self.recorder = made[0]
        self._masks: deque[dict[str, np.ndarray]] = deque(maxlen=world.frame_stack)

    def reset(self, seed: int) -> np.ndarray:
        """Begin a game."""
        obs, _ = self.env.reset(seed=seed)
        self._masks.clear()
        for _ in range(self.world.frame_stack - 1):
            self._masks.append(self._blank())
        self._masks.append(self.masks())
        return np.asarray(obs)

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        """Return the next observation, the reward, and whether the game is over."""
        obs, reward, terminated, truncated, _ = self.env.step(action)
        self._masks.append(self.masks())
        return np.asarray(obs), float(reward), bool(terminated or truncated)

    def _blank(self) -> dict[str, np.ndarray]:
        size = self.world.image_size
        return {category: np.zeros((size, size), bool) for category in self.game.categories}

    def masks(self) -> dict[str, np.ndarray]:
        """Return the pixels that each category touches in the newest frame, (H, W) bool, pooled as the frame is."""
        frames = list(self.recorder.objects)[-2 if self.world.max_pool else -1 :]
        found = {}
        for category in self.game.categories:
            native = np.zeros((210, 160), np.float32)
            for thing in (thing for objects in frames for thing in objects if thing.category == category):
                x, y, width, height = thing.box
                native[y : y + height, x : x + width] = np.maximum(native[y : y + height, x : x + width], thing.mask)
            found[category] = self.scaled(native) > 0
        return found

    def drawn(self) -> dict[tuple[str, float], np.ndarray]:
        """Return the observation before the last step (C, H, W) uint8, with each object moved, and ("", 0) with none.

        Only those that could be moved in all frames of the stack; {} where frames are missing. The recorder must have
        been `drawing` through the steps of the stack and the one after.
        """
        skip, pooled = self.world.frame_skip, 2 if self.world.max_pool else 1
        rows = [skip + back * skip for back in reversed(range(self.world.frame_stack))]
        frames = list(self.recorder.drawn)
        if len(frames) < rows[0] + pooled - 1:
            return {}
        parts = [[frames[-row - i] for i in range(pooled)] for row in rows]
        known = set.intersection(*(set(frame) for part in parts for frame in part))
        return {
            key: np.stack([self.scaled(np.maximum.reduce([frame[key] for frame in part])) for part in parts])
            for key in known
        }

    def scaled(self, screen: np.ndarray) -> np.ndarray:
        """Return a screen as large as the agent's frames, scaled as these are."""
        size = self.world.image_size
        return cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA)

    def stacked_masks(self) -> dict[str, np.ndarray]:
        """Return the masks of the whole stack, (C, H, W) bool by category."""
        return {name: np.stack([masks[name] for masks in self._masks]) for name in self.game.categories}

    def screen(self) -> np.ndarray:
        """Return the emulator's screen, (H', W', 3) uint8."""
        screen: np.ndarray = ale_interface(self.env).getScreenRGB().copy()
        return screen

    def close(self) -> None:
        """Close the game."""
        self.env.close()
