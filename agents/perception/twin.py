"""A dream beside the game itself: both get the same actions, and every step tells how far apart they are.

Objects are read from the pixels of both, by what the emulator's own truth shows of them in a few hundred frames.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.perception.dreams import END, dream_of
from agents.training.environments import make_env, without_fire_reset
from envs.config import EnvConfig
from envs.ground_truth.interventions import intervene, restore_state
from envs.ground_truth.registry import NoGroundTruthError, game_of
from envs.ground_truth.wrappers import GroundTruthInfo
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.palette import Palette
from rl_gen_lab.generators.world_models.interfaces import painted
from rl_gen_lab.generators.world_models.reading import LabeledFrame, ObjectReader
from rl_gen_lab.generators.world_models.starts import TRUE_STEPS

READ_FRAMES, READ_EVERY = 300, 3  # labeled frames that the reader of objects learns from, and steps between them
TEMPERATURE = 1.0  # what may happen is drawn as often as it is likely
FRAMES_PER_SECOND = 15  # of a game at four emulator frames a step
NEAR = 4.0  # pixels; an object further off, or gone, ends the time that a dream stayed true
HISTORY = 64  # true frames that are kept to begin dreams after


@dataclass
class Step:
    """What both show after a step. errors: pixels an object is off; None: only one of the two shows it."""

    real: np.ndarray
    dreamed: np.ndarray
    errors: dict[str, float | None]
    wrong_pixels: int
    rewards: tuple[float, float]
    dreamed_end: float
    over: bool


@dataclass
class Counters:
    """Steps since the dream last saw the game, and how many of them it stayed true."""

    dreamed: int = 0
    true: int = 0
    is_true: bool = True

    def add(self, errors: dict[str, float | None]) -> None:
        """Count a step."""
        self.dreamed += 1
        self.is_true = self.is_true and all(error is not None and error <= NEAR for error in errors.values())
        if self.is_true:
            self.true = self.dreamed


@dataclass
class Scores:
    """Points so far in the game and in the dream."""

    real: float = 0.0
    dreamed: float = 0.0


class Twin:
    """A game and a dream of it side by side."""

    def __init__(
        self,
        run: Path,
        seed: int = 0,
        world: EnvConfig | None = None,
        on_frame: Callable[[int], None] = lambda done: None,
    ) -> None:
        """world: how an agent sees the game, which is never sticky here. on_frame: frames whose objects are known.

        Raises: CheckpointError; ConfigError for a run of a world that is no game of `envs/ground_truth`.
        """
        self.dream = dream_of(run)
        self.name = self.dream.world.task.partition(" ")[0]
        self.palette = Palette(self.dream.world.colors)
        self.rng, self.draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        try:
            self.game = game_of(self.name)
        except (NoGroundTruthError, ValueError) as error:
            raise ConfigError(f"the emulator cannot stand beside this dream: {error}") from error
        inside: list[GroundTruthInfo] = []

        def inner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            inside.append(GroundTruthInfo(env, prove=False))
            return inside[0]

        skip = self.dream.world.frame_skip
        world = replace(without_fire_reset(world or EnvConfig(frame_skip=skip)), sticky=0.0)
        if world.frame_skip != skip:
            raise ConfigError(f"the dream's steps have {skip} frames, the agent's {world.frame_skip}")
        self.env = make_env(self.name, world, inner)
        self.truth = inside[0]
        self.meanings: list[str] = list(self.env.unwrapped.get_action_meanings())  # type: ignore[attr-defined]
        self.reader = ObjectReader(self._labeled(on_frame), len(self.palette), self.game.categories)
        self.longest = 0  # time that a dream stayed true [steps]
        self.new_game()

    def _labeled(self, on_frame: Callable[[int], None]) -> Iterator[LabeledFrame]:
        """Yield frames of random play and of positions written at random, with the masks of their objects."""
        self.env.reset(seed=int(self.rng.integers(2**31)))
        done = 0
        while done < READ_FRAMES:
            for _ in range(READ_EVERY):
                if any(self.env.step(int(self.rng.integers(len(self.meanings))))[2:4]):
                    self.env.reset()
            with restore_state(self.truth, self.truth.reader):
                if self.game.writes and done % 2:
                    slots = {name: self.rng.uniform(*self.game.ranges[name]) for name in self.game.writes}
                    intervene(self.truth, self.truth.reader, slots)
                scene, numbers = self.truth.reader.scene(self.truth), self._numbers()
            if scene.problem is not None:
                continue
            objects = []
            for thing in scene.objects:
                x, y, width, height = thing.box
                mask = np.zeros(numbers.shape, bool)
                mask[y : y + height, x : x + width] = thing.mask
                objects.append((self.game.categories.index(thing.category), mask))
            done += 1
            on_frame(done)
            yield numbers, objects

    def _numbers(self) -> np.ndarray:
        """Return the game's screen in numbers of the dream's colors, (H, W) int64."""
        image = torch.from_numpy(np.ascontiguousarray(self.game.image(self.truth).transpose(2, 0, 1)))[None]
        return self.palette.index(image)[0].numpy()

    def new_game(self) -> None:
        """Begin a game, and a dream after its first steps."""
        self.obs, _ = self.env.reset(seed=int(self.rng.integers(2**31)))
        self.frames: deque[np.ndarray] = deque([self._numbers()], maxlen=HISTORY)
        self.actions: deque[int] = deque(maxlen=HISTORY - 1)
        self.scores = Scores()
        for _ in range(TRUE_STEPS):
            self._play(0)
        self.anchor()

    def _play(self, action: int) -> tuple[float, bool]:
        """Step the game alone."""
        self.obs, reward, terminated, truncated, _ = self.env.step(action)
        self.actions.append(action)
        self.frames.append(self._numbers())
        self.scores.real += float(reward)
        return float(reward), terminated or truncated

    @property
    def positions(self) -> list[str]:
        """Slots of the game that can be written and that move."""
        return [name for name in self.game.writes if name.endswith(("_x", "_y"))]

    @torch.no_grad()
    def anchor(self, most: int = TRUE_STEPS) -> None:
        """Begin the dream anew from what the game shows now; most: true steps that it looks back."""
        steps = min(len(self.actions), most)
        frames = torch.from_numpy(np.stack(list(self.frames)[-(steps + self.dream.context) :])).to(torch.uint8)
        executed = torch.tensor(list(self.actions)[len(self.actions) - steps :], dtype=torch.int64)
        executed = executed[:, None].expand(-1, self.dream.world.frame_skip)
        self.state = self.dream.model.begin(frames[None], executed[None])
        self.dreamed, self.counters = self.frames[-1], Counters()
        self.scores.dreamed = self.scores.real

    @torch.no_grad()
    def step(self, action: int) -> Step:
        """Step both. A game that is over begins anew with the next step."""
        reward, over = self._play(action)
        executed = torch.full((1, self.dream.world.frame_skip), action)
        self.state, imagined = self.dream.model.imagine(self.state, executed, TEMPERATURE, self.draws)
        self.dreamed = imagined.frames[0].numpy().astype(np.int64)
        self.scores.dreamed += float(imagined.rewards[0])
        errors = self._errors(self.frames[-1], self.dreamed)
        self.counters.add(errors)
        self.longest = max(self.longest, self.counters.true)
        return Step(
            real=self.painted(self.frames[-1]),
            dreamed=self.painted(self.dreamed),
            errors=errors,
            wrong_pixels=int((self.frames[-1] != self.dreamed).sum()),
            rewards=(reward, float(imagined.rewards[0])),
            dreamed_end=float(imagined.ends[0]),
            over=over or float(imagined.ends[0]) > END,
        )

    def _errors(self, real: np.ndarray, dreamed: np.ndarray) -> dict[str, float | None]:
        """Return how far off each object is, the worst of a category; objects that neither shows are left out."""
        errors: dict[str, float | None] = {}
        there, here = self.reader.read(real), self.reader.read(dreamed)
        for name in self.reader.categories:
            if not there[name] and not here[name]:
                continue
            if len(there[name]) != len(here[name]):
                errors[name] = None
                continue
            nearest = (min(math.dist(a, b) for b in here[name]) for a in there[name])
            errors[name] = max(nearest)
        return errors

    def painted(self, numbers: np.ndarray) -> np.ndarray:
        """numbers: (H, W) -> (H, W, 3) uint8 RGB."""
        image = painted(torch.from_numpy(numbers.astype(np.uint8))[None], self.dream.world.colors)[0]
        return np.ascontiguousarray(image.permute(1, 2, 0).numpy())

    def close(self) -> None:
        """Close the game."""
        self.env.close()
