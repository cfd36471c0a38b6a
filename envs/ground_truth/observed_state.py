"""Slots from what somebody else sees: `Eyes` say what is where in pictures, and boxes become a game's slots."""

from __future__ import annotations

from typing import Any, Protocol, SupportsFloat

import gymnasium as gym
import numpy as np

from envs.config import UnknownEnvError
from envs.ground_truth.objects import Game, Seen, Slots, Told


class BlindError(UnknownEnvError):
    """These eyes are of no use in this world; the message says why."""


class Eyes(Protocol):
    """Finds things in pictures."""

    @property
    def name(self) -> str:
        """What they are, for the task's fingerprint: equal names see equally."""

    @property
    def categories(self) -> tuple[str, ...]:
        """What they can find."""

    def look(self, pictures: np.ndarray) -> list[Seen]:
        """What is in each picture, (T, H, W, 3) uint8."""


class Sight:
    """Keeps the last picture of a game, and on demand says what the eyes make of it.

    Scores and lives are not looked at: a player is told of points and lives. A box counts if its middle lies in the
    game's field; its edges are rounded, because sprites lie on whole pixels.
    Raises: BlindError for eyes that know other things than this world has, or a world that cannot be read from boxes.
    """

    def __init__(self, game: Game, eyes: Eyes, env_id: str) -> None:
        if game.seen is None:
            raise BlindError(f"{env_id} cannot be read from boxes: its file in envs/ground_truth/games has no `seen`")
        if eyes.categories != game.categories:
            others, wanted = ", ".join(eyes.categories), ", ".join(game.categories)
            raise BlindError(f"{eyes.name} was trained to find {others}; in {env_id} there are {wanted}")
        self.game, self.eyes, self._read = game, eyes, game.seen
        self._picture: np.ndarray | None = None
        self._slots: Slots = {}
        self._won = self._lost = 0.0
        self._lives = np.nan

    def reset(self, env: gym.Env[Any, Any], info: dict[str, Any]) -> None:
        """Begin a game."""
        self._slots, self._won, self._lost = {}, 0.0, 0.0
        self.frame(env, 0.0, info)

    def frame(self, env: gym.Env[Any, Any], reward: SupportsFloat, info: dict[str, Any]) -> None:
        """After every frame: its picture, reward and info."""
        self._picture = self.game.picture(env)
        self._won += max(float(reward), 0.0)
        self._lost += max(-float(reward), 0.0)
        self._lives = float(info.get("lives", np.nan))

    def slots(self) -> Slots:
        """The slots of the last frame, in the words of the truth, without velocities."""
        assert self._picture is not None
        (seen,) = self.eyes.look(self._picture[None])
        self._slots = self._read(self._in_field(seen), Told(self._won, self._lost, self._lives), self._slots)
        return self._slots

    def _in_field(self, seen: Seen) -> Seen:
        left, top, width, height = self.game.field
        found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in self.game.categories}
        for category, boxes in seen.items():
            for x, y, w, h in boxes:
                if left <= x + w / 2 <= left + width and top <= y + h / 2 <= top + height:
                    x1, y1, x2, y2 = round(x), round(y), round(x + w), round(y + h)
                    found[category].append((x1, y1, x2 - x1, y2 - y1))
        return found
