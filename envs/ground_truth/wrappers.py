"""Truth for Gymnasium: `info["objects"]`, and slots as the observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from envs import names
from envs.config import EnvConfig
from envs.ground_truth.objects import Slots, can_draw, rgb_picture
from envs.ground_truth.observed_state import Eyes, Sight
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import Tracker, vector, vector_names, velocities


class WithTruth(gym.Wrapper[Any, Any, Any, Any]):
    """Every reset and step also says what is on the screen: `info["objects"]` is a `Scene` (None with prove=False).

    For a world that runs frame by frame (`frameskip=1`), below everything that skips, pools or scales frames.
    prove: prove every frame; without it only slots are kept (far faster), and `tracker.scene(env)` proves on demand.
    keep_before: keep the picture of the frame before the present one in `before`, (H, W, 3) uint8.
    Raises: NoTruthError; NoPictureError for a world that is drawn, not emulated, and was made without pictures.
    """

    def __init__(self, env: gym.Env[Any, Any], prove: bool = True, keep_before: bool = False) -> None:
        super().__init__(env)
        assert env.spec is not None, "truth is known by the world's id"
        self.tracker = Tracker(game_of(env.spec.id))
        if (prove or keep_before) and self.tracker.game.picture is not rgb_picture:
            can_draw(env)
        self.prove, self.keep_before = prove, keep_before
        self.before: np.ndarray | None = None
        self._picture: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the world's own."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.tracker.reset(self.env)
        self._keep()
        return obs, self._told(info)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """As the world's own."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.tracker.read(self.env)
        self._keep()
        return obs, reward, terminated, truncated, self._told(info)

    def _keep(self) -> None:
        # Kept when it is new, not taken before the next step: an intervention in between would be seen in it.
        if self.keep_before:
            self.before, self._picture = self._picture, self.tracker.game.picture(self.env)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        return info | {"objects": self.tracker.scene(self.env) if self.prove else None}


def object_view(config: EnvConfig, eyes: Eyes | None = None) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]:
    """Return a wrapper that shows an environment as its objects; only emulators skip frames and begin with no-ops."""

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        assert env.spec is not None, "truth is known by the world's id"
        if names.is_atari(env.spec.id):
            return ObjectObservation(env, config.frame_skip, config.noop_max, eyes)
        return ObjectObservation(env, eyes=eyes)

    return wrap


class ObjectObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Slots as the observation, without scores: (D,) float32 in [-1, 1]; `names` says what the entries are.

    Velocities are those since the last step's observation: the kernels of games move a sprite every second frame only,
    so two neighbouring frames may show a paddle at full speed as standing still.
    frame_skip: frames per step, rewards are summed over them. noop_max: at most this many no-ops begin a game (Atari).
    eyes: who finds the objects in the last frame of a step; None: they are read from the world's state.
    Raises: NoTruthError, BlindError.
    """

    def __init__(
        self, env: gym.Env[Any, Any], frame_skip: int = 1, noop_max: int = 0, eyes: Eyes | None = None
    ) -> None:
        assert env.spec is not None, "truth is known by the world's id"
        self.game = game_of(env.spec.id)
        self._sight = None if eyes is None else Sight(self.game, eyes, env.spec.id)
        self._truth = WithTruth(env, prove=False) if eyes is None else None
        super().__init__(env if self._truth is None else self._truth)
        self.frame_skip, self.noop_max = frame_skip, noop_max
        self._last: Slots = {}
        self.names = vector_names(self.game)
        self.observation_space = spaces.Box(-1.0, 1.0, (len(self.names),), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, with 1 to `noop_max` no-ops where that is not 0."""
        info = self._begin(seed, options)
        for _ in range(int(self.unwrapped.np_random.integers(1, self.noop_max + 1)) if self.noop_max else 0):
            _, terminated, truncated, info = self._frame(0)
            if terminated or truncated:
                info = self._begin()
        self._last = {}
        return self._seen(), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """`frame_skip` frames with one action."""
        total, terminated, truncated = 0.0, False, False
        info: dict[str, Any] = {}
        for _ in range(self.frame_skip):
            reward, terminated, truncated, info = self._frame(action)
            total += reward
            if terminated or truncated:
                break
        return self._seen(), total, terminated, truncated, info

    def _begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        _, info = self.env.reset(seed=seed, options=options)
        if self._sight is not None:
            self._sight.reset(self.env, info)
        return info

    def _frame(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, info = self.env.step(action)
        if self._sight is not None:
            self._sight.frame(self.env, reward, info)
        return float(reward), terminated, truncated, info

    def _seen(self) -> np.ndarray:
        if self._sight is not None:
            slots = self._sight.slots()
        else:
            assert self._truth is not None
            slots = self._truth.tracker.slots
        moved = velocities(self.game, self._last, slots, self.frame_skip)
        self._last = slots
        return vector(self.game, slots | moved)
