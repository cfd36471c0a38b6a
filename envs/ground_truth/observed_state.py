"""Slots from images: an object detector finds boxes, and a game turns boxes into its slots."""

from __future__ import annotations

from typing import Any, Protocol, SupportsFloat

import gymnasium as gym
import numpy as np

from envs.config import UnknownEnvError
from envs.ground_truth.objects import Detections, Game, GameStatus, Slots


class IncompatibleDetectorError(UnknownEnvError):
    """The detector cannot be used in this environment; the message says why."""


class ObjectDetector(Protocol):
    """Finds objects in images."""

    @property
    def name(self) -> str:
        """Identity of the detector in the fingerprint of a task: equal names detect equally."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that it can detect."""

    def detect(self, images: np.ndarray) -> list[Detections]:
        """Return the detections in each image, (T, H, W, 3) uint8."""


class DetectedStateReader:
    """Reads slots from the last image of a game, as `StateReader` reads them from its state.

    Scores and lives come from rewards and info, not from the image. A box counts if its center lies in the field of the
    game; its edges are rounded, because sprites lie on integer pixels.
    Raises: IncompatibleDetectorError for a detector of other categories, or a game without `slots_from_detections`.
    """

    def __init__(self, game: Game, detector: ObjectDetector, env_id: str) -> None:
        if game.slots_from_detections is None:
            raise IncompatibleDetectorError(
                f"{env_id} cannot be read from boxes: its file in envs/ground_truth/games has no slots_from_detections"
            )
        if detector.categories != game.categories:
            trained, present = ", ".join(detector.categories), ", ".join(game.categories)
            raise IncompatibleDetectorError(
                f"{detector.name} was trained to find {trained}; in {env_id} there are {present}"
            )
        self.game, self.detector = game, detector
        self._slots_from_detections = game.slots_from_detections
        self._image: np.ndarray | None = None
        self._slots: Slots = {}
        self._won = self._lost = 0.0
        self._lives = np.nan

    def reset(self, env: gym.Env[Any, Any], info: dict[str, Any]) -> None:
        """Begin a game."""
        self._slots, self._won, self._lost = {}, 0.0, 0.0
        self.record_frame(env, 0.0, info)

    def record_frame(self, env: gym.Env[Any, Any], reward: SupportsFloat, info: dict[str, Any]) -> None:
        """Keep the image, the reward and the lives of a frame; to be called after every frame."""
        self._image = self.game.image(env)
        self._won += max(float(reward), 0.0)
        self._lost += max(-float(reward), 0.0)
        self._lives = float(info.get("lives", np.nan))

    def slots(self) -> Slots:
        """Return the slots of the last frame, without velocities."""
        assert self._image is not None
        (detections,) = self.detector.detect(self._image[None])
        status = GameStatus(self._won, self._lost, self._lives)
        self._slots = self._slots_from_detections(self._in_field(detections), status, self._slots)
        return self._slots

    def _in_field(self, detections: Detections) -> Detections:
        left, top, width, height = self.game.field
        inside: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in self.game.categories}
        for category, boxes in detections.items():
            for x, y, w, h in boxes:
                if left <= x + w / 2 <= left + width and top <= y + h / 2 <= top + height:
                    x1, y1, x2, y2 = round(x), round(y), round(x + w), round(y + h)
                    inside[category].append((x1, y1, x2 - x1, y2 - y1))
        return inside
