"""Codes of frames as the observation of an agent, by a trained generator or by a world in its codes.

    python -m agents.ppo --env Pong --observe vae:runs/GENERATE_RUN     # the codes of the last frames
    python -m agents.ppo --env Pong --observe dream:runs/DREAM_RUN      # code and memory, as in the run's dreams

The networks stay as they are. An agent that has learned in the dreams of a run can be played outside with the second.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, cast

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.perception.dreams import dream_of
from agents.perception.latent_dreams import seen_space
from envs import names
from envs.config import EnvConfig
from envs.ground_truth.emulator import rgb_image
from envs.ground_truth.rendering import rendered_image
from envs.registration import as_registered
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.shell import typed_path
from rl_gen_lab.generators.task import GenerationTask
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder
from rl_gen_lab.generators.world_models.latents import LatentDream, State
from rl_gen_lab.training.load import load_task, weights_digest

CODE_BOUND = 8.0  # numbers of a code are clipped to it


class Encoder(Protocol):
    """What a policy sees of the images so far. size: (H, W) of the images it knows; space: of what it returns."""

    size: tuple[int, int]
    space: gym.spaces.Box

    def begin(self, image: np.ndarray) -> np.ndarray:
        """Begin an episode with an image (H, W, 3) uint8."""

    def step(self, image: np.ndarray, action: int) -> np.ndarray:
        """Go on with the image after an action."""


class StackedCodes:
    """The codes of the last frames, the oldest first; before the first frame it is repeated."""

    def __init__(self, task: GenerationTask, stack: int) -> None:
        self.model, self.size = task.model, task.size
        self.stack: deque[np.ndarray] = deque(maxlen=stack)
        numbers = len(self._code(np.zeros((*task.size, 3), np.uint8)))
        self.space: gym.spaces.Box = gym.spaces.Box(-CODE_BOUND, CODE_BOUND, (stack * numbers,), np.float32)

    @torch.no_grad()
    def _code(self, image: np.ndarray) -> np.ndarray:
        codes = self.model.encode(_as_tensor(image))
        if isinstance(self.model, QuantizedAutoencoder):
            codes = self.model.quantizer.vectors(codes)
        return codes.flatten().float().clamp(-CODE_BOUND, CODE_BOUND).numpy()

    def begin(self, image: np.ndarray) -> np.ndarray:
        """As `Encoder`."""
        self.stack.extend([self._code(image)] * (self.stack.maxlen or 1))
        return np.concatenate(self.stack)

    def step(self, image: np.ndarray, action: int) -> np.ndarray:
        """As `Encoder`."""
        self.stack.append(self._code(image))
        return np.concatenate(self.stack)


class DreamedCodes:
    """The code of the frame and the memory of those before, as dreams of the run show them."""

    def __init__(self, model: LatentDream, frame_skip: int) -> None:
        self.model, self.size, self.frame_skip = model, model.size, frame_skip
        self.space = seen_space(model)
        self.colors = model.world_palette

    @torch.no_grad()
    def _codes(self, image: np.ndarray) -> Tensor:
        return self.model.encode(self.colors.index(_as_tensor(image)).to(torch.uint8))

    def _seen(self) -> np.ndarray:
        return self.model.seen(self.state)[0].numpy()

    @torch.no_grad()
    def begin(self, image: np.ndarray) -> np.ndarray:
        """As `Encoder`."""
        self.state = self.model.begin_in(self._codes(image)[:, None], torch.zeros(1, 0, self.frame_skip).long())
        return self._seen()

    @torch.no_grad()
    def step(self, image: np.ndarray, action: int) -> np.ndarray:
        """As `Encoder`. The emulator does not tell which actions it executed: sticky ones are taken for those asked."""
        executed = torch.full((1, 1, self.frame_skip), action)
        _, (hidden, cell) = self.model(self.state.codes[:, None], executed, (self.state.hidden, self.state.cell))
        self.state = State(self._codes(image), hidden, cell)
        return self._seen()


def _as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


class CodeObservation(gym.Wrapper[Any, Any, Any, Any]):
    """What an encoder says of the last frame of each step, for an environment that runs frame by frame.

    frame_skip, noop_max: as of `ObjectObservation`.
    """

    def __init__(self, env: gym.Env[Any, Any], encoder: Encoder, atari: bool, frame_skip: int, noop_max: int) -> None:
        super().__init__(env)
        self.encoder, self.atari, self.frame_skip, self.noop_max = encoder, atari, frame_skip, noop_max
        self.observation_space = encoder.space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, with 1 to `noop_max` no-ops unless that is 0."""
        _, info = self.env.reset(seed=seed, options=options)
        for _ in range(int(self.unwrapped.np_random.integers(1, self.noop_max + 1)) if self.noop_max else 0):
            _, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                _, info = self.env.reset()
        return self.encoder.begin(self._image()), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Repeat one action for `frame_skip` frames."""
        total, terminated, truncated, info = 0.0, False, False, dict[str, Any]()
        for _ in range(self.frame_skip):
            _, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return self.encoder.step(self._image(), int(action)), total, terminated, truncated, info

    def _image(self) -> np.ndarray:
        image = rgb_image(self.env) if self.atari else rendered_image(self.env)
        if image.shape[:2] != self.encoder.size:
            known, shown = (f"{size[1]} x {size[0]}" for size in (self.encoder.size, image.shape))
            raise ConfigError(f"the encoder was trained on images of {known}, this environment has {shown}")
        return image


def code_view(config: EnvConfig) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]:
    """Return a wrapper that shows an environment as codes. Raises: CheckpointError."""
    kind, _, source = config.observe.partition(":")
    path = typed_path(source)
    make = _maker(kind, str(path), weights_digest(path))

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        assert env.spec is not None
        atari = names.is_atari(env.spec.id)
        settings = as_registered(env.spec.id, config) if atari else config
        skip, noops = (settings.frame_skip, settings.noop_max) if atari else (1, 0)
        return CodeObservation(env, make(settings.frame_stack, skip), atari, skip, noops)

    return wrap


def code_name(config: EnvConfig) -> str:
    """Return the name of what observes, independent of its folder. Raises: CheckpointError."""
    kind, _, source = config.observe.partition(":")
    stack = f" x {config.frame_stack}" if kind == "vae" else ""
    return f"{kind} {weights_digest(typed_path(source))}{stack}"


@functools.lru_cache(maxsize=8)
def _maker(kind: str, source: str, weights: str) -> Callable[[int, int], Encoder]:
    """Load a network once; weights: its digest, so that changed ones are loaded. Returns stack, skip -> encoder."""
    if kind == "vae":
        task = cast(GenerationTask, load_task(Path(source), "generate"))
        return lambda stack, skip: StackedCodes(task, stack)
    model = dream_of(Path(source)).model
    if not isinstance(model, LatentDream):
        raise CheckpointError(f"{source} dreams pixels; --observe dream:RUN needs a run with --dream.model latent")
    return lambda stack, skip: DreamedCodes(model, skip)
