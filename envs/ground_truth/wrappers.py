"""Ground truth for Gymnasium: `info["objects"]`, and slots as the observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from envs import names
from envs.config import EnvConfig
from envs.ground_truth.emulator import rgb_image
from envs.ground_truth.objects import Slots
from envs.ground_truth.observed_state import DetectedStateReader, ObjectDetector
from envs.ground_truth.registry import game_of
from envs.ground_truth.rendering import require_images
from envs.ground_truth.state_reader import StateReader, observation_names, observation_vector, velocities
from envs.registration import as_registered


class GroundTruthInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Adds the ground truth of every reset and step: `info["objects"]` is a `Scene` (None with prove=False).

    For an environment that runs frame by frame (`frameskip=1`), below all that skips, pools or scales frames.
    prove: prove every frame; otherwise only slots are read (far faster), and `reader.scene(env)` proves on demand.
    keep_before: keep the image of the previous frame in `before`, (H, W, 3) uint8.
    Raises: NoGroundTruthError; NoImageError for a rendered environment that was made without images.
    """

    def __init__(self, env: gym.Env[Any, Any], prove: bool = True, keep_before: bool = False) -> None:
        super().__init__(env)
        self.reader = StateReader(game_of(_env_id(env)))
        if (prove or keep_before) and self.reader.game.image is not rgb_image:
            require_images(env)
        self.prove, self.keep_before = prove, keep_before
        self.before: np.ndarray | None = None
        self._image: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and the reader."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.reader.reset(self.env)
        self._keep_image()
        return obs, self._with_objects(info)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and read its state."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.reader.read(self.env)
        self._keep_image()
        return obs, reward, terminated, truncated, self._with_objects(info)

    def _keep_image(self) -> None:
        # Taken when the frame is new, not before the next step: by then an intervention may have changed the screen.
        if self.keep_before:
            self.before, self._image = self._image, self.reader.game.image(self.env)

    def _with_objects(self, info: dict[str, Any]) -> dict[str, Any]:
        return info | {"objects": self.reader.scene(self.env) if self.prove else None}


def object_view(
    config: EnvConfig, detector: ObjectDetector | None = None
) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]:
    """Return a wrapper that shows an environment as its objects; only emulators skip frames and begin with no-ops."""

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        if names.is_atari(env_id := _env_id(env)):
            return ObjectObservation(env, as_registered(env_id, config).frame_skip, config.noop_max, detector)
        return ObjectObservation(env, detector=detector)

    return wrap


class ObjectObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Slots as the observation, without scores: (D,) float32 in [-1, 1]; `names` has the meaning of the entries.

    Velocities are differences to the observation of the previous step: the games move a sprite every second frame only,
    so of two neighboring frames one may show a paddle at full speed as standing still.
    frame_skip: frames per step, rewards are summed over them. noop_max: at most this many no-ops begin a game (Atari).
    detector: finds the objects in the last frame of a step; None: they are read from the state.
    Raises: NoGroundTruthError, IncompatibleDetectorError.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        frame_skip: int = 1,
        noop_max: int = 0,
        detector: ObjectDetector | None = None,
    ) -> None:
        env_id = _env_id(env)
        self.game = game_of(env_id)
        self._detected = None if detector is None else DetectedStateReader(self.game, detector, env_id)
        self._ground_truth = GroundTruthInfo(env, prove=False) if detector is None else None
        super().__init__(env if self._ground_truth is None else self._ground_truth)
        self.frame_skip, self.noop_max = frame_skip, noop_max
        self._previous: Slots = {}
        self.names = observation_names(self.game)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(self.names),), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, with 1 to `noop_max` no-ops unless that is 0."""
        info = self._begin(seed, options)
        for _ in range(int(self.unwrapped.np_random.integers(1, self.noop_max + 1)) if self.noop_max else 0):
            _, terminated, truncated, info = self._frame(0)
            if terminated or truncated:
                info = self._begin()
        self._previous = {}
        return self._observation(), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Repeat one action for `frame_skip` frames."""
        total, terminated, truncated = 0.0, False, False
        info: dict[str, Any] = {}
        for _ in range(self.frame_skip):
            reward, terminated, truncated, info = self._frame(action)
            total += reward
            if terminated or truncated:
                break
        return self._observation(), total, terminated, truncated, info

    def _begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        _, info = self.env.reset(seed=seed, options=options)
        if self._detected is not None:
            self._detected.reset(self.env, info)
        return info

    def _frame(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, info = self.env.step(action)
        if self._detected is not None:
            self._detected.record_frame(self.env, reward, info)
        return float(reward), terminated, truncated, info

    def _observation(self) -> np.ndarray:
        if self._detected is not None:
            slots = self._detected.slots()
        else:
            assert self._ground_truth is not None
            slots = self._ground_truth.reader.slots
        moved = velocities(self.game, self._previous, slots, self.frame_skip)
        self._previous = slots
        return observation_vector(self.game, slots | moved)


def _env_id(env: gym.Env[Any, Any]) -> str:
    assert env.spec is not None, "ground truth is found by the id of the environment"
    return env.spec.id
