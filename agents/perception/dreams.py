"""Dreams as Gymnasium environments: `dream:RUN` in any command, RUN being a run of `rl_gen_lab.train dream`.

A dream begins after a few true frames that are kept with the run, and goes on by the model alone. Nothing of the game
runs beside it. Actions are repeated with the probability with which the emulator would, and an end is what the model
says with more than one half.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from envs import names
from envs.config import UnknownEnvError
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.generators.world_models.interfaces import painted
from rl_gen_lab.generators.world_models.latents import LatentDream
from rl_gen_lab.training.load import Dream, load_dream

MAX_STEPS = 5_000  # of a dream, after which it is truncated
END = 0.5  # probability


@functools.lru_cache(maxsize=4)
def dream_of(path: Path) -> Dream:
    """Load the model of a run once. Raises: CheckpointError."""
    return load_dream(path)


class DreamEnv(gym.Env[np.ndarray, np.int64]):
    """A dream in RGB, as large as the game's screen.

    Observations: (H, W, 3) uint8; rewards: those of the game; actions: the game's.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, run: str, temperature: float = 1.0, sticky: float = 0.0, render_mode: str | None = None) -> None:
        """temperature: 0 shows the likeliest, 1 draws what may happen as often as it is likely."""
        self.dream, self.temperature, self.sticky = dream_of(Path(run)), temperature, sticky
        self.render_mode = render_mode
        world = self.dream.world
        self.observation_space = gym.spaces.Box(0, 255, (*world.size, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(world.num_actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin after one of the true beginnings, drawn by the seed; options["beginning"] chooses it."""
        super().reset(seed=seed)
        frames, executed = self.dream.beginnings
        number = int(self.np_random.integers(len(frames)))
        number = (options or {}).get("beginning", number)
        return self.begin(frames[number], executed[number]), {}

    @torch.no_grad()
    def begin(self, frames: torch.Tensor, executed: torch.Tensor) -> np.ndarray:
        """Begin after true frames (T + 1 or more, H, W) uint8 and the actions (T, F) between the last of them."""
        self.draws = torch.Generator().manual_seed(int(self.np_random.integers(2**31)))
        self.state = self.dream.model.begin(frames[None], executed[None])
        self.previous = int(executed[-1, -1].clamp_min(0)) if len(executed) else 0
        return self._show(frames[-1:])

    def _show(self, frames: torch.Tensor) -> np.ndarray:
        self.frames = frames
        self.image = np.ascontiguousarray(painted(frames, self.dream.world.colors)[0].permute(1, 2, 0).numpy())
        return self.image

    @torch.no_grad()
    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine a step."""
        executed = []
        for _ in range(self.dream.world.frame_skip):
            if not self.sticky or self.np_random.random() >= self.sticky:
                self.previous = int(action)
            executed.append(self.previous)
        self.state, imagined = self.dream.model.imagine(
            self.state, torch.tensor([executed]), self.temperature, self.draws
        )
        over = bool(imagined.ends[0] > END)
        return self._show(imagined.frames), float(imagined.rewards[0]), over, False, {}

    def render(self) -> np.ndarray:
        """Return the present image."""
        return self.image


def register(path: str) -> str:
    """Register the dream of a run and return its id. Raises: UnknownEnvError."""
    run = Path(path).expanduser()
    try:
        dream = dream_of(run)
    except UserError as error:
        raise UnknownEnvError(f"env 'dream:{path}': {error}") from error
    game = re.sub(r"\W+", "", dream.world.task.partition(" ")[0].removeprefix("ALE/").partition("-v")[0]) or "World"
    env_id = f"dreams/{game}_{dream.digest}_update{dream.updates}-v0"
    if env_id not in gym.registry:
        kwargs = {"run": str(run.absolute())}
        if isinstance(dream.model, LatentDream):
            module = "agents.perception.latent_dreams"
            several = f"{module}:LatentDreamVectorEnv"
            gym.register(env_id, f"{module}:LatentDreamEnv", vector_entry_point=several, kwargs=kwargs)
            names.BATCHED.add(env_id)
        else:
            entry_point = "agents.perception.dreams:DreamEnv"
            gym.register(env_id, entry_point, max_episode_steps=MAX_STEPS, kwargs=kwargs)
    return env_id
